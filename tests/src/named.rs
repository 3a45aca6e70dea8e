//! Components that declare one tool at run time with texts of a test's choice, laid out by the canonical ABI.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// A dynamic tool called `one`.
pub struct Named<'a> {
    /// Description.
    pub description: &'a str,
    /// Schema of its arguments.
    pub input: &'a str,
    /// Schema of its answers.
    pub output: Option<&'a str>,
    /// Outcome of a call.
    pub says: Says<'a>,
}

/// Outcome of a tool's call.
pub enum Says<'a> {
    /// Crash.
    Nothing,
    /// Answer without content, with this structured content.
    Structured(Option<&'a str>),
    /// Failure with this reason.
    Failure(&'a str),
}

/// Memory layout: results of `list` and `call`, the tool, all texts, and the arguments received.
const LIST: u32 = 64;
const CALL: u32 = 96;
const TOOL: u32 = 128;
const TEXTS: u32 = 256;
const HANDED: u32 = 500_000;

/// A component with these texts. A call answers without content.
pub fn naming(description: &str, input: &str, output: Option<&str>) -> Vec<u8> {
    named(&Named { description, input, output, says: Says::Structured(None) })
}

/// A component that declares this tool.
pub fn named(tool: &Named<'_>) -> Vec<u8> {
    let mut texts = Vec::new();
    let mut place = |text: &str| {
        let at = TEXTS + texts.len() as u32;
        texts.extend_from_slice(text.as_bytes());
        [at, text.len() as u32]
    };
    let (name, description, input) = (place("one"), place(tool.description), place(tool.input));
    let mut optional = |text: Option<&str>| {
        text.map_or([0, 0, 0], |text| {
            let [at, len] = place(text);
            [1, at, len]
        })
    };
    // name, title, description, input-schema, output-schema, hints
    let mut words = [name.as_slice(), &[0, 0, 0], &description, &input].concat();
    words.extend(optional(tool.output));
    words.extend([0, 0, 0]);
    let (said, call) = match tool.says {
        Says::Nothing => (Vec::new(), "unreachable".to_owned()),
        // ok: an empty list of blocks, and optional structured content
        Says::Structured(text) => {
            ([[0, TEXTS, 0].as_slice(), &optional(text)].concat(), format!("i32.const {CALL}"))
        }
        Says::Failure(why) => {
            let [_, at, len] = optional(Some(why));
            (vec![1, at, len], format!("i32.const {CALL}"))
        }
    };
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_dir(crate::root().join("wit/toolgate-plugin")).unwrap();
    let package = resolve
        .push_str("w.wit", "package test:names; world w { export toolgate:plugin/dynamic-tools@0.1.0; }")
        .unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat::parse_str(format!(
        r#"(module
        (memory (export "memory") 8)
        {} {} {} {}
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const {HANDED})
        (func (export "toolgate:plugin/dynamic-tools@0.1.0#list") (result i32) i32.const {LIST})
        (func (export "toolgate:plugin/dynamic-tools@0.1.0#call") (param i32 i32 i32 i32) (result i32) {call}))"#,
        data(LIST, &bytes(&[0, TOOL, 1])),
        data(CALL, &bytes(&said)),
        data(TOOL, &bytes(&words)),
        data(TEXTS, &texts),
    ))
    .unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

fn data(at: u32, bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!("(data (i32.const {at}) \"{hex}\")")
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
