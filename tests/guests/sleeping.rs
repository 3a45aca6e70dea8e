//! Sleeps for the given time.
wit_bindgen::generate!({ inline: "package test:guest; world guest { export run: func(ms: u32) -> string; }" });

struct Sleeping;

impl Guest for Sleeping {
    fn run(ms: u32) -> String {
        std::thread::sleep(std::time::Duration::from_millis(ms.into()));
        "awake".to_owned()
    }
}

export!(Sleeping);
