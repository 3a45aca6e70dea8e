//! Opens the given number of host handles and keeps them open.
wit_bindgen::generate!({ inline: "package test:guest; world guest { export run: func(handles: u32) -> u32; }" });

struct Holding;

impl Guest for Holding {
    fn run(handles: u32) -> u32 {
        let held: Vec<_> = (0..handles).map(|_| wasip2::clocks::monotonic_clock::subscribe_duration(1 << 40)).collect();
        held.len() as u32
    }
}

export!(Holding);
