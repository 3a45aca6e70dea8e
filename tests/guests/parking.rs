//! For tests of malicious clients: takes large or dense arguments, gives long answers, waits, or crashes.
wit_bindgen::generate!({ inline: "package test:guest; world guest {
    record entry {
        a00: option<u8>, a01: option<u8>, a02: option<u8>, a03: option<u8>, a04: option<u8>, a05: option<u8>,
        a06: option<u8>, a07: option<u8>, a08: option<u8>, a09: option<u8>, a10: option<u8>, a11: option<u8>,
        a12: option<u8>, a13: option<u8>, a14: option<u8>, a15: option<u8>, a16: option<u8>, a17: option<u8>,
    }
    export wait: func(ms: u32) -> string;
    export text: func(words: string, ms: u32) -> u32;
    export bytes: func(data: list<u8>) -> u32;
    export numbers: func(items: list<u32>) -> u32;
    export sparse: func(items: list<entry>) -> u32;
    export long: func(kibibytes: u32) -> string;
    export crash: func();
}" });

struct Parking;

fn rest(ms: u32) {
    std::thread::sleep(std::time::Duration::from_millis(ms.into()));
}

impl Guest for Parking {
    fn wait(ms: u32) -> String {
        rest(ms);
        "waited".to_owned()
    }
    fn text(words: String, ms: u32) -> u32 {
        rest(ms);
        words.len() as u32
    }
    fn bytes(data: Vec<u8>) -> u32 {
        data.len() as u32
    }
    fn numbers(items: Vec<u32>) -> u32 {
        items.len() as u32
    }
    fn sparse(items: Vec<Entry>) -> u32 {
        items.len() as u32
    }
    fn long(kibibytes: u32) -> String {
        "0123456789abcdef".repeat(kibibytes as usize * 64)
    }
    fn crash() {
        panic!("as planned");
    }
}

export!(Parking);
