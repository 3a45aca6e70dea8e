//! Resources left to others when a call meets its limits: CPU, memory, and the server's own output.

use serde_json::{Value, json};
use toolgate_tests::process::{resident_kib, wait_until};
use toolgate_tests::{Server, Transport};

use super::guest;

#[test]
fn a_neighbour_answers_while_loopers_take_every_core_and_more() {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    for transport in Transport::ALL {
        let world = guest("looping").env("TOOLGATE_LOG", "debug").limit("fuel = 1_000_000_000_000");
        let server = world.serve(transport);
        let loopers: Vec<_> = (0..cores * 2).map(|_| server.begin("bad_run", json!({}))).collect();
        server.wait_until("all of them run", || {
            server.log().matches("a guest begins").count() == loopers.len()
        });
        for _ in 0..30 {
            assert_eq!(server.call("good_seven", json!({})).text(), "7");
        }
        let ended = || world.call_records().iter().filter(|record| record["plugin"] == "bad").count();
        assert_eq!(ended(), 0, "all of them still run");
        let count = loopers.len();
        loopers.into_iter().for_each(toolgate_tests::begun::Begun::cancel);
        server.wait_until("all of them have ended", || ended() == count);
        if transport == Transport::Stdio {
            assert_protocol_only(&server);
        }
    }
}

#[test]
fn memory_comes_back_after_calls_that_took_too_much() {
    let world = guest("hogging").limit("memory_bytes_max = 134_217_728");
    let server = world.serve(Transport::Http);
    server.call("bad_run", json!({ "mebibytes": 1 }));
    let before = resident_kib(server.pid());
    assert!(!server.call("bad_run", json!({ "mebibytes": 100 })).is_error());
    for _ in 0..5 {
        assert!(server.call("bad_run", json!({ "mebibytes": 500 })).is_error());
    }
    wait_until("all of it is given back", || resident_kib(server.pid()) < before + (16 << 10));
}

#[test]
fn what_guests_write_never_reaches_the_servers_stdout() {
    let world = guest("flooding");
    let server = world.serve(Transport::Stdio);
    assert_eq!(server.call("bad_run", json!({ "kibibytes": 500 })).text(), "answered");
    assert_protocol_only(&server);
    let log = server.wait_for_log("forged");
    let forged =
        log.lines().find(|line| line.contains("forged")).expect("it is in the log, for the operator");
    assert!(forged.starts_with("    | "), "and cannot pass for the host's: {forged}");
}

/// Asserts that every line on stdout is a protocol message, and none is the guest's forgery.
fn assert_protocol_only(server: &Server) {
    for line in server.lines() {
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no message: {line}"));
        assert_eq!(message["jsonrpc"], "2.0");
        assert_ne!(message["result"]["forged"], true);
    }
}
