//! Every mapped type, round trip through a real guest: the result is as `tools.md` says.

use serde_json::{Value, json};
use toolgate_tests::{Server, Transport, World, test_guest};

fn echo() -> Server {
    World::new().plugin("echo", &test_guest("echoing")).serve(Transport::Http)
}

/// Result of the guest for one parameter `a`.
fn back(server: &Server, function: &str, a: Value) -> Value {
    let reply = server.call(&format!("echo_{function}"), json!({ "a": a }));
    assert!(!reply.is_error(), "{function} {a}: {reply:?}");
    match reply.structured() {
        Value::Object(map) if map.len() == 1 && map.contains_key("result") => map["result"].clone(),
        Value::Null => Value::from(reply.text()),
        value => value.clone(),
    }
}

/// Error text for one parameter `a`.
fn problem(server: &Server, function: &str, a: &str) -> String {
    let (_, mut message) = server.modern("tools/call", json!({ "name": format!("echo_{function}") }));
    message["params"]["arguments"] = json!("ARGUMENTS");
    let text = message.to_string().replace("\"ARGUMENTS\"", &format!("{{\"a\":{a}}}"));
    let reply = server.post(&text, &toolgate_tests::client::headers(&message)).message();
    assert_eq!(reply["result"]["isError"], true, "{function} {a}: {reply}");
    let told = reply["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(told.contains("/a"), "{told}");
    told
}

#[test]
fn scalars() {
    let server = echo();
    for value in [json!(true), json!(false)] {
        assert_eq!(back(&server, "bools", value.clone()), value);
    }
    for value in ["ä", "𝄞", "\u{0}", "\u{10ffff}"] {
        assert_eq!(back(&server, "chars", json!(value)), value);
    }
    for value in ["", "text", "\u{0}ä𝄞\"\\\n", &"x".repeat(100_000)] {
        assert_eq!(back(&server, "strings", json!(value)), value);
    }
    for (function, wrong) in [
        ("bools", r#""yes""#),
        ("bools", "1"),
        ("bools", "null"),
        ("chars", r#""""#),
        ("chars", r#""ab""#),
        ("chars", "65"),
        ("strings", "5"),
        ("strings", "null"),
        ("strings", r#"["a"]"#),
    ] {
        problem(&server, function, wrong);
    }
}

#[test]
fn integers_at_their_borders() {
    let server = echo();
    for (name, values) in [
        ("least", json!([0, -128, 0, -32768, 0, -2147483648i64])),
        ("most", json!([255, 127, 65535, 32767, 4294967295u32, 2147483647])),
    ] {
        let args: Value = ["a", "b", "c", "d", "e", "f"]
            .iter()
            .zip(values.as_array().unwrap())
            .map(|(k, v)| ((*k).to_owned(), v.clone()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let reply = server.call("echo_small", args);
        assert_eq!(reply.structured(), &json!({ "result": values }), "{name}");
    }
    let wide = |a: Value, b: Value| server.call("echo_wide", json!({ "a": a, "b": b }));
    // Beyond the integers that every JSON reader represents exactly, they are texts of digits.
    assert_eq!(
        wide(json!(9007199254740991u64), json!(-9007199254740991i64)).structured()["result"],
        json!([9007199254740991u64, -9007199254740991i64])
    );
    assert_eq!(
        wide(json!("18446744073709551615"), json!("-9223372036854775808")).structured()["result"],
        json!(["18446744073709551615", "-9223372036854775808"])
    );
    assert_eq!(
        wide(json!(18446744073709551615u64), json!(i64::MIN)).structured()["result"],
        json!(["18446744073709551615", "-9223372036854775808"])
    );
    assert_eq!(wide(json!(5.0), json!("7")).structured()["result"], json!([5, 7]));
    for (a, b) in [
        (json!(-1), json!(0)),
        (json!("18446744073709551616"), json!(0)),
        (json!("1e-3"), json!(0)),
        (json!("+1"), json!(0)),
        (json!("01"), json!(0)),
        (json!(""), json!(0)),
        (json!(1.5), json!(0)),
        (json!(0), json!("9223372036854775808")),
    ] {
        assert!(wide(a.clone(), b.clone()).is_error(), "{a} {b}");
    }
    for wrong in ["256", "-1", "1.5", "1e3", r#""256""#, "null", "true"] {
        let (_, mut message) = server.modern("tools/call", json!({ "name": "echo_small" }));
        message["params"]["arguments"] = json!("ARGUMENTS");
        let args = format!(r#"{{"a":{wrong},"b":0,"c":0,"d":0,"e":0,"f":0}}"#);
        let text = message.to_string().replace("\"ARGUMENTS\"", &args);
        let reply = server.post(&text, &toolgate_tests::client::headers(&message)).message();
        assert_eq!(reply["result"]["isError"], true, "{wrong}");
    }
}

#[test]
fn floats_with_the_digits_of_their_own_width() {
    let server = echo();
    let floats = |a: Value, b: Value| server.call("echo_floats", json!({ "a": a, "b": b }));
    assert_eq!(floats(json!(0.1), json!(0.1)).structured().to_string(), r#"{"result":[0.1,0.1]}"#);
    assert_eq!(floats(json!(16777216), json!(5e-324)).structured()["result"][1], json!(5e-324));
    assert!(floats(json!(1e39), json!(0)).is_error(), "too large for 32 bits");
    assert!(floats(json!("NaN"), json!(0)).is_error(), "not as an argument");
    let odd = server.call("echo_odd-floats", json!({}));
    assert_eq!(odd.structured().to_string(), r#"{"result":["NaN","Infinity","-Infinity",-0.0,0.1]}"#);
}

#[test]
fn bytes_are_base64_in_either_alphabet() {
    let server = echo();
    for (given, standard) in [("", ""), ("AP/+", "AP/+"), ("AP_-", "AP/+"), ("AA", "AA=="), ("AA==", "AA==")]
    {
        assert_eq!(back(&server, "bytes", json!(given)), standard);
    }
    for wrong in [r#""A""#, r#""AA=A""#, r#""A.A""#, "[1,2]", r#""AB==C""#] {
        problem(&server, "bytes", wrong);
    }
}

#[test]
fn lists_records_and_options() {
    let server = echo();
    for lists in [json!([]), json!([[]]), json!([[1, 2], [], [4294967295u32]])] {
        assert_eq!(back(&server, "lists", lists.clone()), lists);
    }
    // An empty option is an absent key. An option of an option has a wrapper, so that the two kinds of empty differ.
    for point in [
        json!({ "x": 1 }),
        json!({ "x": 1, "y": 2 }),
        json!({ "x": 1, "label": { "some": "a" } }),
        json!({ "x": 1, "label": { "some": null } }),
    ] {
        assert_eq!(server.call("echo_records", json!({ "a": point })).structured(), &point, "{point}");
    }
    assert_eq!(
        server.call("echo_records", json!({ "a": { "y": null, "label": null, "x": 1 } })).structured(),
        &json!({ "x": 1 })
    );
    assert_eq!(back(&server, "options", json!(5)), 5);
    assert_eq!(back(&server, "options", Value::Null), Value::Null);
    assert_eq!(server.call("echo_options", json!({})).structured(), &json!({ "result": null }));
    for (function, wrong) in [
        ("lists", "[[1],2]"),
        ("lists", "{}"),
        ("records", "{}"),
        ("records", r#"{"x":1,"z":2}"#),
        ("records", r#"{"x":1,"label":"a"}"#),
        ("records", "[1]"),
        ("options", r#""five""#),
    ] {
        problem(&server, function, wrong);
    }
    let told = problem(&server, "lists", r#"[[1],[2,"x"]]"#);
    assert!(told.contains("/a/1/1"), "{told}");
}

#[test]
fn variants_enums_flags_and_results() {
    let server = echo();
    for figure in [
        json!({ "tag": "dot" }),
        json!({ "tag": "circle", "val": 1.5 }),
        json!({ "tag": "polygon", "val": [{ "x": 1 }, { "x": 2, "y": 3 }] }),
    ] {
        assert_eq!(server.call("echo_variants", json!({ "a": figure })).structured()["result"], figure);
    }
    assert_eq!(back(&server, "variants", json!("dot")), json!({ "tag": "dot" }));
    assert_eq!(back(&server, "enums", json!("green")), "green");
    assert_eq!(
        back(&server, "flag-sets", json!(["run", "read"])),
        json!(["read", "run"]),
        "in the order of their declaration"
    );
    assert_eq!(
        back(&server, "flag-sets", json!(["read", "read"])),
        json!(["read"]),
        "one that is there twice is there"
    );
    assert_eq!(back(&server, "flag-sets", json!([])), json!([]));
    for result in [json!({ "ok": 5 }), json!({ "err": "no" })] {
        assert_eq!(
            server.call("echo_results", json!({ "a": result })).structured(),
            &json!({ "result": [result] })
        );
    }
    for (function, wrong) in [
        ("variants", r#""circle""#),
        ("variants", r#"{"tag":"circle"}"#),
        ("variants", r#"{"tag":"dot","val":1}"#),
        ("variants", r#"{"tag":"square"}"#),
        ("variants", r#"{"tag":"polygon","val":[{"y":1}]}"#),
        ("enums", r#""yellow""#),
        ("enums", "1"),
        ("flag-sets", r#"["fly"]"#),
        ("results", r#"{"ok":5,"err":"no"}"#),
        ("results", "{}"),
        ("results", "5"),
    ] {
        problem(&server, function, wrong);
    }
}

#[test]
fn a_result_at_the_top_is_the_tools_own_verdict() {
    let server = echo();
    let ok = server.call("echo_outcome", json!({ "a": { "ok": 5 } }));
    assert_eq!((ok.is_error(), ok.structured()), (false, &json!({ "result": 5 })));
    let err = server.call("echo_outcome", json!({ "a": { "err": "it did not work" } }));
    assert_eq!((err.is_error(), err.text(), err.structured()), (true, "it did not work", &Value::Null));
    for (arm, is_error) in [("ok", false), ("err", true)] {
        let bare = server.call("echo_bare", json!({ "a": { arm: null } }));
        assert_eq!(bare.is_error(), is_error, "{bare:?}");
    }
    let nothing = server.call("echo_nothing", json!({}));
    assert_eq!(nothing.0["result"]["content"], json!([]));
    assert_eq!(nothing.structured(), &Value::Null);
}

#[test]
fn a_function_of_a_type_that_is_not_mapped_is_hidden_and_said_so() {
    let bytes = toolgate_tests::wat(
        r#"(component
            (core module $m (func (export "make") (result i32) i32.const 1) (func (export "seven") (result i32) i32.const 7))
            (core instance $i (instantiate $m))
            (type $r' (resource (rep i32)))
            (export $r "thing" (type $r'))
            (core func $new (canon resource.new $r'))
            (func (export "make") (result (own $r)) (canon lift (core func $i "make")))
            (func (export "seven") (result u32) (canon lift (core func $i "seven"))))"#,
    );
    let world = World::new().plugin("half", &bytes);
    assert_eq!(world.serve(Transport::Http).tools(), ["half_seven"]);
    let inspect = world.run(&["inspect", "plugins/half.wasm"]);
    assert!(inspect.stdout.contains("make") && inspect.stdout.contains("resource"), "{}", inspect.said());
}
