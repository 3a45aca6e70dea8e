//! Answers with the given number of bytes.
wit_bindgen::generate!({ inline: "package test:guest; world guest { export text: func(bytes: u32) -> string; export numbers: func(count: u32) -> list<u32>; }" });

struct Large;

impl Guest for Large {
    fn text(bytes: u32) -> String {
        "x".repeat(bytes as usize)
    }

    fn numbers(count: u32) -> Vec<u32> {
        vec![7; count as usize]
    }
}

export!(Large);
