//! Never answers.
wit_bindgen::generate!({ inline: "package test:guest; world guest { export run: func() -> string; }" });

struct Looping;

impl Guest for Looping {
    fn run() -> String {
        loop {
            std::hint::black_box(());
        }
    }
}

export!(Looping);
