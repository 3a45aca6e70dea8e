//! Accepted and refused components, with each refusal's name, and every WebAssembly feature that is switched off.

use toolgate_policy::Capability;

use super::*;

fn look(text: &str) -> Result<Inspected, InspectError> {
    inspect(&Artifact::of(wat::parse_str(text).unwrap()), EngineKind::Sync)
}

fn refusal(text: &str) -> String {
    look(text).unwrap_err().to_string()
}

/// A component with one core function lifted as `f`, and `module` in its core module.
fn component(module: &str) -> String {
    format!(
        r#"(component
            (core module $m {module} (func (export "f") (result i32) i32.const 7))
            (core instance $i (instantiate $m))
            (func (export "f") (result u32) (canon lift (core func $i "f"))))"#
    )
}

#[test]
fn functions_are_found_with_their_shapes() {
    let inspected = look(&component("")).unwrap();
    let (path, function) = inspected.functions.first_key_value().unwrap();
    assert_eq!(
        (path.to_string().as_str(), function.as_ref().unwrap().to_string().as_str()),
        ("f", "func() -> u32")
    );
}

#[test]
fn functions_of_interfaces_have_the_interface_in_their_path_and_known_ones_are_no_tools() {
    let text = r#"(component
        (core module $m (func (export "f") (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))
        (func $r (result (result)) (canon lift (core func $i "f")))
        (instance $calc (export "f" (func $f)))
        (instance $run (export "run" (func $r)))
        (export "docs:adv/calc@1.0.0" (instance $calc))
        (export "wasi:cli/run@0.2.6" (instance $run)))"#;
    let paths: Vec<String> = look(text).unwrap().functions.keys().map(ToString::to_string).collect();
    assert_eq!(paths, ["docs:adv/calc@1.0.0#f"]);
}

#[test]
fn a_function_with_a_resource_is_left_out_and_says_why() {
    let text = r#"(component
        (type $r (resource (rep i32)))
        (core func $new (canon resource.new $r))
        (core module $m (import "" "new" (func $new (param i32) (result i32)))
          (func (export "make") (result i32) i32.const 1 call $new))
        (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
        (export $x "thing" (type $r))
        (func (export "make") (result (own $x)) (canon lift (core func $i "make"))))"#;
    let inspected = look(text).unwrap();
    assert_eq!(inspected.functions.first_key_value().unwrap().1, &Err(ShapeError::Resource));
}

#[test]
fn imports_mean_capabilities_and_unknown_ones_are_named() {
    let text = r#"(component
        (import "wasi:http/types@0.2.6" (instance))
        (import "wasi:clocks/wall-clock@0.2.6" (instance)))"#;
    let asked = look(text).unwrap().requested;
    assert!(asked.needs().contains(&Capability::Http) && asked.may_use().contains(&Capability::Clock));
    assert!(
        refusal(r#"(component (import "acme:db/query@1.0.0" (instance)))"#).contains("acme:db/query@1.0.0")
    );
}

#[test]
fn an_interface_of_which_only_types_of_values_are_used_asks_for_nothing() {
    let types = |inside: &str| format!(r#"(component (import "acme:db/rows@1.0.0" (instance {inside})))"#);
    let row = r#"(type $row (record (field "key" string))) (export "row" (type (eq $row)))"#;
    assert!(look(&types(row)).unwrap().imports.is_empty());
    for inside in [
        "",
        r#"(export "cursor" (type (sub resource)))"#,
        &format!(r#"{row} (export "all" (func))"#),
        &format!(r#"{row} (export "more" (instance))"#),
    ] {
        assert!(refusal(&types(inside)).contains("acme:db/rows@1.0.0"), "{inside}");
    }
}

#[test]
fn what_is_no_component_is_told_apart() {
    assert!(refusal("(module)").contains("core module"));
    for bytes in [&b""[..], b"hello", b"\x7fELF....", b"\0as"] {
        assert!(inspect(&Artifact::of(bytes.to_vec()), EngineKind::Sync).is_err());
    }
    let mut cut = wat::parse_str(component("")).unwrap();
    cut.truncate(cut.len() - 1);
    assert!(inspect(&Artifact::of(cut), EngineKind::Sync).is_err());
}

#[test]
fn every_switched_off_part_of_webassembly_is_refused() {
    let modules = [
        ("threads", "(memory 1 1 shared)"),
        ("memory64", "(memory i64 1)"),
        ("multi-memory", "(memory 1) (memory 1)"),
        ("gc", "(type (struct))"),
        ("function references", "(type $f (func)) (func (param (ref $f)))"),
        ("exceptions", "(tag)"),
        ("tail calls", "(func $g return_call $g)"),
        (
            "relaxed simd",
            "(func (param v128 v128) (result v128) local.get 0 local.get 1 i8x16.relaxed_swizzle)",
        ),
        ("custom page sizes", "(memory 1 (pagesize 1))"),
        (
            "wide arithmetic",
            "(func (param i64 i64 i64 i64) (result i64 i64) local.get 0 local.get 1 local.get 2 local.get 3 i64.add128)",
        ),
        ("stack switching", "(type $f (func)) (type $c (cont $f))"),
    ];
    for (what, module) in modules {
        assert!(matches!(look(&component(module)), Err(InspectError::Invalid(_))), "{what}");
    }
    let components = [
        ("async", r#"(component (core module $m) (core func (canon task.cancel)))"#),
        ("stream", r#"(component (type (stream u8)))"#),
        ("future", r#"(component (type (future u8)))"#),
        ("error-context", r#"(component (type error-context))"#),
        ("map", r#"(component (type (map string u8)))"#),
        ("fixed-length lists", r#"(component (type (list u8 4)))"#),
        ("values", r#"(component (import "v" (value u8)))"#),
    ];
    for (what, text) in components {
        assert!(matches!(look(text), Err(InspectError::Invalid(_))), "{what}");
    }
}

#[test]
fn an_asynchronous_component_is_told_how_to_be_built() {
    assert!(refusal("(component (type (stream u8)))").contains("--backend-qjs-disable-async"));
}

#[test]
fn bombs_are_refused_by_name() {
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let name = format!(r#"(component (import "a:b/{long}" (instance)))"#);
    assert!(refusal(&name).contains("a name with too many bytes"));
    let nested = "(component ".repeat(40) + &")".repeat(40);
    assert!(refusal(&nested).contains("nested"));
    let modules = format!("(component {})", "(core module)".repeat(300));
    assert!(refusal(&modules).contains("too many modules"));
    let imports: String = (0..300).map(|n| format!(r#"(import "a:b/c{n}" (instance))"#)).collect();
    assert!(refusal(&format!("(component {imports})")).contains("too many imports"));
    let function = format!("(func {})", "nop ".repeat(3 << 20));
    assert!(refusal(&component(&function)).contains("a function with too many bytes"));
}
