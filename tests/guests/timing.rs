//! Reads both clocks.
wit_bindgen::generate!({ inline: "package test:guest; world guest {
    export wall-ns: func() -> u64;
    export monotonic-ns: func() -> u64;
    /// Indices of waits that are over with the first: until the time just shown, and for half a minute.
    export over: func() -> list<u32>;
    export look: func(times: u32) -> u64;
}" });

struct Timing;

impl Guest for Timing {
    fn wall_ns() -> u64 {
        let now = wasip2::clocks::wall_clock::now();
        now.seconds * 1_000_000_000 + u64::from(now.nanoseconds)
    }

    fn monotonic_ns() -> u64 {
        wasip2::clocks::monotonic_clock::now()
    }

    fn over() -> Vec<u32> {
        let shown = wasip2::clocks::monotonic_clock::subscribe_instant(wasip2::clocks::monotonic_clock::now());
        let later = wasip2::clocks::monotonic_clock::subscribe_duration(30_000_000_000);
        wasip2::io::poll::poll(&[&shown, &later])
    }

    fn look(times: u32) -> u64 {
        (0..times).map(|_| wasip2::clocks::monotonic_clock::now()).max().unwrap_or(0)
    }
}

export!(Timing);
