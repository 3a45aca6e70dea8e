//! Components made from WIT alone. Their functions trap, or return their input: memory that the host wrote as one type
//! is read as the same type or one with equal layout.

use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

use super::{Text, Type, name};

/// A function of a component.
#[derive(Debug, Clone)]
pub struct Function {
    /// Function name.
    pub name: String,
    /// Parameters.
    pub params: Vec<(String, Type)>,
    /// Result type.
    pub result: Type,
    /// Source of the result.
    pub gives: Gives,
}

/// Source of a function's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// The only parameter, a list.
    List,
    /// First element of the only parameter, a list.
    First,
    /// All parameters, as a tuple or record. They flatten to more than sixteen values, so that the host passes them in
    /// memory.
    Parameters,
}

const PACKAGE: &str = "toolgate:made";

/// A component whose interface has these functions, and its WIT.
pub fn component(functions: &[Function]) -> (Vec<u8>, String) {
    let mut text = Text::default();
    let mut exports = String::new();
    let mut bodies = String::new();
    for function in functions {
        let params =
            function.params.iter().map(|(name, ty)| format!("{}: {}", name::text(name), text.of(ty)));
        let params = params.collect::<Vec<_>>().join(", ");
        let result = text.of(&function.result);
        exports.push_str(&format!("  {}: func({params}) -> {result};\n", name::text(&function.name)));
        bodies.push_str(&format!(
            "(func (export \"{PACKAGE}/made#{}\") {})\n",
            function.name,
            body(&function.result, function.gives)
        ));
    }
    let wit = format!(
        "package {PACKAGE};\ninterface made {{\n{}{exports}}}\nworld whole {{\n  export made;\n}}\n",
        text.definitions
    );
    let mut module = crate::wat(&format!("(module {REALLOC}\n{bodies})"));
    let mut resolve = Resolve::default();
    let package = resolve.push_str("made.wit", &wit).unwrap_or_else(|error| panic!("{error:?}\n{wit}"));
    let world = resolve.select_world(&[package], None).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    (ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap(), wit)
}

/// A component for the world `whole` of a WIT text; its functions trap.
///
/// # Errors
/// Message of the parser or encoder.
pub fn dummy(wit: &str) -> Result<Vec<u8>, String> {
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    let package = resolve.push_str("world.wit", wit).map_err(|error| format!("{error:#}"))?;
    let world = resolve.select_world(&[package], Some("whole")).map_err(|error| format!("{error:#}"))?;
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    let embedded = embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8);
    embedded.map_err(|error| format!("{error:#}"))?;
    let encoder = ComponentEncoder::default().module(&module).map_err(|error| format!("{error:#}"))?;
    encoder.validate(true).encode().map_err(|error| format!("{error:#}"))
}

/// Bump allocator without freeing, since an instance lives for one call. The first 64 bytes are for results.
const REALLOC: &str = r#"
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 64))
    (func (export "cabi_realloc")
        (param $old i32) (param $was i32) (param $align i32) (param $size i32) (result i32)
        (local $at i32) (local $end i32) (local $have i32)
        (local.set $at (i32.and
            (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (local.set $end (i32.add (local.get $at) (local.get $size)))
        (local.set $have (i32.mul (memory.size) (i32.const 65536)))
        (if (i32.gt_u (local.get $end) (local.get $have)) (then
            (if (i32.lt_s (memory.grow (i32.shr_u
                    (i32.add (i32.sub (local.get $end) (local.get $have)) (i32.const 65535))
                    (i32.const 16))) (i32.const 0))
                (then unreachable))))
        (global.set $next (local.get $end))
        (if (local.get $was) (then (memory.copy (local.get $at) (local.get $old)
            (select (local.get $was) (local.get $size) (i32.lt_u (local.get $was) (local.get $size))))))
        (local.get $at))"#;

fn body(result: &Type, gives: Gives) -> String {
    match gives {
        Gives::List => "(param i32 i32) (result i32) \
            (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16)"
            .to_owned(),
        Gives::Parameters => "(param i32) (result i32) (local.get 0)".to_owned(),
        Gives::First if numbers(result) > 1 => "(param i32 i32) (result i32) (local.get 0)".to_owned(),
        Gives::First => {
            let load = load(result);
            let (number, _) = load.split_once('.').unwrap();
            format!("(param i32 i32) (result {number}) ({load} (local.get 0))")
        }
    }
}

/// Number of core values that a value flattens to.
fn numbers(ty: &Type) -> usize {
    let parts = || ty.parts().into_iter().map(|(_, part)| numbers(part));
    match ty {
        Type::String | Type::List(_) => 2,
        Type::Tuple(_) | Type::Record(_) => parts().sum(),
        Type::Option(_) | Type::Result(..) | Type::Variant(_) => 1 + parts().max().unwrap_or(0),
        Type::Bool | Type::Int(_) | Type::F32 | Type::F64 | Type::Char | Type::Enum(_) | Type::Flags(_) => 1,
    }
}

/// Load instruction for a type that flattens to one value.
fn load(ty: &Type) -> &'static str {
    let width = |values: usize| match values {
        0..=256 => "i32.load8_u",
        257..=65_536 => "i32.load16_u",
        _ => "i32.load",
    };
    match ty {
        Type::Bool => "i32.load8_u",
        Type::Int(int) => match (int.bits, int.signed) {
            (8, false) => "i32.load8_u",
            (8, true) => "i32.load8_s",
            (16, false) => "i32.load16_u",
            (16, true) => "i32.load16_s",
            (32, _) => "i32.load",
            _ => "i64.load",
        },
        Type::F32 => "f32.load",
        Type::F64 => "f64.load",
        Type::Char => "i32.load",
        Type::Tuple(_) | Type::Record(_) => load(ty.parts()[0].1),
        Type::Result(..) => "i32.load8_u",
        Type::Variant(cases) => width(cases.len()),
        Type::Enum(names) => width(names.len()),
        Type::Flags(names) => match names.len() {
            0..=8 => "i32.load8_u",
            9..=16 => "i32.load16_u",
            _ => "i32.load",
        },
        Type::String | Type::List(_) | Type::Option(_) => unreachable!("these are more than one number"),
    }
}
