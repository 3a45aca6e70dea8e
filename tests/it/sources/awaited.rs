//! Plugins still being fetched: everything else is served, trust included, and each plugin has one fetch at a time.

use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};
use toolgate_tests::client::PATIENCE;
use toolgate_tests::process::{output_of, wait_until};
use toolgate_tests::registry::{Shelf, answer};
use toolgate_tests::web::Web;
use toolgate_tests::world::TRUST;
use toolgate_tests::{Server, Transport, World};

use super::{digest, trusting, vendor};

/// Blocks a registry until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<Held>, Condvar)>);

#[derive(Default)]
struct Held {
    open: bool,
    asked: usize,
    now: usize,
    most: usize,
}

impl Gate {
    fn pass(&self) {
        let (held, opened) = &*self.0;
        let mut held = held.lock().unwrap();
        held.asked += 1;
        held.now += 1;
        held.most = held.most.max(held.now);
        held = opened.wait_while(held, |held| !held.open).unwrap();
        held.now -= 1;
    }

    fn open(&self) {
        self.0.0.lock().unwrap().open = true;
        self.0.1.notify_all();
    }

    fn asked(&self) -> usize {
        self.0.0.lock().unwrap().asked
    }
}

/// A local plugin `here` and `hello`, whose registry does not respond before its gate is opened.
fn held_up() -> (World, Gate, Web) {
    let vendor = vendor();
    let gate = Gate::default();
    let gate_of_web = gate.clone();
    let web = Shelf::of(&vendor, "hello").serve_with(Box::new(move |path, _, _| {
        if path == "manifests/1" {
            gate_of_web.pass();
        }
        false
    }));
    let world = trusting(&vendor)
        .plugin_from("here", "file:plugins/here.wasm")
        .plugin_from("hello", &format!("oci://{}/hello:1", web.address));
    for ending in ["wasm", "wasm.sigstore.json"] {
        let bytes = std::fs::read(vendor.path(&format!("plugins/hello.{ending}"))).unwrap();
        world.put(&format!("plugins/here.{ending}"), &bytes, 0o644);
    }
    (world, gate, web)
}

fn ready(server: &Server) -> (u16, Value) {
    let reply = server.http("GET", "/readyz", &[], None);
    (reply.status, serde_json::from_str(&reply.body).unwrap())
}

#[test]
fn the_port_is_open_while_a_registry_says_nothing_and_readyz_names_what_is_awaited() {
    let (world, gate, _web) = held_up();
    let server = world.serve(Transport::Http);
    assert_eq!(server.tools(), ["here_seven"]);
    assert_eq!(server.call("here_seven", json!({})).text(), "7");
    let (status, told) = ready(&server);
    assert_eq!(
        (status, &told["ready"], &told["plugins"]["awaited"]),
        (503, &json!(false), &json!(["hello"])),
        "{told}"
    );
    gate.open();
    wait_until("the other plugin serves", || server.tools() == ["hello_seven", "here_seven"]);
    wait_until("it is ready", || ready(&server).0 == 200);
    let (status, told) = ready(&server);
    assert_eq!((status, &told["plugins"]["awaited"]), (200, &json!([])), "{told}");
    assert!(
        world.records().iter().any(|record| record["event"] == "load" && record["plugin"] == "hello"),
        "its arrival is recorded"
    );
}

#[test]
fn over_stdio_a_client_is_answered_at_once_and_told_when_tools_arrive() {
    let (world, gate, _web) = held_up();
    let server = world.serve(Transport::Stdio);
    server.send(&json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } }).to_string());
    assert_eq!(server.reply(&json!(0)).unwrap()["result"]["protocolVersion"], "2025-11-25");
    server.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string());
    server.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string());
    assert_eq!(server.reply(&json!(1)).unwrap()["result"]["tools"][0]["name"], "here_seven");
    gate.open();
    assert!(server.notification("notifications/tools/list_changed", PATIENCE).is_some());
    assert_eq!(server.tools(), ["hello_seven", "here_seven"]);
}

#[test]
fn trust_is_taken_whatever_a_registry_does() {
    for signal in [true, false] {
        let (world, gate, _web) = held_up();
        let world = if signal { world } else { world.server("watch = true") };
        let server = world.serve(Transport::Http);
        wait_until("the registry is asked", || gate.asked() == 1);
        world.key("other");
        let policy = TRUST.replace("version = 1", "version = 2").replace("keys/vendor.pub", "keys/other.pub");
        world.put("trust.toml", policy.as_bytes(), 0o644);
        if signal {
            server.signal("HUP");
        }
        wait_until("what the removed signer signed is gone", || server.tools().is_empty());
        gate.open();
        wait_until("what arrives is judged by the newer policy", || {
            ready(&server).1["plugins"]["refused"] == json!(["here", "hello"])
        });
        assert!(server.tools().is_empty());
    }
}

#[test]
fn reloads_during_a_fetch_begin_no_second_one() {
    let (world, gate, _web) = held_up();
    let server = world.serve(Transport::Http);
    wait_until("the registry is asked", || gate.asked() == 1);
    for times in 1..=3 {
        server.signal("HUP");
        wait_until("it is reloaded", || server.log().matches("reloaded").count() >= times);
    }
    assert_eq!(gate.asked(), 1);
    gate.open();
    wait_until("the other plugin serves", || server.tools() == ["hello_seven", "here_seven"]);
    assert_eq!(gate.0.0.lock().unwrap().most, 1, "one at a time");
}

#[test]
fn a_server_that_is_stopped_waits_for_no_registry() {
    for transport in Transport::ALL {
        let (world, gate, _web) = held_up();
        let server = world.serve(transport);
        wait_until("the registry is asked", || gate.asked() == 1);
        server.signal("TERM");
        assert_eq!(server.wait(), 0, "{}", server.log());
    }
}

#[test]
fn what_does_not_come_is_refused_later_and_nothing_at_all_ends_the_server() {
    let vendor = vendor();
    let missing = |on_refused: &str| {
        let web = Shelf::of(&vendor, "hello").serve_with(Box::new(|_, _, to| {
            answer(to, "404 Not Found", &[], b"");
            true
        }));
        let world = trusting(&vendor).server(on_refused);
        world.plugin_from("hello", &format!("oci://{}/hello:1", web.address))
    };
    for on_refused in ["", "on_refused = \"skip\"", "on_refused = \"stop\""] {
        let world = missing(on_refused);
        world.write();
        let mut serve = world.command();
        let ended = output_of(serve.args(["serve", "--listen", "127.0.0.1:0"]));
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(4), "{on_refused}: {said}");
        assert!(said.contains("the answer was 404"), "{on_refused}: {said}");
    }
}

#[test]
fn who_wants_all_or_nothing_waits_for_all() {
    let (world, gate, _web) = held_up();
    let world = world.server("on_refused = \"stop\"");
    let asked = gate.clone();
    let opener = std::thread::spawn(move || {
        wait_until("the registry is asked", || asked.asked() == 1);
        asked.open();
    });
    let server = world.serve(Transport::Http);
    assert_eq!(server.tools(), ["hello_seven", "here_seven"], "from the beginning");
    assert_eq!(ready(&server).0, 200);
    opener.join().unwrap();
}

#[test]
fn a_tag_beside_a_digest_is_taken_and_the_digest_counts() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let manifest = shelf.manifest.clone();
    let web = shelf.serve();
    for (tag, digest, code) in
        [("1", manifest.as_str(), 0), ("no-such-tag", manifest.as_str(), 0), ("1", &digest(), 4)]
    {
        let world =
            trusting(&vendor).plugin_from("hello", &format!("oci://{}/hello:{tag}@{digest}", web.address));
        let check = world.run(&["check"]);
        assert_eq!(check.code, code, "{tag}: {}", check.said());
    }
}
