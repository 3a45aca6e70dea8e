//! Limits on a component's exports: exactly at the limit it is listed, one more is refused by name.

use serde_json::Value;
use toolgate_policy::limits::load::{
    NAME_BYTES_MAX, SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX, TOOLS_MAX,
};
use toolgate_runtime::snapshot::tool::ToolListing;
use toolgate_tests::wit::component::dummy;

use super::worlds::look;

fn world(inside: &str) -> Result<Vec<ToolListing>, String> {
    let wit = format!("package corpus:bounds;\nworld whole {{\n{inside}\n}}\n");
    look(&dummy(&wit).unwrap()).map(|(_, listings)| listings)
}

fn assert_listed(inside: &str) -> Vec<ToolListing> {
    world(inside).unwrap_or_else(|why| panic!("{why}"))
}

fn assert_refused(inside: &str, why: &str) {
    let refused = world(inside).expect_err("it is one too many");
    assert!(refused.contains(why), "{refused}");
}

/// A function with a parameter nested this deep, including the innermost type.
fn nested(open: &str, depth: usize) -> String {
    let around = depth - 1;
    format!("export go: func(a: {}bool{});", open.repeat(around), ">".repeat(around))
}

#[test]
fn schema_depth() {
    for open in ["list<", "option<", "tuple<", "result<"] {
        assert_eq!(assert_listed(&nested(open, SCHEMA_DEPTH_MAX)).len(), 1);
        assert_refused(&nested(open, SCHEMA_DEPTH_MAX + 1), "nest deeper than 32 levels");
    }
}

#[test]
fn schema_nodes() {
    // The tuple counts as one of them.
    let elements = |count: usize| format!("export go: func(a: tuple<{}>);", vec!["u8"; count - 1].join(", "));
    assert_eq!(assert_listed(&elements(SCHEMA_NODES_MAX)).len(), 1);
    assert_refused(&elements(SCHEMA_NODES_MAX + 1), "more than 512 parts");
    // So does each name, and the result counts together with the parameters.
    let names = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("n{n}")).collect();
        format!("enum name {{ {} }}\nexport go: func(a: name) -> name;", names.join(", "))
    };
    assert_eq!(assert_listed(&names(SCHEMA_NODES_MAX / 2 - 1)).len(), 1);
    assert_refused(&names(SCHEMA_NODES_MAX / 2), "more than 512 parts");
}

#[test]
fn schema_nodes_of_a_type_that_doubles_at_every_level() {
    let mut text = "type t0 = u8;\n".to_owned();
    for level in 1..=14 {
        let below = level - 1;
        text.push_str(&format!("type t{level} = tuple<t{below}, t{below}>;\n"));
    }
    assert_refused(&format!("{text}export go: func(a: t14);"), "more than 512 parts");
}

#[test]
fn flags() {
    // A limit of the component model, which component tools enforce, so this one is hand-written.
    let component = |count: usize| {
        let names: String = (0..count).map(|n| format!(" \"n{n}\"")).collect();
        toolgate_tests::wat(&format!(
            r#"(component
                (core module $m (func (export "go") (param i32)))
                (core instance $i (instantiate $m))
                (type $flags' (flags{names}))
                (export $flags "mask" (type $flags'))
                (func (export "go") (param "a" $flags) (canon lift (core func $i "go"))))"#
        ))
    };
    assert_eq!(look(&component(32)).unwrap().1.len(), 1);
    for count in [33, 64] {
        assert!(look(&component(count)).unwrap_err().contains("cannot have more than 32 flags"));
    }
}

#[test]
fn tools() {
    let functions =
        |count: usize| (0..count).map(|n| format!("export tool{n}: func();\n")).collect::<String>();
    assert_eq!(assert_listed(&functions(TOOLS_MAX)).len(), TOOLS_MAX);
    assert_refused(&functions(TOOLS_MAX + 1), "1025 functions: the limit is 1024");
}

#[test]
fn names() {
    let function = |bytes: usize| format!("{}: func();", "x".repeat(bytes));
    let inside = |bytes: usize| format!("export i: interface {{ {} }}", function(bytes));
    let imported = |bytes: usize| format!("import {}", function(bytes));
    let listed = assert_listed(&format!("export {}", function(NAME_BYTES_MAX)));
    assert_eq!(listed[0].name.as_str().len(), 64, "cut to what clients take");
    assert_eq!(assert_listed(&inside(NAME_BYTES_MAX)).len(), 1);
    let why = "a name with too many bytes: the limit is 512";
    assert_refused(&format!("export {}", function(NAME_BYTES_MAX + 1)), why);
    assert_refused(&inside(NAME_BYTES_MAX + 1), why);
    assert_refused(&imported(NAME_BYTES_MAX + 1), why);
}

#[test]
fn schema_bytes() {
    // One name may have at most 100,000 bytes.
    let named = |bytes: usize| {
        let half = bytes / 2;
        format!("enum e {{ y{}, {} }}\nexport go: func(a: e);", "x".repeat(half), "x".repeat(bytes - half))
    };
    let around = Value::Object(assert_listed(&named(2))[0].input.clone()).to_string().len() - 2;
    assert_eq!(assert_listed(&named(SCHEMA_BYTES_MAX - around)).len(), 1);
    assert_refused(&named(SCHEMA_BYTES_MAX - around + 1), "its schemas have more than 131072 bytes");
}
