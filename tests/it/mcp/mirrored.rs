//! Headers that repeat arguments of a call (`x-mcp-header`): a plugin's annotations, and checks of a call's headers.

use serde_json::{Value, json};
use toolgate_tests::named::naming;
use toolgate_tests::{HttpReply, Server, Transport, World};

fn schema(properties: Value) -> String {
    json!({ "type": "object", "properties": properties }).to_string()
}

fn world() -> World {
    let properties = json!({
        "region": { "type": "string", "x-mcp-header": "Region" },
        "count": { "type": "integer", "x-mcp-header": "Count" },
        "at": { "type": "object", "properties": { "deep": { "type": "boolean", "x-mcp-header": "Deep" } } },
    });
    World::new().plugin("p", &naming("One.", &schema(properties), None))
}

fn call(server: &Server, arguments: &Value, more: &[(&str, &str)]) -> HttpReply {
    let (_, message) = server.modern("tools/call", json!({ "name": "p_one", "arguments": arguments }));
    let mut headers = toolgate_tests::client::headers(&message);
    headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    server.post(&message.to_string(), &headers)
}

#[test]
fn a_call_whose_headers_repeat_its_arguments_is_made() {
    let world = world();
    let server = world.serve(Transport::Http);
    let cases = [
        (json!({ "region": "eu" }), vec![("Mcp-Param-Region", "eu")]),
        (json!({ "region": "ä" }), vec![("mcp-param-region", "=?base64?w6Q=?=")]),
        (json!({ "count": 42 }), vec![("Mcp-Param-Count", "42.0")]),
        (json!({ "at": { "deep": true } }), vec![("Mcp-Param-Deep", "true")]),
        (json!({ "region": null, "count": null }), vec![]),
        (json!({}), vec![("Mcp-Param-Other", "x")]),
    ];
    for (arguments, headers) in &cases {
        let reply = call(&server, arguments, headers);
        assert_eq!(reply.status, 200, "{arguments} {headers:?}: {reply:?}");
    }
    assert_eq!(world.call_records().len(), cases.len());
}

#[test]
fn a_call_whose_headers_say_something_else_than_its_arguments_is_refused_and_not_made() {
    let world = world();
    let server = world.serve(Transport::Http);
    for (arguments, headers, words) in [
        (json!({ "region": "eu" }), vec![], "mcp-param-region is missing for the argument `region`"),
        (json!({ "region": "eu" }), vec![("Mcp-Param-Region", "us")], "says something else"),
        (json!({ "region": "eu" }), vec![("Mcp-Param-Region", "=?base64?%%?=")], "is not base64"),
        (json!({ "region": "eu" }), vec![("Mcp-Param-Region", "eu"), ("Mcp-Param-Region", "us")], "twice"),
        (json!({ "region": null }), vec![("Mcp-Param-Region", "eu")], "stands for nothing"),
        (json!({}), vec![("Mcp-Param-Region", "eu")], "stands for nothing"),
        (json!({ "count": 42 }), vec![("Mcp-Param-Count", "43")], "says something else"),
        (json!({ "count": 5 }), vec![("Mcp-Param-Count", "05")], "says something else"),
        (json!({ "count": 5 }), vec![("Mcp-Param-Count", "+5")], "says something else"),
        (json!({ "at": { "deep": true } }), vec![("Mcp-Param-Deep", "false")], "`at.deep`"),
    ] {
        let reply = call(&server, &arguments, &headers);
        let message = reply.message();
        assert_eq!(
            (reply.status, &message["error"]["code"]),
            (400, &json!(-32020)),
            "{arguments} {headers:?}: {reply:?}"
        );
        assert!(message["id"].is_i64(), "{reply:?}");
        assert!(
            message["error"]["message"].as_str().unwrap().contains(words),
            "{arguments} {headers:?}: {reply:?}"
        );
    }
    assert_eq!(world.call_records(), Vec::<Value>::new());
    // Stdio has no headers, and earlier revisions give them no meaning.
    let reply = world.serve(Transport::Stdio).call("p_one", json!({ "region": "eu" }));
    assert!(!reply.is_error(), "{reply:?}");
}

#[test]
fn a_revision_that_is_not_served_is_refused_as_that_before_headers_are_compared() {
    let world = world();
    let server = world.serve(Transport::Http);
    for version in ["9999-01-01", "2026-07-29"] {
        let (_, mut message) =
            server.modern("tools/call", json!({ "name": "p_one", "arguments": { "region": "eu" } }));
        message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(version);
        let mut headers = toolgate_tests::client::headers(&message);
        headers[0].1 = version.to_owned();
        let reply = server.post(&message.to_string(), &headers);
        assert_eq!((reply.status, &reply.message()["error"]["code"]), (400, &json!(-32022)), "{reply:?}");
    }
    // A revision in the header alone does not avoid the comparison.
    let (_, message) =
        server.modern("tools/call", json!({ "name": "p_one", "arguments": { "region": "eu" } }));
    let mut headers = toolgate_tests::client::headers(&message);
    headers[0].1 = "9999-01-01".to_owned();
    assert_eq!(server.post(&message.to_string(), &headers).status, 400);
    headers.remove(0);
    assert_eq!(server.post(&message.to_string(), &headers).status, 400);
    assert_eq!(world.call_records(), Vec::<Value>::new());
}

#[test]
fn annotations_for_which_clients_drop_a_tool_refuse_its_plugin() {
    let text = |name: &str| json!({ "type": "string", "x-mcp-header": name });
    for (properties, words) in [
        (
            json!({ "a": { "type": "number", "x-mcp-header": "A" } }),
            "is not \"string\", \"integer\" or \"boolean\"",
        ),
        (json!({ "a": text("Region"), "b": text("REGION") }), "another property has"),
        (json!({ "a": text("") }), "not a token"),
        (json!({ "a": text("a b") }), "not a token"),
        (json!({ "a": text("a\r\nX-Evil: 1") }), "not a token"),
        (json!({ "a": { "type": "array", "items": text("A") } }), "where a client does not look"),
        (json!({ "a": { "anyOf": [text("A"), { "type": "null" }] } }), "where a client does not look"),
    ] {
        let bytes = naming("One.", &schema(properties.clone()), None);
        let check = World::with_own_cache().plugin("p", &bytes).run(&["check"]);
        assert_eq!(check.code, 3, "{properties}: {}", check.said());
        assert!(
            check.stderr.contains("its dynamic tool `one` has a schema that is refused: `x-mcp-header`"),
            "{}",
            check.stderr
        );
        assert!(check.stderr.contains(words), "{properties}: {}", check.stderr);
    }
}
