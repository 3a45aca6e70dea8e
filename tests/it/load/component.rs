//! Definition of a plugin: any component of the component model that imports only what Toolgate provides, whatever
//! built it; nothing else.

use serde_json::json;
use toolgate_tests::{Transport, World, guest};

use super::{assert_refused, beside_a_good_one};

#[test]
fn a_component_that_knows_nothing_of_toolgate_works() {
    // Hand-written: no SDK, no toolchain, a plain world with plain functions.
    let world = World::with_own_cache().plugin(
        "plain",
        &guest::wat(
            r#"(component
            (core module $m
                (memory (export "memory") 1)
                (global $next (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (local.get $at))
                (func (export "sum") (param i32 i32) (result i64)
                    (local $sum i64)
                    (block $done (loop $more
                        (br_if $done (i32.eqz (local.get 1)))
                        (local.set $sum (i64.add (local.get $sum) (i64.load32_u (local.get 0))))
                        (local.set 0 (i32.add (local.get 0) (i32.const 4)))
                        (local.set 1 (i32.sub (local.get 1) (i32.const 1)))
                        (br $more)))
                    (local.get $sum)))
            (core instance $i (instantiate $m))
            (func (export "sum") (param "numbers" (list u32)) (result u64)
                (canon lift (core func $i "sum") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#,
        ),
    );
    let server = world.serve(Transport::Http);
    assert_eq!(server.tools(), ["plain_sum"]);
    let reply = server.call("plain_sum", json!({ "numbers": [4294967295u32, 4294967295u32, 2] }));
    assert_eq!(reply.structured(), &json!({ "result": 8589934592u64 }));
}

#[test]
fn a_component_made_of_components_with_a_memory_each_works() {
    // Interpreters have this form: the program in one component, the interpreter in another.
    let world = World::with_own_cache().plugin(
        "two",
        &guest::wat(
            r#"(component
            (component $measure
                (core module $m
                    (memory (export "memory") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 16)
                    (func (export "first") (param i32 i32) (result i32) (i32.load8_u (local.get 0))))
                (core instance $i (instantiate $m))
                (func (export "first") (param "text" string) (result u8)
                    (canon lift (core func $i "first") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
            (component $ask
                (import "first" (func $first (param "text" string) (result u8)))
                (core module $memory (memory (export "memory") 1) (data (i32.const 64) "Words"))
                (core instance $memory (instantiate $memory))
                (core func $lowered (canon lower (func $first) (memory (core memory $memory "memory"))))
                (core module $m
                    (import "" "first" (func $first (param i32 i32) (result i32)))
                    (func (export "ask") (result i32) (call $first (i32.const 64) (i32.const 5))))
                (core instance $i (instantiate $m (with "" (instance (export "first" (func $lowered))))))
                (func (export "ask") (result u8) (canon lift (core func $i "ask"))))
            (instance $measured (instantiate $measure))
            (instance $asked (instantiate $ask (with "first" (func $measured "first"))))
            (export "ask" (func $asked "ask")))"#,
        ),
    );
    let server = world.serve(Transport::Http);
    assert_eq!(server.call("two_ask", json!({})).structured(), &json!({ "result": b'W' }));
}

#[test]
fn what_is_no_component_is_refused() {
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("a core module", guest::wat("(module)"), "core module"),
        ("text", b"#!/bin/sh\n".to_vec(), "it is not WebAssembly"),
        ("nothing", Vec::new(), "it is not WebAssembly"),
        (
            "a component cut short",
            guest::seven()[..40].to_vec(),
            "it is not a component that Toolgate runs: ",
        ),
    ];
    for (what, bytes, words) in cases {
        let check = World::with_own_cache().plugin("bad", &bytes).run(&["check"]);
        assert_eq!(check.code, 3, "{what}: {}", check.said());
        let line = check.stderr.lines().find(|line| line.starts_with("plugin bad: refused: "));
        assert!(line.is_some_and(|line| line.contains(words)), "{what}: {}", check.stderr);
    }
    assert_refused(beside_a_good_one(&guest::wat("(module)")), "core module");
}

#[test]
fn an_import_that_toolgate_does_not_know_is_refused_by_name() {
    let bytes = guest::wat(r#"(component (import "acme:launch/missiles@1.0.0" (instance)))"#);
    assert_refused(beside_a_good_one(&bytes), "acme:launch/missiles@1.0.0");
}

#[test]
fn code_that_was_compiled_already_is_refused() {
    // Even code compiled by this very engine: loading a precompiled file would run untrusted native code.
    let world = World::with_own_cache().plugin("seven", &guest::seven());
    assert_eq!(world.run(&["check"]).code, 0);
    let kept = std::fs::read(world.path(&format!("state/cache/{}", world.cached()[0]))).unwrap();
    assert_refused(
        beside_a_good_one(&kept[TAG_BYTES..]),
        "it is compiled code, which is never taken from outside",
    );
}

/// Length of the authentication tag before the code in a cached file.
const TAG_BYTES: usize = 32;

#[test]
fn a_proposal_that_is_switched_off_is_refused_before_anything_is_compiled() {
    let modules: [(&str, &str, &str); 8] = [
        ("threads", "threads", "(module (memory 1 1 shared))"),
        ("memory64", "memory64", "(module (memory i64 1))"),
        ("multi-memory", "memories", "(module (memory 1) (memory 1))"),
        ("gc", "gc", "(module (type (struct)))"),
        ("function-references", "function references", "(module (type $f (func)) (func (param (ref $f))))"),
        ("exceptions", "exceptions", "(module (tag))"),
        ("tail-call", "tail calls", "(module (func $f return_call $f))"),
        (
            "relaxed-simd",
            "relaxed SIMD",
            "(module (func (result v128) v128.const i32x4 0 0 0 0 v128.const i32x4 0 0 0 0 i8x16.relaxed_swizzle))",
        ),
    ];
    for (what, words, module) in modules {
        let bytes = guest::wat(&format!("(component {})", module.replacen("(module", "(core module", 1)));
        let world = World::with_own_cache().plugin("bad", &bytes);
        let check = world.run(&["check"]);
        assert_eq!(check.code, 3, "{what}: {}", check.said());
        assert!(world.cached().is_empty(), "{what}");
        // The reason must not be that it has no tool.
        let line = check.stderr.lines().find_map(|line| line.split("that Toolgate runs: ").nth(1));
        assert!(line.is_some_and(|line| line.contains(words)), "{what}: {}", check.stderr);
    }
}

#[test]
fn two_plugins_whose_tools_clash_are_refused() {
    let world = World::with_own_cache().plugin("one", &guest::seven()).with("prefix = \"\"");
    let world = world.plugin("two", &guest::seven()).with("prefix = \"\"");
    let check = world.run(&["check"]);
    assert_eq!(check.code, 3);
    assert!(check.stderr.contains("seven"), "{}", check.stderr);
}

#[test]
fn a_source_that_is_not_there_fails_and_one_that_is_no_file_is_refused() {
    let world = World::with_own_cache().plugin("gone", &guest::seven());
    let path = world.path("plugins/gone.wasm");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(world.run(&["check"]).code, 4);
    let refused = || {
        let check = world.run(&["check"]);
        assert_eq!(check.code, 3, "{}", check.said());
        assert!(check.stderr.contains("it is not a regular file"), "{}", check.stderr);
    };
    std::fs::create_dir(&path).unwrap();
    refused();
    std::fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    refused();
}

#[test]
fn of_several_reasons_a_refusal_comes_before_a_failure() {
    let world = World::with_own_cache().plugin("refused", &guest::seven()).plugin("failed", &guest::seven());
    std::fs::remove_file(world.path("plugins/refused.wasm.sigstore.json")).unwrap();
    std::fs::remove_file(world.path("plugins/failed.wasm")).unwrap();
    assert_eq!(world.run(&["check"]).code, 3);
}

/// Components nested this deep.
fn nested(levels: usize) -> Vec<u8> {
    const PREAMBLE: [u8; 8] = *b"\0asm\x0d\0\x01\0";
    (0..levels).fold(PREAMBLE.to_vec(), |inner, _| {
        let mut outer = PREAMBLE.to_vec();
        outer.push(4);
        outer.extend(guest::leb128(inner.len()));
        outer.extend(inner);
        outer
    })
}

#[test]
fn what_is_made_to_be_slow_to_read_is_refused_by_the_name_of_its_bound() {
    let exports: String = (0..10_000).map(|n| format!(r#"(export "f{n}" (func $f))"#)).collect();
    let many = guest::wat(&format!(
        r#"(component
        (core module $m (func (export "f") (result i32) i32.const 7))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))
        {exports})"#
    ));
    let long = guest::wat(&format!(r#"(component (import "a:b/{}" (instance)))"#, "x".repeat(1 << 20)));
    for (bytes, words) in [
        (many, "it exports 10000 functions: the limit is 1024"),
        (long, "a name with too many bytes"),
        (nested(5_000), "too deeply nested components"),
    ] {
        let check = World::with_own_cache().plugin("bomb", &bytes).run(&["check"]);
        assert_eq!(check.code, 3, "{words}: {}", check.said());
        assert!(check.stderr.contains(words), "{words}: {}", &check.stderr[..check.stderr.len().min(500)]);
    }
}
