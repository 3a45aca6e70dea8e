//! Fuzz targets: functions that take any bytes and must neither panic nor loop forever. The fuzzer runs them, and an
//! ordinary test runs them on the stored inputs.

pub mod trust;

use std::sync::OnceLock;

use serde_json::json;
use tokio::runtime::Runtime;
use toolgate_base::artifact::Artifact;
use toolgate_base::interrupt::Interrupt;
use toolgate_base::json::{Json, JsonLimits};
use toolgate_base::outcome::{Content, FaultKind, Outcome};
use toolgate_mapping::lift::lift;
use toolgate_mapping::lower::lower;
use toolgate_mapping::schema::{Mode, reply};
use toolgate_mapping::shape::{Case, Field, Function, Integer, Shape};
use toolgate_policy::Principal;
use toolgate_policy::load::Grants;
use toolgate_policy::name::Prefix;
use toolgate_runtime::call::request::Request;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::load::describe::describe;
use toolgate_sandbox::inspect::inspect_any;

use crate::{World, guest, inside};
pub use trust::{bundle, key, lock, signature};

type Target = fn(&[u8]);

/// Fuzz targets by name.
pub const TARGETS: [(&str, Target); 8] = [
    ("arguments", arguments),
    ("lifts", lifts),
    ("section", section),
    ("component", component),
    ("signature", signature),
    ("key", key),
    ("lock", lock),
    ("bundle", bundle),
];

const BOUNDS: JsonLimits = JsonLimits { bytes_max: 1 << 20, depth_max: 64, nodes_max: 1 << 16 };

/// A type, then arguments for a function of it. Accepted values must survive a round trip.
pub fn arguments(data: &[u8]) {
    let mut rest = data;
    let shape = shape(&mut rest, 0);
    let Ok(value) = Json::parse(rest, BOUNDS) else { return };
    let param = Field { name: "a".to_owned(), shape: shape.clone() };
    let function = Function { params: vec![param], result: Some(shape), deferred: None };
    let arguments = Json::Object(vec![("a".to_owned(), value)]);
    let Ok(values) = lower(&arguments, &function) else { return };
    let reply = reply(&function, &Mode::Structured).unwrap();
    let answer = lift(values.first(), &function, &reply, 64 << 20).unwrap();
    let back = match answer.content {
        Content::Value { text, .. } => Json::parse(text.as_bytes(), BOUNDS),
        Content::Text(text) => Ok(Json::String(text)),
        // A top-level result is the tool's verdict, and blocks are not values.
        Content::Nothing | Content::Blocks { .. } => return,
    };
    if matches!(function.result, Some(Shape::Result(..))) {
        return;
    }
    let again = Json::Object(vec![("a".to_owned(), back.unwrap())]);
    assert_eq!(lower(&again, &function).as_ref(), Ok(&values), "{function}: {again:?}");
}

/// Decodes a type; any bytes give one.
fn shape(data: &mut &[u8], depth: usize) -> Shape {
    const INTEGERS: [Integer; 8] = [
        Integer::U8,
        Integer::U16,
        Integer::U32,
        Integer::U64,
        Integer::S8,
        Integer::S16,
        Integer::S32,
        Integer::S64,
    ];
    let choice = next(data);
    if depth > 4 {
        return Shape::Integer(INTEGERS[usize::from(choice) % 8]);
    }
    let many = |data: &mut &[u8]| usize::from(next(data) % 4) + 1;
    let names = |count: usize| (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>();
    let inner = |data: &mut &[u8]| Box::new(shape(data, depth + 1));
    match choice % 16 {
        0 => Shape::Bool,
        1 => Shape::F32,
        2 => Shape::F64,
        3 => Shape::Char,
        4 => Shape::String,
        5 => Shape::Bytes,
        6 => match *inner(data) {
            Shape::Integer(Integer::U8) => Shape::Bytes,
            element => Shape::List(Box::new(element)),
        },
        7 => Shape::Tuple((0..many(data)).map(|_| *inner(data)).collect()),
        8 => {
            let field = |name| Field { name, shape: *inner(data) };
            Shape::Record(names(usize::from(choice / 16 % 4) + 1).into_iter().map(field).collect())
        }
        9 => Shape::Option(inner(data)),
        10 => Shape::Result(
            next(data).is_multiple_of(2).then(|| inner(data)),
            next(data).is_multiple_of(2).then(|| inner(data)),
        ),
        11 => {
            let case = |name| Case { name, payload: next(data).is_multiple_of(2).then(|| *inner(data)) };
            Shape::Variant(names(usize::from(choice / 16 % 4) + 1).into_iter().map(case).collect())
        }
        12 => Shape::Enum(names(many(data))),
        13 => Shape::Flags(names(many(data))),
        _ => Shape::Integer(INTEGERS[usize::from(choice / 16) % 8]),
    }
}

fn next(data: &mut &[u8]) -> u8 {
    let Some((first, rest)) = data.split_first() else { return 14 };
    *data = rest;
    *first
}

/// Guest memory, and the place of the result in it: pointers, lengths and discriminants of every kind. The outcome must
/// be an answer or a fault of the plugin, never of the host.
pub fn lifts(data: &[u8]) {
    static GATE: OnceLock<(World, Gate, Runtime)> = OnceLock::new();
    let (_, gate, runtime) = GATE.get_or_init(|| {
        let world = World::new().plugin("lying", &lying());
        let gate = inside::gate(&world, "state");
        assert!(gate.start(&inside::spec(&world, &[("lying", Grants::default())])).serves);
        (world, gate, Runtime::new().unwrap())
    });
    let (Some((which, rest)), true) = (data.split_first(), data.len() > 5) else { return };
    let (at, memory) = rest.split_at(4);
    let at = u32::from_le_bytes(at.try_into().unwrap());
    let tool = format!("lying_{}", RESULTS[usize::from(*which) % RESULTS.len()].0);
    let arguments = json!({ "memory": base64(memory), "at": at }).to_string();
    let arguments = Json::parse(arguments.as_bytes(), BOUNDS).unwrap();
    let request = Request::new(Principal::local("fuzz"), tool, arguments, Interrupt::default());
    match runtime.block_on(gate.call(request)).into_inner() {
        Outcome::Answer(_) => {}
        Outcome::Fault(fault) => {
            assert!(
                matches!(fault.kind(), FaultKind::Trap | FaultKind::Limit(_) | FaultKind::Lift),
                "{fault:?}"
            );
        }
        Outcome::Denied(denied) => panic!("{denied}"),
    }
}

/// Result types that are returned through memory.
const RESULTS: [(&str, &str); 8] = [
    ("text", "string"),
    ("texts", "list<string>"),
    ("bytes", "list<list<u8>>"),
    ("letter", "option<char>"),
    ("shape", "figure"),
    ("person", "person"),
    ("wide", "list<tuple<u64, s64, f32>>"),
    ("outcome", "result<list<option<bool>>, style>"),
];

/// A component whose functions copy bytes to one place in memory and claim that the result is at another.
fn lying() -> Vec<u8> {
    use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
    let functions: String = RESULTS
        .iter()
        .map(|(name, result)| format!("  export {name}: func(memory: list<u8>, at: u32) -> {result};\n"))
        .collect();
    let wit = format!(
        "package test:lying;\ninterface types {{\n  record person {{ name: string, age: option<u8>, rights: rights }}\n  \
         flags rights {{ read, write, run }}\n  enum style {{ plain, formal }}\n  \
         variant figure {{ point, circle(f64), path(list<tuple<f32, char>>), named(string) }}\n}}\n\
         world lying {{\n  use types.{{person, figure, style}};\n{functions}}}\n"
    );
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("lying.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let bodies: String = RESULTS
        .iter()
        .map(|(name, _)| format!(r#"(func (export "{name}") (param i32 i32 i32) (result i32) local.get 2)"#))
        .collect();
    let mut module = guest::wat(&format!(
        r#"(module (memory (export "memory") 2)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 64)
        {bodies})"#
    ));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// Content of a `toolgate` or `package-docs` section.
pub fn section(data: &[u8]) {
    let Some((which, content)) = data.split_first() else { return };
    let name = if which.is_multiple_of(2) { "toolgate" } else { "package-docs" };
    component(&guest::with_section(guest::seven(), name, content));
}

/// A component: inspected, and described if it is valid.
pub fn component(data: &[u8]) {
    let artifact = Artifact::of(data.to_vec());
    let Ok((inspected, _)) = inspect_any(&artifact) else { return };
    // A refusal is as good as a description.
    drop(describe(&inspected, &Prefix::parse("p").unwrap()));
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        out.extend((0..=chunk.len()).map(|n| char::from(DIGITS[(group >> (18 - 6 * n) & 63) as usize])));
    }
    out
}
