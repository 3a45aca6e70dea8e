//! Draws random bytes.
wit_bindgen::generate!({ inline: "package test:guest; world guest { export run: func(bytes: u64) -> list<u8>; }" });

struct Dicing;

impl Guest for Dicing {
    fn run(bytes: u64) -> Vec<u8> {
        wasip2::random::random::get_random_bytes(bytes)
    }
}

export!(Dicing);
