//! Tools declared at run time: arguments and results are checked against the listed schemas.

use serde_json::{Value, json};
use toolgate_tests::named::{Named, Says, named};
use toolgate_tests::{Transport, World};

const NUMBER: &str = r#"{"type":"object","properties":{"n":{"type":"integer","minimum":3}},"required":["n"],"additionalProperties":false}"#;

fn tool(input: &str, output: Option<&str>, says: Says<'_>) -> Vec<u8> {
    named(&Named { description: "One.", input, output, says })
}

fn world(bytes: &[u8]) -> World {
    World::new().plugin("p", bytes)
}

#[test]
fn an_answer_that_does_not_fit_the_listed_schema_is_an_error_that_says_what_does_not() {
    for (says, words) in [
        (Says::Structured(Some(r#"{"n":"x"}"#)), Some("/n: value is not of type \"integer\"")),
        (Says::Structured(Some(r#"{"n":2}"#)), Some("/n: value is less than the minimum of 3")),
        (Says::Structured(Some("{}")), Some("\"n\" is a required property")),
        (Says::Structured(Some(r#"{"n":3,"m":1}"#)), Some("dditional properties")),
        (Says::Structured(None), Some("there is no structured content")),
        (Says::Structured(Some(r#"{"n":3}"#)), None),
    ] {
        let bytes = tool(r#"{"type":"object"}"#, Some(NUMBER), says);
        for isolation in ["isolation = \"thread\"", "isolation = \"process\""] {
            let world = world(&bytes).with(isolation);
            for transport in Transport::ALL {
                let server = world.serve(transport);
                let reply = server.call("p_one", json!({}));
                match words {
                    None => assert_eq!((reply.is_error(), reply.structured()), (false, &json!({ "n": 3 }))),
                    Some(words) => {
                        let text = reply.text();
                        assert!(reply.is_error() && text.contains(words), "{words}: {text}");
                        assert!(
                            text.starts_with("the tool's answer does not fit the output schema"),
                            "{text}"
                        );
                        let record = world.call_records().pop().unwrap();
                        assert!(record.to_string().contains("lift"), "it is the plugin's fault: {record}");
                    }
                }
            }
        }
    }
}

#[test]
fn an_error_of_a_tool_is_not_held_to_the_schema_of_its_answers() {
    let bytes = tool(r#"{"type":"object"}"#, Some(NUMBER), Says::Failure("not today"));
    let reply = world(&bytes).serve(Transport::Http).call("p_one", json!({}));
    assert_eq!((reply.is_error(), reply.text()), (true, "not today"));
}

#[test]
fn arguments_that_do_not_fit_the_listed_schema_never_reach_the_guest_and_what_does_not_fit_is_said() {
    // Entering the guest would crash it.
    let world = world(&tool(NUMBER, None, Says::Nothing));
    for transport in Transport::ALL {
        let server = world.serve(transport);
        for (arguments, words) in [
            (json!({ "n": 2 }), "- /n: value is less than the minimum of 3"),
            (json!({ "n": "3" }), "- /n: value is not of type \"integer\""),
            (json!({}), "- the arguments: \"n\" is a required property"),
            (json!({ "n": 3, "m": 1 }), "dditional properties"),
        ] {
            let reply = server.call("p_one", arguments);
            let text = reply.text();
            assert!(reply.is_error() && text.contains(words), "{words}: {text}");
            assert!(text.starts_with("the arguments do not fit this tool's input schema:"), "{text}");
        }
        let entered = server.call("p_one", json!({ "n": 3 }));
        assert!(entered.is_error() && !entered.text().contains("schema"), "{}", entered.text());
    }
}

#[test]
fn a_schema_that_takes_for_ever_for_a_small_value_is_not_asked_and_others_are_answered() {
    // Each level applies the schema of the next in two ways: 2^40 checks for forty levels.
    let tree = r##"{"type":"object","properties":{"c":{"$ref":"#/$defs/t"}},"$defs":{"t":{"allOf":[
        {"properties":{"c":{"$ref":"#/$defs/t"}}},{"properties":{"c":{"$ref":"#/$defs/t"}}}]}}}"##;
    let deep = (0..40).fold(json!({}), |value, _| json!({ "c": value }));
    let text = deep.to_string();
    for (input, output, says, arguments) in [
        (tree, None, Says::Nothing, deep),
        (r#"{"type":"object"}"#, Some(tree), Says::Structured(Some(&text)), json!({})),
    ] {
        let server = world(&tool(input, output, says)).serve(Transport::Http);
        let reply = server.call("p_one", arguments);
        assert!(
            reply.is_error() && reply.text().contains("too large to be held to this tool's schema"),
            "{}",
            reply.text()
        );
        assert_eq!(server.tools(), ["p_one"]);
    }
}

#[test]
fn large_answers_are_held_to_their_schema_too() {
    let schema = r#"{"type":"object","properties":{"list":{"type":"array","items":{"type":"integer"}}}}"#;
    let list = |last: Value| {
        let mut list = vec![json!(1); 100_000];
        list.push(last);
        json!({ "list": list }).to_string()
    };
    let answer = |text: &str| {
        let bytes = tool(r#"{"type":"object"}"#, Some(schema), Says::Structured(Some(text)));
        world(&bytes).serve(Transport::Http).call("p_one", json!({}))
    };
    let good = answer(&list(json!(1)));
    assert!(!good.is_error() && good.structured()["list"].as_array().unwrap().len() == 100_001);
    let bad = answer(&list(json!("x")));
    assert!(bad.is_error() && bad.text().contains("too large to say where"), "{}", bad.text());
}

#[test]
fn large_arguments_are_held_to_their_schema_too() {
    let schema = r#"{"type":"object","properties":{"list":{"type":"array","items":{"type":"integer"}}}}"#;
    let world = world(&tool(schema, None, Says::Nothing));
    for transport in Transport::ALL {
        let mut list = vec![json!(1); 100_000];
        list.push(json!("x"));
        let reply = world.serve(transport).call("p_one", json!({ "list": list }));
        let text = reply.text();
        assert!(reply.is_error() && text.contains("too large to say where"), "{text}");
        assert!(text.starts_with("the arguments do not fit this tool's input schema:"), "{text}");
    }
}

#[test]
fn what_a_plugin_says_in_a_schema_reaches_a_caller_escaped_and_bounded() {
    let name = "x".repeat(1_000);
    let schema = format!(r#"{{"type":"object","required":["{name}"]}}"#);
    let reply = world(&tool(&schema, None, Says::Nothing)).serve(Transport::Http).call("p_one", json!({}));
    assert!(reply.is_error() && reply.text().len() < 600, "{}", reply.text());
}

#[test]
fn so_many_patterns_are_compiled_for_a_plugin_and_no_more() {
    let schema = |count: usize| {
        let properties: serde_json::Map<String, Value> =
            (0..count).map(|n| (format!("p{n}"), json!({ "pattern": format!("^a{n}$") }))).collect();
        json!({ "type": "object", "properties": properties }).to_string()
    };
    let check = |count: usize| world(&tool(&schema(count), None, Says::Nothing)).run(&["check"]);
    assert_eq!(check(512).code, 0);
    let refused = check(513);
    assert_eq!(refused.code, 3, "{}", refused.said());
    assert!(refused.stderr.contains("more than 512 patterns together"), "{}", refused.stderr);
}
