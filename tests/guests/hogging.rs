//! Allocates the given amount of memory and keeps it, optionally for a given time.
wit_bindgen::generate!({ inline: "package test:guest; world guest {
    export run: func(mebibytes: u32) -> u64;
    export hold: func(mebibytes: u32, ms: u32) -> u64;
}" });

struct Hogging;

impl Guest for Hogging {
    fn run(mebibytes: u32) -> u64 {
        let blocks: Vec<Vec<u8>> = (0..mebibytes).map(|fill| vec![fill as u8 | 1; 1 << 20]).collect();
        std::hint::black_box(&blocks).iter().map(|block| block.len() as u64).sum()
    }

    fn hold(mebibytes: u32, ms: u32) -> u64 {
        let block = std::hint::black_box(vec![1_u8; (mebibytes as usize) << 20]);
        std::thread::sleep(std::time::Duration::from_millis(ms.into()));
        std::hint::black_box(&block).len() as u64
    }
}

export!(Hogging);
