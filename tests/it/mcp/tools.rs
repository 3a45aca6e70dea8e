//! `tools/list` and `tools/call` in the modern revision, over both transports.

use serde_json::{Value, json};
use toolgate_tests::{Transport, World, plugin, test_guest};

use super::{hello, seven};

#[test]
fn each_exported_function_is_listed_with_schemas_and_hints() {
    for transport in Transport::ALL {
        let server = hello().serve(transport);
        let listed = server.request("tools/list", json!({}));
        let result = &listed["result"];
        assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("private")));
        assert!(result["ttlMs"].is_u64());
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "toolgate");
        let tools = result["tools"].as_array().unwrap();
        let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(
            names,
            ["hello_add", "hello_area", "hello_count-letters", "hello_greet", "hello_summarize"]
        );
        let add = &tools[0];
        assert_eq!(add["inputSchema"]["required"], json!(["a", "b"]));
        assert_eq!(add["inputSchema"]["additionalProperties"], false);
        assert_eq!(add["outputSchema"]["type"], "object");
        // Pure computation: the host can prove that it changes nothing and contacts no other system.
        assert_eq!(
            add["annotations"],
            json!({ "readOnlyHint": true, "destructiveHint": false, "openWorldHint": false })
        );
    }
}

#[test]
fn a_schema_that_a_plugin_wrote_itself_is_listed_as_it_wrote_it() {
    let server = World::new().plugin("c", &test_guest("conformance")).serve(Transport::Http);
    let listed = server.request("tools/list", json!({}));
    let tools = listed["result"]["tools"].as_array().unwrap();
    let tool = tools.iter().find(|tool| tool["name"] == "c_json_schema_2020_12_tool").unwrap();
    let schema = &tool["inputSchema"];
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["$defs"]["address"]["$anchor"], "addressDef");
    assert_eq!(schema["properties"]["address"], json!({ "$ref": "#/$defs/address" }));
    assert_eq!(schema["allOf"], json!([{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }]));
    assert_eq!(
        (&schema["then"], &schema["else"]),
        (&json!({ "required": ["phone"] }), &json!({ "required": ["email"] }))
    );
    let fits = json!({ "contactMethod": "phone", "phone": "1" });
    assert!(!server.call("c_json_schema_2020_12_tool", fits).is_error());
    let reply =
        server.call("c_json_schema_2020_12_tool", json!({ "contactMethod": "phone", "email": "a@b.c" }));
    assert!(reply.is_error() && reply.text().contains("phone"), "{reply:?}");
}

#[test]
fn hints_follow_the_grant_and_not_the_plugin() {
    let world = |grant: &str| World::new().plugin("notes", &plugin("notes")).folder("notes").grant(grant);
    let hints = |world: World| {
        let listed = world.serve(Transport::Http).request("tools/list", json!({}));
        listed["result"]["tools"][0]["annotations"].clone()
    };
    let read = hints(world(r#"files = [{ host = "notes", guest = "/notes" }]"#));
    assert_eq!((&read["readOnlyHint"], &read["openWorldHint"]), (&json!(true), &json!(false)));
    let write = hints(world(r#"files = [{ host = "notes", guest = "/notes", access = "read-write" }]"#));
    assert_eq!((&write["readOnlyHint"], &write["openWorldHint"]), (&json!(false), &json!(false)));
    let fetch = World::new().plugin("fetch", &plugin("fetch")).grant(r#"http = [{ host = "example.com" }]"#);
    let fetch = hints(fetch);
    assert_eq!(fetch["openWorldHint"], true);
}

#[test]
fn the_list_is_the_same_byte_for_byte_each_time() {
    let world = hello();
    let lists: Vec<String> = (0..3)
        .map(|_| world.serve(Transport::Http).request("tools/list", json!({}))["result"].to_string())
        .collect();
    assert!(lists[0] == lists[1] && lists[1] == lists[2]);
    assert!(lists[0].len() > 500);
}

#[test]
fn a_call_is_answered_in_text_and_in_structure() {
    for transport in Transport::ALL {
        let server = hello().serve(transport);
        let reply = server.call("hello_add", json!({ "a": 3, "b": 4 }));
        assert_eq!((reply.text(), reply.structured()), ("7", &json!({ "result": 7 })));
        assert_eq!(reply.0["result"]["resultType"], "complete");
        let reply = server.call("hello_greet", json!({ "name": "world" }));
        assert!(reply.text().contains("world"));
        assert_eq!(reply.structured(), &Value::Null, "text is text");
    }
}

#[test]
fn an_error_that_the_tool_answers_is_a_result_with_is_error() {
    for transport in Transport::ALL {
        let server = hello().serve(transport);
        let reply = server.call("hello_area", json!({ "figure": { "tag": "circle", "val": -1 } }));
        assert!(reply.is_error() && !reply.text().is_empty(), "{reply:?}");
        assert_eq!(reply.structured(), &Value::Null);
    }
}

#[test]
fn wrong_arguments_are_all_told_at_once_in_words_and_cost_no_instance() {
    for transport in Transport::ALL {
        let world = hello();
        let server = world.serve(transport);
        let reply = server.call("hello_add", json!({ "a": "three", "c": 1 }));
        assert!(reply.is_error());
        for words in ["/a: expected", "/b: expected", "/c: expected"] {
            assert!(reply.text().contains(words), "{words}: {}", reply.text());
        }
        let record = &world.call_records()[0];
        assert_eq!(
            (&record["outcome"]["kind"], &record["outcome"]["blame"]),
            (&json!("arguments"), &json!("caller"))
        );
        assert_eq!(record["fuel"], 0, "the guest was not entered");
    }
}

#[test]
fn a_tool_that_does_not_exist_is_invalid_params_and_is_recorded() {
    for transport in Transport::ALL {
        let world = seven();
        let server = world.serve(transport);
        for name in ["seven_eight", "", "Seven_seven", "../seven_seven", &"x".repeat(10_000)] {
            assert_eq!(server.call(name, json!({})).code(), -32602, "{name}");
        }
        let record = &world.call_records()[0];
        assert_eq!((&record["tool"], &record["outcome"]["kind"]), (&json!("seven_eight"), &json!("denied")));
    }
}

#[test]
fn one_record_stands_for_each_call_and_holds_no_argument() {
    for transport in Transport::ALL {
        let world = hello();
        let server = world.serve(transport);
        server.call("hello_greet", json!({ "name": "confidential" }));
        server.call("hello_greet", json!({ "name": "confidential" }));
        server.call("hello_greet", json!({ "name": "other" }));
        let records = world.call_records();
        assert_eq!(records.len(), 3);
        let record = &records[0];
        assert!(!record.to_string().contains("confidential"), "{record}");
        assert!(record["arguments"].as_str().unwrap().starts_with("hmac-sha256:"));
        assert_eq!(record["arguments"], records[1]["arguments"], "the same arguments, the same digest");
        assert_ne!(record["arguments"], records[2]["arguments"]);
        assert_eq!(record["tool"], "hello_greet");
        assert_eq!(record["plugin"], "hello");
        assert_eq!(record["decision"], "permit");
        assert_eq!(record["outcome"]["kind"], "answer");
        let digest = toolgate_policy::Digest::of(&plugin("hello")).to_string();
        assert_eq!(record["digest"], digest.as_str());
        for figure in ["fuel", "memory_peak_bytes", "wall_us"] {
            assert!(record[figure].as_u64().unwrap() > 0, "{figure}: {record}");
        }
        assert!(record["principal"].as_str().is_some_and(|principal| !principal.is_empty()));
    }
}

#[test]
fn the_digest_of_arguments_is_of_what_they_are_and_not_of_how_they_are_written() {
    for transport in Transport::ALL {
        let world = World::new().plugin("echo", &test_guest("echoing"));
        let server = world.serve(transport);
        for arguments in [
            json!({ "a": 9_007_199_254_740_993_i64, "b": 1 }),
            json!({ "b": 1.0, "a": 9_007_199_254_740_993_i64 }),
            json!({ "a": 9_007_199_254_740_992_i64, "b": 1 }),
            json!({ "a": "9007199254740993", "b": 1 }),
        ] {
            server.call("echo_none", arguments);
        }
        let records = world.call_records();
        let [one, same, others @ ..] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!(one["arguments"], same["arguments"], "another order and another spelling");
        assert!(others.iter().all(|other| other["arguments"] != one["arguments"]), "{records:?}");
        assert_ne!(others[0]["arguments"], others[1]["arguments"]);
    }
}

#[test]
fn a_call_that_cannot_be_recorded_is_not_answered_and_the_next_is_not_run() {
    let world = seven();
    let server = world.serve(Transport::Http);
    assert_eq!(server.http("GET", "/readyz", &[], None).status, 200);
    std::fs::remove_file(world.path("state/audit.jsonl")).unwrap();
    std::fs::create_dir(world.path("state/audit.jsonl")).unwrap();
    assert_eq!(server.call("seven_seven", json!({})).code(), -32603);
    assert_eq!(server.call("seven_seven", json!({})).code(), -32603);
    assert_eq!(server.http("GET", "/readyz", &[], None).status, 503);
    assert_eq!(server.http("GET", "/healthz", &[], None).status, 200);
    std::fs::remove_dir(world.path("state/audit.jsonl")).unwrap();
    assert_eq!(server.call("seven_seven", json!({})).text(), "7");
    assert_eq!(server.http("GET", "/readyz", &[], None).status, 200);
}

#[test]
fn discovery_names_the_revisions_and_what_is_served() {
    for transport in Transport::ALL {
        let discovered = seven().serve(transport).request("server/discover", json!({}));
        let result = &discovered["result"];
        assert_eq!(
            result["supportedVersions"],
            json!(["2025-06-18", "2025-11-25", "2026-07-28"]),
            "{result}"
        );
        assert!(result["capabilities"]["tools"].is_object());
        for absent in ["prompts", "resources", "completions", "logging"] {
            assert!(result["capabilities"].get(absent).is_none(), "{result}");
        }
    }
}

#[test]
fn a_cursor_that_was_never_handed_out_is_refused() {
    let listed = seven().serve(Transport::Http).request("tools/list", json!({ "cursor": "abc" }));
    assert_eq!(listed["error"]["code"], -32602);
}
