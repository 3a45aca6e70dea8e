//! Increments a counter in a static variable.
use std::sync::atomic::{AtomicU32, Ordering};

wit_bindgen::generate!({ inline: "package test:guest; world guest { export run: func() -> u32; }" });

static CALLS: AtomicU32 = AtomicU32::new(0);

struct Counting;

impl Guest for Counting {
    fn run() -> u32 {
        CALLS.fetch_add(1, Ordering::Relaxed) + 1
    }
}

export!(Counting);
