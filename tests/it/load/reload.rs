//! SIGHUP: changed plugins are loaded, and one that does not load leaves its old version serving. Calls in flight
//! finish with the version they began with, and clients are notified.

use std::time::Duration;

use serde_json::json;
use toolgate_tests::client::PATIENCE;
use toolgate_tests::hold::Holding;
use toolgate_tests::process::wait_until;
use toolgate_tests::{Server, Transport, World, guest, test_guest};

fn eight() -> Vec<u8> {
    guest::wat(
        r#"(component
            (core module $m (func (export "eight") (result i32) i32.const 8))
            (core instance $i (instantiate $m))
            (func (export "eight") (result u32) (canon lift (core func $i "eight"))))"#,
    )
}

#[test]
fn a_changed_plugin_serves_after_a_signal() {
    for transport in Transport::ALL {
        let world = World::new().plugin("number", &guest::seven());
        let server = world.serve(transport);
        assert_eq!(server.tools(), ["number_seven"]);
        world.install("number", &eight());
        assert_eq!(server.call("number_seven", json!({})).text(), "7", "nothing changes by itself");
        server.signal("HUP");
        wait_until("the new tool is listed", || server.tools() == ["number_eight"]);
        assert_eq!(server.call("number_eight", json!({})).text(), "8");
        assert_eq!(server.call("number_seven", json!({})).code(), -32602);
        let events: Vec<String> =
            world.records().iter().filter_map(|record| record["event"].as_str().map(str::to_owned)).collect();
        for event in ["load", "retire"] {
            assert!(events.iter().any(|seen| seen == event), "{events:?}");
        }
    }
}

#[test]
fn what_does_not_load_leaves_the_old_version_serving_and_says_so() {
    let world = World::new().plugin("number", &guest::seven()).plugin("other", &guest::seven());
    let server = world.serve(Transport::Http);
    world.put("plugins/number.wasm", &eight(), 0o644);
    world.install("other", &eight());
    server.signal("HUP");
    wait_until("the other plugin is reloaded", || server.tools().contains(&"other_eight".to_owned()));
    assert_eq!(server.tools(), ["number_seven", "other_eight"]);
    assert_eq!(server.call("number_seven", json!({})).text(), "7");
    assert!(server.log().contains("is a signature over other bytes"), "{}", server.log());
}

#[test]
fn a_change_that_takes_a_restart_is_said() {
    let world = World::new().plugin("p", &guest::seven()).server("allowed_hosts = [\"one.example\"]");
    let server = world.serve(Transport::Http);
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    world.put("toolgate.toml", text.replace("one.example", "two.example").as_bytes(), 0o644);
    server.signal("HUP");
    server.wait_for_log("what they say takes a restart");
}

#[test]
fn a_configuration_that_cannot_be_read_changes_nothing_and_says_so() {
    let world = World::new().plugin("number", &guest::seven());
    let server = world.serve(Transport::Http);
    world.put("toolgate.toml", b"[serve]\n", 0o644);
    server.signal("HUP");
    wait_until("it says so", || server.log().contains("serve"));
    assert_eq!(server.call("number_seven", json!({})).text(), "7");
}

#[test]
fn trust_is_taken_although_the_configuration_cannot_be_used() {
    let mistakes = [
        ("[serve]\n", "serve"),
        ("[[plugin]]\nname = \"q\"\nsource = \"file:q.wasm\"\n[plugin.grant]\nhttp = 7\n", "http"),
        ("[[secret]]\nname = \"x\"\nfile = \"not-there\"\n", "not-there"),
    ];
    for (mistake, words) in mistakes {
        for signal in [true, false] {
            let world = World::new().plugin("number", &guest::seven());
            let world = if signal { world } else { world.server("watch = true") };
            let server = world.serve(Transport::Http);
            let config = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
            world.put("toolgate.toml", format!("{config}{mistake}").as_bytes(), 0o644);
            if signal {
                server.signal("HUP");
            }
            server.wait_for_log("the configuration cannot be used");
            assert!(server.log().contains(words), "{}", server.log());
            assert_eq!(server.call("number_seven", json!({})).text(), "7");
            world.key("other");
            let policy = toolgate_tests::world::TRUST.replace("version = 1", "version = 2");
            let policy = policy.replace("keys/vendor.pub", "keys/other.pub");
            world.put("trust.toml", policy.as_bytes(), 0o644);
            if signal {
                server.signal("HUP");
            }
            wait_until("what the removed signer signed is gone", || server.tools().is_empty());
            server.wait_for_log("the trust policy trusts it no more");
            let is_it =
                |record: &serde_json::Value| record["event"] == "retire" && record["plugin"] == "number";
            wait_until("it is recorded", || world.records().iter().any(is_it));
        }
    }
}

#[test]
fn a_plugin_that_is_revoked_stops_serving_at_the_signal() {
    let bytes = guest::seven();
    let world = World::new().plugin("number", &bytes).plugin("other", &eight());
    let server = world.serve(Transport::Http);
    let digest = toolgate_policy::Digest::of(&bytes);
    let policy =
        format!("{}[[revoke]]\ndigest = \"{digest}\"\nreason = \"x\"\n", toolgate_tests::world::TRUST);
    world.put("trust.toml", policy.as_bytes(), 0o644);
    server.signal("HUP");
    wait_until("it is gone", || server.log().contains("revoked: it serves no more"));
    // At startup a refused plugin would stop the server; here the revoked one goes and the other stays.
    wait_until("it is not listed", || !server.tools().contains(&"number_seven".to_owned()));
    assert_eq!(server.call("number_seven", json!({})).code(), -32602);
    assert_eq!(server.call("other_eight", json!({})).text(), "8");
}

#[test]
fn a_call_in_flight_ends_on_the_version_it_began_with() {
    let holding = Holding::new();
    let world = World::new().plugin("slow", &test_guest("requesting")).grant(&holding.grant());
    let server = world.serve(Transport::Http);
    let call = server.calling("slow_run", holding.request());
    holding.wait_for(1);
    // The next version needs no grant.
    world.install("slow", &guest::seven());
    let config = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    world.put("toolgate.toml", config.replace(&holding.grant(), "").as_bytes(), 0o644);
    server.signal("HUP");
    wait_until("the new one serves", || server.tools() == ["slow_seven"]);
    holding.release_all();
    assert_eq!(call.join().unwrap().structured()["body"], "released");
}

#[test]
fn a_modern_client_that_listens_is_told_that_the_list_changed() {
    let world = World::new().plugin("number", &guest::seven());
    let server = world.serve(Transport::Stdio);
    let (_, listen) =
        server.modern("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    server.send(&listen.to_string());
    assert!(server.notification("notifications/subscriptions/acknowledged", PATIENCE).is_some());
    change(&world, &server);
    let told = server.notification("notifications/tools/list_changed", PATIENCE).expect("it is told");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], listen["id"]);
}

#[test]
fn a_modern_client_is_told_over_http_as_well() {
    use std::io::{BufRead as _, BufReader};
    let world = World::new().plugin("number", &guest::seven());
    let server = world.serve(Transport::Http);
    let (_, listen) =
        server.modern("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let headers = toolgate_tests::client::headers(&listen);
    let stream = server.open("POST", "/mcp", &headers, Some(&listen.to_string()));
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("notifications/subscriptions/acknowledged")));
    change(&world, &server);
    assert!(lines.any(|line| line.contains("notifications/tools/list_changed")));
}

#[test]
fn a_legacy_client_is_told_that_the_list_changed() {
    let world = World::new().plugin("number", &guest::seven());
    let server = world.serve(Transport::Stdio);
    server.send(&json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } }).to_string());
    assert_eq!(server.reply(&json!(0)).unwrap()["result"]["protocolVersion"], "2025-11-25");
    server.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string());
    server.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string());
    assert_eq!(server.reply(&json!(1)).unwrap()["result"]["tools"][0]["name"], "number_seven");
    change(&world, &server);
    assert!(server.notification("notifications/tools/list_changed", PATIENCE).is_some());
}

#[test]
fn a_reload_that_changes_nothing_tells_nobody() {
    let world = World::new().plugin("number", &guest::seven());
    let server = world.serve(Transport::Stdio);
    let (_, listen) =
        server.modern("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    server.send(&listen.to_string());
    assert!(server.notification("notifications/subscriptions/acknowledged", PATIENCE).is_some());
    server.signal("HUP");
    wait_until("it reloaded", || server.log().contains("reloaded"));
    // The next notification belongs to the next reload, and is sent once.
    change(&world, &server);
    assert!(server.notification("notifications/tools/list_changed", PATIENCE).is_some());
    assert_eq!(server.tools(), ["number_eight"]);
    assert_eq!(server.notification("notifications/tools/list_changed", Duration::ZERO), None);
}

fn change(world: &World, server: &Server) {
    world.install("number", &eight());
    server.signal("HUP");
}
