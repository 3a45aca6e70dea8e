//! Writes the given amount to stdout, then answers.
use std::io::Write;

wit_bindgen::generate!({ inline: "package test:guest; world guest { export run: func(kibibytes: u32) -> string; }" });

struct Flooding;

impl Guest for Flooding {
    fn run(kibibytes: u32) -> String {
        let forged = r#"{"jsonrpc":"2.0","id":1,"result":{"forged":true}}"#;
        println!("{forged}");
        let line = vec![b'x'; 1024];
        for _ in 0..kibibytes {
            drop(std::io::stdout().write_all(&line));
        }
        eprintln!("done");
        "answered".to_owned()
    }
}

export!(Flooding);
