//! What an earlier release wrote is served by this one: `tests/kept` has a configuration, a lock and a state directory of each
//! release that somebody may upgrade from.

use serde_json::json;
use toolgate_tests::{Transport, World, root};

const PLUGINS: [&str; 6] = ["hello", "notes", "fetch", "storing", "naming", "echoing"];

fn kept() -> World {
    World::of_folder(&root().join("tests/kept/7e55173"))
}

#[test]
fn a_state_lock_and_configuration_of_7e55173_load_with_nothing_held_or_lost() {
    let world = kept();
    let before = std::fs::read_to_string(world.path("state/audit.jsonl")).unwrap();
    let check = world.run_as_is(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
    let listed = world.run_as_is(&["plugin", "list", "--json"]).json();
    for name in PLUGINS {
        let plugin = listed["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == name);
        let plugin = plugin.unwrap_or_else(|| panic!("{name} is gone: {listed}"));
        assert_eq!(plugin["state"], "active", "{plugin}");
        assert!(plugin.to_string().contains("the release before"), "who approved it is known: {plugin}");
    }
    for transport in Transport::ALL {
        let server = world.serve_with(transport, &["--frozen"]);
        assert_eq!(server.call("hello_greet", json!({ "name": "x" })).text(), "Hello, x.");
        let stored = server.call("storing_get", json!({ "bucket": "b", "key": "k" }));
        assert_eq!(stored.structured(), &json!({ "result": "a2VwdA==" }), "what a store held is there");
    }
    let after = std::fs::read_to_string(world.path("state/audit.jsonl")).unwrap();
    assert!(after.starts_with(&before), "no record is gone");
}

#[test]
fn what_changed_since_7e55173_is_held_and_the_approved_version_serves_on() {
    let world = kept();
    let bytes = std::fs::read(world.path("plugins/hello.wasm")).unwrap();
    world.install("hello", &toolgate_tests::guest::with_section(bytes, "other", b"bytes"));
    let check = world.run_as_is(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    assert!(check.stderr.contains("plugin hello: held"), "{}", check.stderr);
    let server = world.serve(Transport::Http);
    assert_eq!(server.call("hello_greet", json!({ "name": "x" })).text(), "Hello, x.");
}

#[test]
fn a_trust_policy_older_than_the_one_of_7e55173_is_refused() {
    let world = kept();
    let trust = std::fs::read_to_string(world.path("trust.toml")).unwrap();
    world.put("trust.toml", trust.replace("version = 3", "version = 2").as_bytes(), 0o644);
    let check = world.run_as_is(&["check"]);
    assert_ne!(check.code, 0, "{}", check.said());
    assert!(check.said().contains("version 3"), "{}", check.said());
}
