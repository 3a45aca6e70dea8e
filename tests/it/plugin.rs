//! `toolgate:plugin`: content blocks, progress, log lines, cancellation, tools declared at run time.

use std::time::Duration;

use serde_json::{Value, json};
use toolgate_tests::client::PATIENCE;
use toolgate_tests::{Transport, World, test_guest};

fn piecing() -> World {
    World::new().plugin("p", &test_guest("piecing")).env("TOOLGATE_LOG", "debug")
}

#[test]
fn an_answer_is_made_of_pieces_of_every_kind() {
    for transport in Transport::ALL {
        let server = piecing().serve(transport);
        let listed = server.request("tools/list", json!({}))["result"]["tools"].clone();
        let pieces = listed.as_array().unwrap().iter().find(|tool| tool["name"] == "p_pieces").unwrap();
        assert_eq!(pieces["description"], "pieces: func() -> answer");
        assert_eq!(pieces.get("outputSchema"), None);
        let result =
            server.request("tools/call", json!({ "name": "p_pieces", "arguments": {} }))["result"].clone();
        assert_eq!(result["structuredContent"], json!({ "pieces": 5 }));
        assert_eq!(
            result["content"],
            json!([
                { "type": "text", "text": "words", "annotations": { "audience": ["user"], "priority": 0.5 } },
                { "type": "image", "data": "AQID", "mimeType": "image/png" },
                { "type": "audio", "data": "BAU=", "mimeType": "audio/wav" },
                { "type": "resource_link", "uri": "https://example.com/x", "name": "x" },
                { "type": "resource", "resource": { "uri": "test:y", "mimeType": "text/plain", "text": "why" } },
            ])
        );
    }
}

#[test]
fn a_piece_that_is_none_is_the_plugins_fault_and_says_which() {
    let server = piecing().serve(Transport::Http);
    for (how, words) in [
        ("uri", "an address that is not a URI"),
        ("hidden", "an address that is not a URI"),
        ("mime", "a media type that is none"),
        ("priority", "a priority that is not from 0 to 1"),
        ("structured", "not a JSON object"),
        ("twice", "not a JSON object"),
        ("large", "output_bytes_max"),
        ("otherwise", "no such way"),
    ] {
        let reply = server.call("p_badly", json!({ "how": how }));
        assert!(reply.is_error() && reply.text().contains(words), "{how}: {}", reply.text());
    }
}

#[test]
fn an_answer_with_content_that_a_client_might_run_is_refused_and_says_why() {
    let server = piecing().limit("faults_max = 100").serve(Transport::Http);
    let address = "an address such as javascript:, data: or file:";
    let schemes =
        ["javascript:alert(1)", "JaVaScRiPt:x", "data:text/html,x", "file:///etc/passwd", "vbscript:x"];
    let others = ["blob:https://example.com/1", "view-source:https://example.com", "ms-msdt:/id"];
    for piece in ["link", "embedded"] {
        for uri in schemes.iter().chain(&others) {
            let reply = server.call("p_badly", json!({ "how": format!("{piece} {uri}") }));
            assert!(reply.is_error() && reply.text().contains(address), "{piece} {uri}: {}", reply.text());
        }
    }
    let media = "an active media type, such as text/html or image/svg+xml";
    for piece in ["image", "audio", "body", "to"] {
        for mime in [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "image/svg+xml",
            "application/xhtml+xml",
            "text/javascript",
        ] {
            let reply = server.call("p_badly", json!({ "how": format!("{piece} {mime}") }));
            assert!(reply.is_error() && reply.text().contains(media), "{piece} {mime}: {}", reply.text());
        }
        let none = server.call("p_badly", json!({ "how": format!("{piece} text/plain, text/html") }));
        assert!(none.is_error() && none.text().contains("a media type that is none"), "{}", none.text());
    }
    for fine in [
        "link https://example.com/a",
        "embedded notes://a",
        "body text/plain; charset=utf-8",
        "image image/png",
    ] {
        let reply = server.call("p_badly", json!({ "how": fine }));
        assert!(!reply.is_error(), "{fine}: {}", reply.text());
    }
}

#[test]
fn a_caller_who_asks_is_told_how_far_a_call_has_come() {
    let server = piecing().serve(Transport::Stdio);
    let arguments = json!({ "steps": [1, 2, 2, 1.5, 10] });
    let (id, mut call) = server.modern("tools/call", json!({ "name": "p_report", "arguments": arguments }));
    call["params"]["_meta"]["progressToken"] = json!("mine");
    server.send(&call.to_string());
    let mut told = Vec::new();
    while told.len() < 3 {
        let report = server.notification("notifications/progress", PATIENCE).expect("a report");
        assert_eq!(
            (&report["params"]["progressToken"], &report["params"]["total"]),
            (&json!("mine"), &json!(10.0))
        );
        told.push(report["params"]["progress"].as_f64().unwrap());
    }
    assert_eq!(told, [1.0, 2.0, 10.0], "only what grows");
    assert_eq!(server.reply(&json!(id)).unwrap()["result"]["content"][0]["text"], "5 steps");

    // Without a progress token there are no notifications.
    assert_eq!(server.call("p_report", json!({ "steps": [1] })).text(), "1 steps");
    assert_eq!(server.notification("notifications/progress", Duration::ZERO), None);
}

#[test]
fn over_http_reports_come_before_the_answer_on_its_own_stream() {
    let server = piecing().serve(Transport::Http);
    let arguments = json!({ "steps": [1, 10] });
    let (_, mut call) = server.modern("tools/call", json!({ "name": "p_report", "arguments": arguments }));
    call["params"]["_meta"]["progressToken"] = json!(7);
    let reply = server.post(&call.to_string(), &toolgate_tests::client::headers(&call));
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let messages: Vec<Value> = reply
        .body
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok())
        .collect();
    let kinds: Vec<&Value> = messages.iter().map(|message| &message["params"]["progress"]).collect();
    assert_eq!(kinds, [&json!(1.0), &json!(10.0), &Value::Null], "{}", reply.body);
    assert_eq!(messages[2]["result"]["content"][0]["text"], "2 steps");
}

#[test]
fn a_plugin_that_looks_ends_by_itself_when_its_caller_cancels() {
    let world = piecing();
    let server = world.serve(Transport::Stdio);
    let call = server.begin("p_until-cancelled", json!({}));
    server.wait_for_guest();
    call.cancel();
    server.wait_for_log("| warning: it was cancelled");
    assert!(!server.log().contains("\nforged"), "{}", server.log());
}

#[test]
fn log_lines_count_against_the_log_limit() {
    let server = piecing().limit("log_bytes_max = 30").serve(Transport::Http);
    server.call("p_say", json!({ "text": "x".repeat(1_000) }));
    server.wait_for_log("979 bytes that were dropped");
}

fn naming() -> World {
    World::new().plugin("n", &test_guest("naming"))
}

#[test]
fn tools_that_a_plugin_names_when_it_runs_are_listed_and_called() {
    let world = naming().file("data/x.txt", "x").grant(r#"files = [{ host = "data", guest = "/data" }]"#);
    let server = world.serve(Transport::Http);
    assert_eq!(server.tools(), ["n_look", "n_shout"]);
    let listed = server.request("tools/list", json!({}))["result"]["tools"].clone();
    assert_eq!(listed[0]["outputSchema"]["properties"]["there"]["type"], "boolean");
    assert_eq!(
        (&listed[1]["title"], &listed[1]["inputSchema"]["required"]),
        (&json!("Shout"), &json!(["what"]))
    );
    let shouted = server.call("n_shout", json!({ "what": "hey", "n": 9007199254740993i64 }));
    assert_eq!(shouted.text(), r#"{"WHAT":"HEY","N":9007199254740993}"#, "digits and order as they came");
    assert_eq!(
        server.call("n_look", json!({})).structured(),
        &json!({ "there": true }),
        "calls have the grant"
    );
    assert_eq!(server.call("n_gone", json!({})).code(), -32602);
    let record = world.call_records().pop().unwrap();
    assert_eq!(record["tool"], "n_gone");
}

#[test]
fn while_it_names_its_tools_a_plugin_sees_nothing() {
    let world = naming()
        .file("data/x.txt", "x")
        .grant("files = [{ host = \"data\", guest = \"/data\" }]\nenvironment = { A = \"b\" }");
    let server = world.serve(Transport::Http);
    let listed = server.request("tools/list", json!({}))["result"]["tools"].clone();
    let seen = listed[1]["description"].as_str().unwrap().to_owned();
    assert!(
        seen.contains("time 1000000000 steady 1000000000 ") && seen.contains("folders false variables 0"),
        "{seen}"
    );
    let again = world.serve(Transport::Http).request("tools/list", json!({}))["result"]["tools"].clone();
    assert_eq!(listed, again, "the same each time");
}

#[test]
fn inspect_does_not_run_a_plugin_to_list_its_tools() {
    let world = naming();
    let component = world.path("plugins/n.wasm");
    let inspected = world.run_as_is(&["inspect", component.to_str().unwrap()]);
    assert_eq!(inspected.code, 0, "{}", inspected.said());
    assert!(
        inspected.stdout.contains("dynamic tools are not listed: that would run the plugin"),
        "{}",
        inspected.stdout
    );
}

/// A component that declares the tools in `list`: the content of its data section, laid out by the canonical ABI.
fn naming_by_hand(body: &str) -> Vec<u8> {
    use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
    let mut resolve = wit_parser::Resolve::default();
    let wit = toolgate_tests::root().join("wit/toolgate-plugin");
    resolve.push_dir(&wit).unwrap();
    let package = resolve
        .push_str("w.wit", "package test:names; world w { export toolgate:plugin/dynamic-tools@0.1.0; }")
        .unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat::parse_str(format!(
        r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
        (func (export "toolgate:plugin/dynamic-tools@0.1.0#list") (result i32) {body})
        (func (export "toolgate:plugin/dynamic-tools@0.1.0#call") (param i32 i32 i32 i32) (result i32) unreachable))"#
    ))
    .unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

#[test]
fn a_plugin_that_names_its_tools_badly_does_not_load() {
    for (body, words) in [
        ("(loop $l (br $l)) unreachable", "list its dynamic tools: "),
        ("unreachable", "list its dynamic tools: "),
        // An empty list: the result is ok, with no tools.
        ("i32.const 64", "it names no tool"),
    ] {
        let world = World::new().plugin("bad", &naming_by_hand(body)).limit("deadline_ms = 500");
        let check = world.run(&["check"]);
        assert_eq!(check.code, 3, "{}", check.said());
        assert!(check.stderr.contains(words), "{words}: {}", check.stderr);
    }
}
