//! Waits and writes in ways that cost the host more than the guest.
use wasip2::cli::stdout::get_stdout;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::io::poll::poll;

wit_bindgen::generate!({ inline: "package test:guest; world guest {
    export one-many-times: func(times: u32) -> u32;
    export many: func(count: u32) -> u32;
    export for-ever: func();
    export nothing: func();
    export zero-timers: func();
    export write-nothing: func();
    export write-zeroes: func(count: u64);
    export random: func(bytes: u64) -> u32;
}" });

struct Polling;

impl Guest for Polling {
    fn one_many_times(times: u32) -> u32 {
        let timer = subscribe_duration(0);
        let list = vec![&timer; times as usize];
        let mut ready = 0;
        loop {
            ready += poll(&list).len() as u32;
            if ready == 0 {
                return ready;
            }
        }
    }

    fn many(count: u32) -> u32 {
        let timers: Vec<_> = (0..count).map(|_| subscribe_duration(1 << 60)).collect();
        poll(&timers.iter().collect::<Vec<_>>()).len() as u32
    }

    fn for_ever() {
        subscribe_duration(u64::MAX).block();
    }

    fn nothing() {
        poll(&[]);
    }

    fn zero_timers() {
        loop {
            subscribe_duration(0).block();
        }
    }

    fn write_nothing() {
        let out = get_stdout();
        loop {
            out.write(&[]).expect("writes");
        }
    }

    fn write_zeroes(count: u64) {
        get_stdout().write_zeroes(count).expect("writes");
    }

    fn random(bytes: u64) -> u32 {
        wasip2::random::random::get_random_bytes(bytes).len() as u32
    }
}

export!(Polling);
