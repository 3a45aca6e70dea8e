//! Components whose function returns a list of any length and type, with one element repeated.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A result that contains a long list.
#[derive(Debug, Clone, Copy)]
pub struct Repeated {
    /// Display name.
    pub name: &'static str,
    /// Definitions in WIT.
    pub types: &'static str,
    /// Type of the result.
    pub result: &'static str,
    /// Memory of one element.
    pub element: &'static [u8],
    /// Memory that elements point to, at address 64.
    pub there: &'static [u8],
    /// Memory of the result before the list, at address 16.
    pub head: &'static [u8],
    /// Offsets of the list in the result, one or several.
    pub at: &'static [u32],
}

impl Repeated {
    /// A result that is a list.
    pub const LIST: Self =
        Self { name: "", types: "", result: "", element: &[], there: b"x", head: &[], at: &[0] };
}

/// A component whose `run(count)` returns this result.
pub fn repeated(what: &Repeated) -> Vec<u8> {
    let wit = format!(
        "package toolgate:made;\ninterface made {{\n{}\nrun: func(count: u32) -> {};\n}}\nworld whole {{ export made; }}\n",
        what.types, what.result
    );
    let bytes = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let ends = what.at.iter().map(|at| {
        format!(
            "(i32.store offset={at} (i32.const 16) (i32.const 65536)) (i32.store offset={} (i32.const 16) (local.get 0))",
            at + 4
        )
    });
    let module = format!(
        r#"(module
        (memory (export "memory") 1)
        (data (i32.const 16) "{head}") (data (i32.const 64) "{there}") (data (i32.const 1024) "{element}")
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "toolgate:made/made#run") (param $count i32) (result i32)
            (local $bytes i32) (local $done i32) (local $more i32)
            (local.set $bytes (i32.mul (local.get $count) (i32.const {size})))
            (if (i32.lt_s (memory.grow (i32.add (i32.shr_u (local.get $bytes) (i32.const 16)) (i32.const 1)))
                    (i32.const 0)) (then unreachable))
            (local.set $done (select (i32.const {size}) (local.get $bytes)
                (i32.lt_u (i32.const {size}) (local.get $bytes))))
            (memory.copy (i32.const 65536) (i32.const 1024) (local.get $done))
            (block $end (loop $again
                (br_if $end (i32.ge_u (local.get $done) (local.get $bytes)))
                (local.set $more (i32.sub (local.get $bytes) (local.get $done)))
                (if (i32.gt_u (local.get $more) (local.get $done)) (then (local.set $more (local.get $done))))
                (memory.copy (i32.add (i32.const 65536) (local.get $done)) (i32.const 65536) (local.get $more))
                (local.set $done (i32.add (local.get $done) (local.get $more)))
                (br $again)))
            {ends}
            (i32.const 16)))"#,
        head = bytes(what.head),
        there = bytes(what.there),
        element = bytes(what.element),
        size = what.element.len(),
        ends = ends.collect::<String>(),
    );
    let mut module = crate::wat(&module);
    let mut resolve = Resolve::default();
    let package = resolve.push_str("made.wit", &wit).unwrap_or_else(|error| panic!("{error:?}\n{wit}"));
    let world = resolve.select_world(&[package], None).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}
