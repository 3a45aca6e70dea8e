//! Looks at both clocks.
wit_bindgen::generate!({ inline: "package test:guest; world guest {
    export wall-ns: func() -> u64;
    export monotonic-ns: func() -> u64;
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

    fn look(times: u32) -> u64 {
        (0..times).map(|_| wasip2::clocks::monotonic_clock::now()).max().unwrap_or(0)
    }
}

export!(Timing);
