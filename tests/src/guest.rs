//! Components: built guests by name, and components written as text.

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

/// A guest of `tests/guests`.
pub fn test_guest(name: &str) -> Vec<u8> {
    read(folder().join("tests").join(format!("{name}.wasm")))
}

/// A guest of `tests/languages`, or a line that says that there is none. In CI that is a failure.
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

/// A component written as text.
pub fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A component that answers a number and imports nothing.
pub fn seven() -> Vec<u8> {
    wat(r#"(component
        (core module $m (func (export "seven") (result i32) i32.const 7))
        (core instance $i (instantiate $m))
        (func (export "seven") (result u32) (canon lift (core func $i "seven"))))"#)
}

/// A component with one more custom section at its end.
pub fn with_section(mut component: Vec<u8>, name: &str, content: &[u8]) -> Vec<u8> {
    let mut body = leb128(name.len());
    body.extend(name.bytes().chain(content.iter().copied()));
    component.push(0);
    component.extend(leb128(body.len()));
    component.extend(body);
    component
}

/// A number as binaries spell it.
pub fn leb128(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A component that names one tool with these texts when it runs, laid out as the canonical ABI has it. Called, it answers nothing.
pub fn naming(description: &str, input: &str, output: Option<&str>) -> Vec<u8> {
    use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
    /// Where the tool stands, and where its texts do.
    const TOOL: u32 = 128;
    const TEXTS: u32 = 256;
    let mut texts = Vec::new();
    let mut place = |text: &str| {
        let at = TEXTS + texts.len() as u32;
        texts.extend_from_slice(text.as_bytes());
        [at, text.len() as u32]
    };
    let (name, description, input) = (place("one"), place(description), place(input));
    let output = output.map(&mut place);
    // name, title, description, input-schema, output-schema, hints
    let mut tool: Vec<u32> = [name.as_slice(), &[0, 0, 0], &description, &input].concat();
    tool.extend(output.map_or([0, 0, 0], |[at, len]| [1, at, len]));
    tool.extend([0, 0, 0]);
    let data = |at: u32, bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!("(data (i32.const {at}) \"{hex}\")")
    };
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_dir(crate::root().join("wit/toolgate-plugin")).unwrap();
    let package = resolve
        .push_str("w.wit", "package test:names; world w { export toolgate:plugin/dynamic-tools@0.1.0; }")
        .unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat::parse_str(format!(
        r#"(module
        (memory (export "memory") 8)
        {} {} {}
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 500000)
        (func (export "toolgate:plugin/dynamic-tools@0.1.0#list") (result i32) i32.const 64)
        (func (export "toolgate:plugin/dynamic-tools@0.1.0#call") (param i32 i32 i32 i32) (result i32) i32.const 400000))"#,
        data(64, &words(&[0, TOOL, 1])),
        data(TOOL, &words(&tool)),
        data(TEXTS, &texts),
    ))
    .unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}
