//! Components: built guests by name, and components in text format.

use std::path::PathBuf;

fn folder() -> PathBuf {
    match std::env::var_os("TOOLGATE_GUESTS") {
        Some(folder) => folder.into(),
        None => std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("guests"),
    }
}

fn read(path: PathBuf) -> Vec<u8> {
    std::fs::read(&path)
        .unwrap_or_else(|_| panic!("{} is not built; run `cargo xtask guests`", path.display()))
}

/// An example plugin.
pub fn plugin(name: &str) -> Vec<u8> {
    read(folder().join(format!("{name}.wasm")))
}

/// A guest from `tests/guests`.
pub fn test_guest(name: &str) -> Vec<u8> {
    read(folder().join("tests").join(format!("{name}.wasm")))
}

/// Files of all built example plugins and test guests.
pub fn all() -> Vec<PathBuf> {
    let list = |folder: PathBuf| {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("run `cargo xtask guests`"));
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "wasm"))
    };
    let mut all: Vec<PathBuf> = list(folder()).chain(list(folder().join("tests"))).collect();
    all.sort();
    all
}

/// A guest from `tests/languages`, or a printed note that it is missing. In CI that is a failure.
pub fn language(name: &str) -> Option<Vec<u8>> {
    let path = folder().join("languages").join(format!("{name}.wasm"));
    let bytes = std::fs::read(&path).ok();
    let may_skip = std::env::var_os("CI").is_none_or(|ci| ci != "true");
    assert!(bytes.is_some() || may_skip, "{} is not built; run `cargo xtask languages`", path.display());
    if bytes.is_none() {
        eprintln!("skipped: {name} is not built; `cargo xtask languages` builds what can be built here");
    }
    bytes
}

/// A component in text format.
pub fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A component that returns a number and imports nothing.
pub fn seven() -> Vec<u8> {
    wat(r#"(component
        (core module $m (func (export "seven") (result i32) i32.const 7))
        (core instance $i (instantiate $m))
        (func (export "seven") (result u32) (canon lift (core func $i "seven"))))"#)
}

/// Appends a custom section to a component.
pub fn with_section(mut component: Vec<u8>, name: &str, content: &[u8]) -> Vec<u8> {
    let mut body = leb128(name.len());
    body.extend(name.bytes().chain(content.iter().copied()));
    component.push(0);
    component.extend(leb128(body.len()));
    component.extend(body);
    component
}

/// Encodes a number as unsigned LEB128.
pub fn leb128(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
