//! Panics with a message.
wit_bindgen::generate!({ inline: "package test:guest; world guest { export run: func(why: string) -> string; }" });

struct Panicking;

impl Guest for Panicking {
    fn run(why: String) -> String {
        panic!("{why}");
    }
}

export!(Panicking);
