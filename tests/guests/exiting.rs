//! Exits in the middle of a call.
wit_bindgen::generate!({ inline: "package test:guest; world guest { export run: func(status: u8) -> string; }" });

struct Exiting;

impl Guest for Exiting {
    fn run(status: u8) -> String {
        std::process::exit(i32::from(status));
    }
}

export!(Exiting);
