//! Returns its arguments, of every type.
wit_bindgen::generate!({ inline: "package test:guest; world guest {
    record point { x: s32, y: option<s32>, %label: option<option<string>> }
    variant figure { dot, circle(f64), polygon(list<point>) }
    enum colour { red, green, blue }
    flags rights { read, write, run }

    export bools: func(a: bool) -> bool;
    export small: func(a: u8, b: s8, c: u16, d: s16, e: u32, f: s32) -> tuple<u8, s8, u16, s16, u32, s32>;
    export wide: func(a: u64, b: s64) -> tuple<u64, s64>;
    export floats: func(a: f32, b: f64) -> tuple<f32, f64>;
    export odd-floats: func() -> list<f64>;
    export chars: func(a: char) -> char;
    export strings: func(a: string) -> string;
    export bytes: func(a: list<u8>) -> list<u8>;
    export lists: func(a: list<list<u32>>) -> list<list<u32>>;
    export records: func(a: point) -> point;
    export variants: func(a: figure) -> figure;
    export enums: func(a: colour) -> colour;
    export flag-sets: func(a: rights) -> rights;
    export options: func(a: option<u32>) -> option<u32>;
    export results: func(a: result<u32, string>) -> tuple<result<u32, string>>;
    export outcome: func(a: result<u32, string>) -> result<u32, string>;
    export bare: func(a: result) -> result;
    export nothing: func();
}" });

struct Echoing;

impl Guest for Echoing {
    fn bools(a: bool) -> bool {
        a
    }
    fn small(a: u8, b: i8, c: u16, d: i16, e: u32, f: i32) -> (u8, i8, u16, i16, u32, i32) {
        (a, b, c, d, e, f)
    }
    fn wide(a: u64, b: i64) -> (u64, i64) {
        (a, b)
    }
    fn floats(a: f32, b: f64) -> (f32, f64) {
        (a, b)
    }
    fn odd_floats() -> Vec<f64> {
        vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.1]
    }
    fn chars(a: char) -> char {
        a
    }
    fn strings(a: String) -> String {
        a
    }
    fn bytes(a: Vec<u8>) -> Vec<u8> {
        a
    }
    fn lists(a: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
        a
    }
    fn records(a: Point) -> Point {
        a
    }
    fn variants(a: Figure) -> Figure {
        a
    }
    fn enums(a: Colour) -> Colour {
        a
    }
    fn flag_sets(a: Rights) -> Rights {
        a
    }
    fn options(a: Option<u32>) -> Option<u32> {
        a
    }
    fn results(a: Result<u32, String>) -> (Result<u32, String>,) {
        (a,)
    }
    fn outcome(a: Result<u32, String>) -> Result<u32, String> {
        a
    }
    fn bare(a: Result<(), ()>) -> Result<(), ()> {
        a
    }
    fn nothing() {}
}

export!(Echoing);
