//! `sockets`: not built yet. An empty grant links the interface and refuses every use.

use std::net::TcpListener;

use serde_json::json;
use toolgate_tests::web::was_connected;
use toolgate_tests::{World, test_guest};

use super::{assert_misconfigured, error};

fn connecting() -> World {
    World::new().plugin("net", &test_guest("connecting"))
}

#[test]
fn granted_more_than_nothing_is_not_built_yet_and_says_so() {
    let line = r#"sockets = [{ host = "example.com", port = 443 }]"#;
    assert_misconfigured(&connecting().grant(line), "cannot be granted yet");
}

#[test]
fn denied_it_does_not_load() {
    let check = connecting().run(&["check"]);
    assert_eq!(check.code, 3);
    assert!(check.stderr.contains("it needs `sockets`"), "{}", check.stderr);
}

#[test]
fn narrowed_to_nothing_no_connection_no_packet_and_no_lookup_leaves_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let world = connecting().grant("sockets = []");
    error(&world, "net_tcp", &json!({ "address": address }));
    error(&world, "net_udp", &json!({ "address": address }));
    error(&world, "net_lookup", &json!({ "name": "localhost" }));
    assert!(!was_connected(&listener));
}
