//! Files of access rules that change while a server runs.

use serde_json::{Value, json};
use toolgate_tests::process::wait_until;
use toolgate_tests::{Server, Transport, World, guest, plugin};

const FORBID: &str =
    "@id(\"closed\") forbid(principal, action in Action::\"call\", resource in Plugin::\"seven\");\n";

/// A server whose rules are in a file, and that watches no other file.
fn world(rules: &str) -> World {
    World::new()
        .plugin("seven", &guest::seven())
        .server("watch = false")
        .more("\n[access]\npolicy = \"access.cedar\"\n")
        .file("access.cedar", rules)
}

fn is_served(server: &Server) -> bool {
    server.call("seven_seven", json!({})).0["result"]["isError"] == false
}

fn rules_events(world: &World) -> Vec<Value> {
    world.records().into_iter().filter(|record| record["event"] == "rules").collect()
}

#[test]
fn a_changed_file_of_rules_is_in_force_without_a_signal_and_forbids_local_callers_too() {
    for transport in Transport::ALL {
        let world = world("");
        let server = world.serve(transport);
        assert!(is_served(&server));
        world.put("access.cedar", FORBID.as_bytes(), 0o644);
        wait_until("the rule is in force", || !is_served(&server));
        assert!(server.tools().is_empty(), "what may not be called is not listed");
        world.put("access.cedar", b"", 0o644);
        wait_until("the rule is gone", || is_served(&server));
        let events = rules_events(&world);
        assert_eq!(events.len(), 2, "{events:?}");
        assert_ne!(events[0]["policy"], events[1]["policy"]);
    }
}

#[test]
fn a_file_of_rules_that_cannot_be_used_leaves_those_before_in_force_and_stops_a_start() {
    let world = world(FORBID);
    let server = world.serve(Transport::Http);
    assert!(!is_served(&server));
    for broken in [
        "forbid(",
        "forbid(principal, action, resource);",
        "@id(\"x\") permit(principal, action, resource) when { nothing };",
    ] {
        let before = rules_events(&world).len();
        world.put("access.cedar", broken.as_bytes(), 0o644);
        wait_until("it is recorded", || rules_events(&world).len() > before);
        let event = rules_events(&world).pop().unwrap();
        assert!(!event["problems"].as_array().unwrap().is_empty(), "{broken}: {event}");
        assert!(!is_served(&server), "{broken}");
        let start = world.run_as_is(&["check"]);
        assert_eq!(start.code, 2, "{broken}: {}", start.said());
    }
}

#[test]
fn rules_that_are_tried_are_recorded_and_decide_nothing() {
    let world = World::new()
        .plugin("seven", &guest::seven())
        .more("\n[access]\nshadow = \"next.cedar\"\n")
        .file("next.cedar", FORBID);
    let server = world.serve(Transport::Http);
    assert!(is_served(&server));
    drop(server);
    let record = world.call_records().pop().unwrap();
    assert_eq!(record["would"], json!({ "verdict": "hidden", "by": ["closed"] }));
    assert_eq!(record["decision"], "permit");
}

#[test]
fn a_plugin_whose_arguments_a_rule_does_not_fit_is_quarantined_with_that_as_the_reason() {
    let rule = "@id(\"sum\") forbid(principal, action == Action::\"hello_add\", resource) when { context.args.c > 1 };\n";
    let world = World::new()
        .plugin("hello", &plugin("hello"))
        .plugin("seven", &guest::seven())
        .more("\n[access]\npolicy = \"access.cedar\"\n")
        .file("access.cedar", rule);
    let check = world.run(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    let line = check.stderr.lines().find(|line| line.starts_with("plugin hello: held: "));
    let line = line.unwrap_or_else(|| panic!("no reason: {}", check.said()));
    assert!(line.contains("the access rule `sum` does not fit hello_add"), "{line}");
    assert_eq!(world.serve(Transport::Http).tools(), ["seven_seven"]);
}

#[test]
fn an_argument_is_judged_as_the_plugin_gets_it_however_it_is_spelled() {
    let rule = "@id(\"small\") @reason(\"at most 10\") forbid(principal, action == Action::\"hello_add\", resource) \
                when { context.args.a > 10 };\n";
    let world = World::new()
        .plugin("hello", &plugin("hello"))
        .more("\n[access]\npolicy = \"access.cedar\"\n")
        .file("access.cedar", rule);
    let server = world.serve(Transport::Http);
    for spelled in [json!(11), json!("11"), json!(11.0)] {
        let reply = server.call("hello_add", json!({ "a": spelled, "b": 1 }));
        let text = reply.text();
        assert!(
            reply.is_error() && (text.contains("at most 10") || text.contains("integer")),
            "{spelled}: {reply:?}"
        );
    }
    assert_eq!(server.call("hello_add", json!({ "a": 10, "b": 1 })).text(), "11");
    let ended = world.call("hello_add", &json!({ "a": 11, "b": 1 }));
    assert!(ended.code != 0 && ended.said().contains("at most 10"), "the command line too: {}", ended.said());
}
