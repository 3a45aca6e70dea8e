//! One interface in every language that makes components: callers cannot distinguish them.
//!
//! The interface is `tests/languages/wit`; the expected answers are here, and each language must agree with Rust.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use toolgate_tests::{Server, Transport, World, guest, test_guest};

/// Function, arguments, and expected result: structured value, text if there is none, or error.
type Call = (&'static str, Value, Value);

fn calls() -> Vec<Call> {
    vec![
        ("greet", json!({ "person": { "name": "Jörg" } }), json!("Grüß dich, Jörg.")),
        ("greet", json!({ "person": { "name": "李 🦀", "age": 255 } }), json!("Grüß dich, 李 🦀 (255).")),
        ("backwards", json!({ "text": "aß李🦀\u{0}\"\\\n" }), json!("\n\\\"\u{0}🦀李ßa")),
        ("backwards", json!({ "text": "" }), json!("")),
        ("first", json!({ "text": "🦀 and more" }), json!({ "result": "🦀" })),
        ("first", json!({ "text": "" }), json!({ "result": null })),
        ("letter", json!({ "letter": "ß" }), json!({ "result": "ß" })),
        ("letter", json!({ "letter": "\u{10ffff}" }), json!({ "result": "\u{10ffff}" })),
        ("next", json!({ "colour": "green" }), json!({ "result": "blue" })),
        ("next", json!({ "colour": "blue" }), json!({ "result": "red" })),
        ("others", json!({ "rights": [] }), json!({ "result": ["read", "write", "run"] })),
        ("others", json!({ "rights": ["write"] }), json!({ "result": ["read", "run"] })),
        ("sum", json!({ "numbers": [] }), json!({ "result": 0 })),
        ("sum", json!({ "numbers": [1, -2, "3"] }), json!({ "result": 2 })),
        ("wide", json!({ "unsigned": 0, "signed": -1 }), json!({ "result": [0, -1] })),
        (
            "wide",
            json!({ "unsigned": 9007199254740991u64, "signed": "-9007199254740992" }),
            json!({ "result": [9007199254740991u64, "-9007199254740992"] }),
        ),
        ("reverse", json!({ "bytes": "AAH/gA==" }), json!({ "result": "gP8BAA==" })),
        ("reverse", json!({ "bytes": "" }), json!({ "result": "" })),
        ("swap", json!({ "pair": [-2147483648i64, "ä"] }), json!({ "result": ["ä", -2147483648i64] })),
        ("area", json!({ "figure": { "tag": "point" } }), json!({ "result": 0.0 })),
        ("area", json!({ "figure": { "tag": "circle", "val": 0.5 } }), json!({ "result": 0.75 })),
        (
            "area",
            json!({ "figure": { "tag": "polygon", "val": [[0, 0], [1, 0.5]] } }),
            json!({ "result": 2.0 }),
        ),
        (
            "area",
            json!({ "figure": { "tag": "circle", "val": -1 } }),
            json!({ "error": "a radius is not negative – ever" }),
        ),
        ("half", json!({ "number": 5e-324 }), json!({ "result": 0.0 })),
        ("half", json!({ "number": 0.3 }), json!({ "result": 0.15 })),
        ("half", json!({}), json!({ "result": null })),
        (
            "later",
            json!({ "families": [
                { "name": "Maier", "members": [{ "name": "Ä", "age": 1 }, { "name": "" }, { "name": "C", "age": 9 }] },
                { "name": "Nobody", "members": [] },
            ] }),
            json!({ "result": [
                { "name": "Maier", "members": [{ "name": "C", "age": 10 }, { "name": "" }, { "name": "Ä", "age": 2 }] },
                { "name": "Nobody", "members": [] },
            ] }),
        ),
        ("later", json!({ "families": [] }), json!({ "result": [] })),
        (
            "verdict",
            json!({ "outcome": { "ok": u32::MAX } }),
            json!({ "result": [{ "err": u32::MAX }, true] }),
        ),
        ("verdict", json!({ "outcome": { "err": "nö" } }), json!({ "result": [{ "ok": "nö" }, false] })),
        ("nothing", json!({}), Value::Null),
    ]
}

/// Integers that a JavaScript Number cannot represent. QuickJS is left out: componentize-qjs 0.4.5 (jco 1.35.0)
/// converts every u64 and s64 to a Number. 9007199254740993 becomes 9007199254740992, and rounding beyond 64 bits
/// panics in the guest.
fn exact_calls() -> Vec<Call> {
    vec![
        ("sum", json!({ "numbers": ["9223372036854775806", 1] }), json!({ "result": "9223372036854775807" })),
        (
            "wide",
            json!({ "unsigned": u64::MAX, "signed": i64::MIN }),
            json!({ "result": ["18446744073709551615", "-9223372036854775808"] }),
        ),
        (
            "wide",
            json!({ "unsigned": "9007199254740993", "signed": "-9007199254740993" }),
            json!({ "result": ["9007199254740993", "-9007199254740993"] }),
        ),
    ]
}

/// A negative s64 as the whole result. StarlingMonkey is left out: componentize-js 0.23.0 builds it so that it aborts,
/// in every engine that runs the component.
fn negative_calls() -> Vec<Call> {
    vec![
        ("sum", json!({ "numbers": [-5] }), json!({ "result": -5 })),
        ("sum", json!({ "numbers": [i64::MIN] }), json!({ "result": "-9223372036854775808" })),
    ]
}

/// Arguments refused before the guest is entered.
fn refused() -> Vec<(&'static str, Value)> {
    vec![
        ("greet", json!({})),
        ("greet", json!({ "person": { "name": "a", "age": 256 } })),
        ("greet", json!({ "person": { "name": "a", "height": 2 } })),
        ("letter", json!({ "letter": "ab" })),
        ("next", json!({ "colour": "yellow" })),
        ("others", json!({ "rights": ["fly"] })),
        ("sum", json!({ "numbers": [1, "9223372036854775808"] })),
        ("wide", json!({ "unsigned": -1, "signed": 0 })),
        ("reverse", json!({ "bytes": "A" })),
        ("swap", json!({ "pair": [1] })),
        ("area", json!({ "figure": { "tag": "square", "val": 1 } })),
        ("later", json!({ "families": [{ "name": "a", "members": [{ "age": 1 }] }] })),
        ("verdict", json!({ "outcome": { "ok": 1, "err": "both" } })),
        ("nothing", json!({ "more": 1 })),
    ]
}

/// The tool list, and the complete result of each call.
fn answers(server: &Server, calls: &[Call]) -> Vec<(String, Value)> {
    let listed = server.request("tools/list", json!({}));
    let mut tools = listed["result"]["tools"].as_array().unwrap().clone();
    // `_meta` has the signer, which differs between plugins.
    tools.iter_mut().for_each(|tool| drop(tool.as_object_mut().unwrap().remove("_meta")));
    let mut told = vec![("tools/list".to_owned(), tools.into())];
    let calls = calls.iter().map(|(function, arguments, _)| (*function, arguments.clone()));
    for (function, arguments) in calls.chain(refused()) {
        let reply = server.call(&format!("same_{function}"), arguments.clone());
        told.push((format!("{function} {arguments}"), reply.0["result"].clone()));
    }
    told
}

/// Serves a component with this setting and grant, under one name whatever the language.
fn serve(bytes: &[u8], line: &str, grant: &str) -> Server {
    let world = World::new().plugin("same", bytes).with(line).grant(grant);
    // Compiled here without a client waiting; served from the cache.
    let checked = world.run(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.said());
    world.serve(Transport::Http)
}

fn answers_as_rust_does(language: &str, grant: &str, calls: &[Call]) {
    answers_as_rust_does_on(language, "", grant, calls);
}

fn answers_as_rust_does_on(language: &str, line: &str, grant: &str, calls: &[Call]) {
    let Some(bytes) = guest::language(language) else { return };
    let rust = answers(&serve(&test_guest("languages"), "", ""), calls);
    let server = serve(&bytes, line, grant);
    let told = answers(&server, calls);
    for ((what, expected), (_, told)) in rust.iter().zip(&told) {
        if told != expected {
            eprintln!("{language} {what}\n  Rust: {expected}\n  here: {told}");
        }
    }
    assert!(told == rust, "what differs is above; its log:\n{}", server.log());
}

fn all_calls() -> Vec<Call> {
    [calls(), exact_calls(), negative_calls()].concat()
}

#[test]
fn rust_answers_what_the_interface_says() {
    let server = serve(&test_guest("languages"), "", "");
    let called: BTreeSet<String> =
        calls().iter().map(|(function, _, _)| format!("same_{function}")).collect();
    assert_eq!(BTreeSet::from_iter(server.tools()), called, "every function is called");
    for (function, arguments, expected) in all_calls() {
        let reply = server.call(&format!("same_{function}"), arguments.clone());
        let told = match (reply.is_error(), reply.structured()) {
            (true, _) => json!({ "error": reply.text() }),
            (false, Value::Null) => reply.0["result"]["content"][0]["text"].clone(),
            (false, value) => value.clone(),
        };
        assert_eq!(told, expected, "{function} {arguments}");
    }
    for (function, arguments) in refused() {
        assert!(
            server.call(&format!("same_{function}"), arguments.clone()).is_error(),
            "{function} {arguments}"
        );
    }
}

/// Number of calls of each plugin: `TOOLGATE_CASES`, or 60.
fn cases() -> u32 {
    std::env::var("TOOLGATE_CASES").ok().map_or(60, |cases| cases.parse().unwrap())
}

fn answers_every_call(bytes: &[u8], line: &str, grant: &str, (tool, arguments, expected): Call) {
    let server = serve(bytes, line, grant);
    for number in 0..cases() {
        let reply = server.call(tool, arguments.clone());
        assert_eq!(reply.structured(), &expected, "{tool}, call {number} with `{line}`: {reply:?}");
    }
}

/// Go's runtime reads the monotonic clock in the first millisecond of a call and ends the program when it reads 0.
#[test]
fn plugins_in_go_and_python_answer_every_call_under_the_default_clock() {
    if let Some(bytes) = guest::language("go") {
        for line in ["", r#"engine = "async""#, r#"isolation = "process""#] {
            answers_every_call(
                &bytes,
                line,
                "",
                ("same_sum", json!({ "last": 100 }), json!({ "result": 5050 })),
            );
        }
    }
    if let Some(bytes) = guest::language("python") {
        let call = ("same_sum", json!({ "numbers": [1, 2] }), json!({ "result": 3 }));
        answers_every_call(&bytes, "", "sockets = []", call);
    }
}

#[test]
fn in_a_process_of_its_own_a_plugin_answers_as_on_a_thread() {
    let bytes = test_guest("languages");
    let apart = serve(&bytes, r#"isolation = "process""#, "");
    assert!(
        answers(&apart, &all_calls()) == answers(&serve(&bytes, "", ""), &all_calls()),
        "{}",
        apart.log()
    );
}

#[test]
fn in_a_process_of_its_own_python_answers_as_rust_does() {
    answers_as_rust_does_on("python", r#"isolation = "process""#, "sockets = []", &all_calls());
}

#[test]
fn javascript_on_quickjs_answers_as_rust_does() {
    answers_as_rust_does("javascript-quickjs", "", &calls());
}

#[test]
fn javascript_on_starlingmonkey_answers_as_rust_does() {
    answers_as_rust_does("javascript-starlingmonkey", "", &[calls(), exact_calls()].concat());
}

#[test]
fn python_answers_as_rust_does() {
    // Python imports sockets whether the code uses them or not; an empty grant links them and refuses every use.
    answers_as_rust_does("python", "sockets = []", &all_calls());
}

#[test]
fn c_answers_as_rust_does() {
    answers_as_rust_does("c", "", &all_calls());
}

/// QuickJS as jco builds it by default.
#[test]
fn javascript_with_async_built_ins_answers_as_rust_does_on_the_asynchronous_engine() {
    answers_as_rust_does_on("javascript-quickjs-async", r#"engine = "async""#, "", &calls());
}

#[test]
fn javascript_with_async_built_ins_is_refused_on_the_ordinary_engine_with_what_to_do() {
    let Some(bytes) = guest::language("javascript-quickjs-async") else { return };
    let refused = World::new().plugin("same", &bytes).run(&["check"]);
    assert_eq!(refused.code, 3);
    for words in [r#"engine = "async""#, "--backend-qjs-disable-async"] {
        assert!(refused.said().contains(words), "{}", refused.said());
    }
}
