//! Access over the wire: rows and Cedar policies, for callers with credentials and for the local user.

use serde_json::json;
use toolgate_tests::client::headers;
use toolgate_tests::identity::{Issuer, bearer};
use toolgate_tests::process::wait_until;
use toolgate_tests::{Server, Transport, World, test_guest, wat};

use super::auth::ALL;
use super::{hello, seven};

const ROWS: &str = r#"
[[allow]]
id = "support"
who = { groups = ["apikey/support"] }
tools = { names = ["hello_greet", "seven_seven"] }
[[allow]]
id = "finance"
who = { groups = ["apikey/finance"] }
tools = { plugins = ["hello"] }
"#;

const POLICY: &str = "[access]\npolicy = \"access.cedar\"\n";

/// Permits everything, and forbids sums of large numbers.
const MUCH: &str = "@id(\"all\") permit(principal, action, resource);\n\
    @id(\"much\") forbid(principal, action == Action::\"hello_add\", resource) when { context.args.a > 999 };\n";

/// Forbids everybody one tool.
const NEVER: &str = "@id(\"never\") forbid(principal, action == Action::\"seven_seven\", resource);\n";

fn both() -> World {
    hello().plugin("seven", &toolgate_tests::guest::seven())
}

#[test]
fn each_caller_is_listed_what_it_may_call_and_nothing_else() {
    let world = both().authenticated(ROWS);
    world.write();
    let support = world.api_key("s", &["--groups", "support"]);
    let finance = world.api_key("f", &["--groups", "finance"]);
    let nobody = world.api_key("n", &[]);
    let server = world.serve(Transport::Http);
    let arguments = |tool: &str| match tool {
        "hello_greet" => json!({ "name": "Ann" }),
        "hello_add" => json!({ "a": 1, "b": 2 }),
        "hello_summarize" => json!({ "numbers": [1] }),
        "hello_count-letters" | "hello_count_letters" => json!({ "text": "a", "kinds": [] }),
        _ => json!({}),
    };
    let all = ["hello_add", "hello_area", "hello_greet", "hello_summarize", "seven_seven"];
    for (key, count) in [(&support, 2), (&finance, 5), (&nobody, 0)] {
        let listed = server.tools_as(key);
        assert_eq!(listed.len(), count, "{listed:?}");
        for tool in all {
            let reply = server.call_as(key, tool, arguments(tool));
            let is_unknown = reply.0["error"]["message"] == "unknown tool";
            assert_eq!(!is_unknown, listed.contains(&tool.to_owned()), "{tool}: {reply:?}");
        }
    }
}

#[test]
fn a_tool_that_is_hidden_and_one_that_is_unknown_are_answered_byte_for_byte_alike() {
    let world = both().authenticated(ROWS);
    world.write();
    let key = world.api_key("f", &["--groups", "finance"]);
    let server = world.serve(Transport::Http);
    let answer = |tool: &str, version: &str| {
        let params = json!({ "name": tool, "arguments": {} });
        let (body, mut headers) = match version {
            "2026-07-28" => {
                let (_, mut message) = server.modern("tools/call", params);
                message["id"] = json!(9);
                (message.to_string(), headers(&message))
            }
            _ => {
                let message = json!({ "jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params });
                (message.to_string(), server.session_as(&key, version))
            }
        };
        headers.push(bearer(&key));
        let reply = server.post(&body, &headers);
        let head: Vec<_> = reply.head.lines().filter(|line| !line.starts_with("date:")).collect();
        format!("{}\n{}", head.join("\n"), reply.body).replace(tool, "TOOL")
    };
    for version in ["2025-06-18", "2025-11-25", "2026-07-28"] {
        let hidden = answer("seven_seven", version);
        assert_eq!(hidden, answer("seven_other", version));
        assert!(hidden.contains("-32602"), "{hidden}");
    }
}

/// A server whose tool needs two scopes that its issuer gives, and a key that has none.
fn stepping(more: &str) -> (World, Issuer, Server, String) {
    let issuer = Issuer::new();
    let row = "[[allow]]\nid = \"write\"\nwho = { scopes = [\"pay:send\", \"tools:write\"] }\ntools = {}\n";
    let auth = format!("{more}{}", Issuer::section("scopes = [\"pay:send\", \"tools:write\"]"));
    let world = seven().authenticated(&format!("{auth}{row}")).file("jwks.json", &issuer.jwks());
    world.write();
    let key = world.api_key("ci", &[]);
    let server = world.serve(Transport::Http);
    (world, issuer, server, key)
}

#[test]
fn a_call_that_lacks_scopes_is_told_all_of_them_at_once() {
    let (world, issuer, server, key) = stepping("");
    let (poor, rich) = (
        issuer.token("alice", json!({ "scope": "tools:read" })),
        issuer.token("alice", json!({ "scope": "pay:send tools:write" })),
    );
    assert_eq!(server.tools_as(&poor), ["seven_seven"], "what can be obtained is listed");
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"pay:send tools:write\", \
        resource_metadata=\"https://tools.example.com/.well-known/oauth-protected-resource/mcp\", \
        error_description=\"the token lacks a scope that this tool needs\"";
    let reply = server.post_as(&poor, "tools/call", json!({ "name": "seven_seven", "arguments": {} }));
    assert_eq!((reply.status, reply.header("WWW-Authenticate")), (403, Some(challenge)), "{reply:?}");
    let mut session = server.session_as(&poor, "2025-11-25");
    session.push(bearer(&poor));
    let call =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "seven_seven" } });
    let reply = server.post(&call.to_string(), &session);
    assert_eq!((reply.status, reply.header("WWW-Authenticate")), (403, Some(challenge)), "{reply:?}");
    assert_eq!(world.call_records().len(), 2, "each is recorded once");
    assert_eq!(server.call_as(&rich, "seven_seven", json!({})).text(), "7");
    // A key cannot get scopes: for it the tool is not there.
    assert!(server.tools_as(&key).is_empty());
    assert_eq!(server.call_as(&key, "seven_seven", json!({})).code(), -32602);
}

#[test]
fn a_client_that_takes_403_for_the_end_is_told_in_band() {
    let (_world, issuer, server, _) = stepping("step_up = \"in-band\"\n");
    let token = issuer.token("alice", json!({}));
    let reply = server.post_as(&token, "tools/call", json!({ "name": "seven_seven", "arguments": {} }));
    assert_eq!(reply.status, 200, "{reply:?}");
    let result = &reply.message()["result"];
    let text = result["content"][0]["text"].as_str().unwrap();
    assert_eq!(result["isError"], true, "{reply:?}");
    assert!(text.contains("pay:send") && text.contains("tools:write"), "{text}");
}

#[test]
fn a_rule_about_an_argument_holds_for_every_spelling_of_it() {
    let world = hello().authenticated(POLICY).file("access.cedar", MUCH);
    world.write();
    let key = world.api_key("ci", &[]);
    let server = world.serve(Transport::Http);
    for spelling in ["1000", "\"1000\"", "1e3", "1000.0", "10e2", "9223372036854775807"] {
        let (_, message) = server.modern("tools/call", json!({ "name": "hello_add", "arguments": {} }));
        let arguments = format!("\"arguments\":{{\"a\":{spelling},\"b\":0}}");
        let body = message.to_string().replace("\"arguments\":{}", &arguments);
        let reply = server.post(&body, &[headers(&message), vec![bearer(&key)]].concat()).message();
        assert!(reply["result"]["structuredContent"].is_null(), "{spelling}: {reply}");
    }
    let allowed = server.call_as(&key, "hello_add", json!({ "a": 999, "b": 1 }));
    assert_eq!(allowed.structured()["result"], 1000, "{allowed:?}");
    let records = world.call_records();
    let by_rule = records.iter().filter(|record| record.to_string().contains("much")).count();
    assert!(by_rule >= 4, "{records:?}");
}

#[test]
fn what_a_rule_forbids_is_forbidden_to_the_local_user_too() {
    let world = both().more(POLICY).file("access.cedar", NEVER);
    for transport in Transport::ALL {
        let server = world.serve(transport);
        assert!(!server.tools().contains(&"seven_seven".to_owned()));
        assert_eq!(server.call("seven_seven", json!({})).code(), -32602);
        assert_eq!(server.call("hello_add", json!({ "a": 1, "b": 2 })).structured()["result"], 3);
    }
    assert_ne!(world.call("seven_seven", &json!({})).code, 0);
    assert_eq!(world.call("hello_add", &json!({ "a": 1, "b": 2 })).code, 0);
    assert!(!world.run(&["tools"]).stdout.contains("seven_seven"));
}

#[test]
fn a_change_of_rules_is_in_force_under_load_and_for_good() {
    let world = seven().authenticated(ALL);
    world.write();
    let key = world.api_key("ci", &[]);
    let server = world.serve(Transport::Http);
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (server, key) = (server.clone(), key.clone());
            std::thread::spawn(move || {
                let mut answered = 0;
                wait_until("the change is in force", || {
                    let reply = server.call_as(&key, "seven_seven", json!({}));
                    let is_denied = reply.0["error"]["code"] == -32602;
                    assert!(is_denied || reply.text() == "7", "{reply:?}");
                    answered += u32::from(!is_denied);
                    is_denied
                });
                for _ in 0..20 {
                    let reply = server.call_as(&key, "seven_seven", json!({}));
                    assert_eq!(reply.0["error"]["code"], -32602, "denied and then permitted: {reply:?}");
                }
                answered
            })
        })
        .collect();
    server.wait_until("there are calls", || world.call_records().len() > 20);
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    world.put("toolgate.toml", text.replace(ALL, "").as_bytes(), 0o644);
    server.signal("HUP");
    for caller in callers {
        assert!(caller.join().unwrap() > 0);
    }
    assert!(server.tools_as(&key).is_empty());
}

#[test]
fn rules_that_cannot_be_read_leave_the_former_ones_in_force_and_stop_a_start() {
    let world = hello().authenticated(POLICY).file("access.cedar", MUCH);
    world.write();
    let key = world.api_key("ci", &[]);
    let server = world.serve(Transport::Http);
    for (wrong, mode) in [("@id(\"a\") permit(principal, action", 0o644), (MUCH, 0o666)] {
        world.put("access.cedar", wrong.as_bytes(), mode);
        let before = server.log().matches("cannot be used").count();
        server.signal("HUP");
        server.wait_until("it says so", || server.log().matches("cannot be used").count() > before);
        let reply = server.call_as(&key, "hello_add", json!({ "a": 1, "b": 2 }));
        assert_eq!(reply.structured()["result"], 3, "{reply:?}");
        let reply = server.call_as(&key, "hello_add", json!({ "a": 1000, "b": 2 }));
        assert!(reply.structured().is_null(), "{reply:?}");
        for command in ["serve", "check"] {
            let ended = world.run_as_is(&[command]);
            assert_eq!(ended.code, 2, "{}", ended.said());
            assert!(ended.stderr.contains("access.cedar"), "{}", ended.said());
        }
    }
}

/// A component whose function `f` takes a value `n` of this type.
fn taking(kind: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component
        (core module $m (func (export "f") (param i32) (result i32) i32.const 7))
        (core instance $i (instantiate $m))
        (func (export "f") (param "n" {kind}) (result u32) (canon lift (core func $i "f"))))"#
    ))
}

#[test]
fn a_version_that_a_rule_does_not_fit_is_quarantined_with_that_reason() {
    let rules = "@id(\"all\") permit(principal, action, resource);\n\
        @id(\"small\") forbid(principal, action == Action::\"p_f\", resource) when { context.args.n > 5 };\n";
    let world = World::new().plugin("p", &taking("u32")).more(POLICY).file("access.cedar", rules);
    let server = world.serve(Transport::Http);
    assert_eq!(server.call("p_f", json!({ "n": 5 })).text(), "7");
    world.install("p", &taking("bool"));
    server.signal("HUP");
    let quarantined = || world.records().into_iter().find(|record| record["event"] == "quarantine");
    server.wait_until("it is quarantined", || quarantined().is_some());
    let why = quarantined().unwrap()["reasons"].to_string();
    assert!(why.contains("small"), "{why}");
    assert_eq!(server.call("p_f", json!({ "n": 5 })).text(), "7", "the former version serves");
    assert!(server.call("p_f", json!({ "n": 6 })).0["result"]["structuredContent"].is_null());
}

#[test]
fn what_tenants_store_never_meets() {
    let tenants = "[[tenant]]\nname = \"acme\"\n[[tenant]]\nname = \"bolt\"\n";
    let world = World::new()
        .plugin("store", &test_guest("storing"))
        .grant("keyvalue = { bytes_max = 1000000 }")
        .authenticated(&format!("{ALL}{tenants}"));
    world.write();
    let keys: Vec<_> = ["acme", "bolt", "default"]
        .map(|tenant| (tenant, world.api_key("same", &["--tenant", tenant])))
        .into();
    let server = world.serve(Transport::Http);
    let rounds: usize = std::env::var("TOOLGATE_CASES").map_or(40, |cases| cases.parse().unwrap());
    let callers: Vec<_> = keys
        .into_iter()
        .map(|(tenant, key)| {
            let server = server.clone();
            std::thread::spawn(move || {
                // Base64 of a canary; the same bucket and keys for all of them.
                let canary = match tenant {
                    "acme" => "YWNtZQ==",
                    "bolt" => "Ym9sdA==",
                    _ => "ZGVmYXVsdA==",
                };
                for round in 0..rounds {
                    let at = format!("k{}", round % 7);
                    let set = json!({ "bucket": "b", "key": at, "value": canary });
                    let reply = server.call_as(&key, "store_set", set);
                    assert!(!reply.is_error(), "{reply:?}");
                    let reply = server.call_as(&key, "store_get", json!({ "bucket": "b", "key": at }));
                    assert_eq!(reply.structured()["result"], canary, "{tenant}: {reply:?}");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
    let stores = ["store.sqlite", "acme/store.sqlite", "bolt/store.sqlite"];
    for name in stores {
        assert!(world.path(&format!("state/keyvalue/{name}")).exists(), "{name}");
    }
}
