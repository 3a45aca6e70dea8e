//! Clients that are malicious to each other: one makes a plugin fail or fills its queue, while others call.

use std::net::Ipv4Addr;

use serde_json::json;
use toolgate_tests::kept::{ELSEWHERE, Kept};
use toolgate_tests::process::wait_until;
use toolgate_tests::{Reply, Server, Transport, World, test_guest};

const FIRST: Ipv4Addr = ELSEWHERE[0];
const SECOND: Ipv4Addr = ELSEWHERE[1];
const THIRD: Ipv4Addr = ELSEWHERE[2];

fn world(limits: &str) -> World {
    World::new().plugin("park", &test_guest("parking")).limit(limits)
}

fn from(address: Ipv4Addr, server: &Server) -> Kept {
    Kept::from(address, server.address())
}

fn crash(client: &mut Kept) -> Reply {
    client.call("park_crash", json!({}))
}

fn is_served(client: &mut Kept) -> bool {
    let reply = client.call("park_wait", json!({ "ms": 0 }));
    assert!(reply.text() == "waited" || reply.text().contains("on hold"), "{reply:?}");
    !reply.is_error()
}

#[test]
fn a_client_that_makes_a_plugin_fail_is_on_hold_alone() {
    let world = world("faults_max = 3");
    let server = world.serve(Transport::Http);
    let mut bad = from(FIRST, &server);
    for _ in 0..3 {
        assert!(!crash(&mut bad).text().contains("on hold"));
    }
    let told = crash(&mut bad);
    assert!(told.text().contains("for this client's connection or session (faults_max = 3)"), "{told:?}");
    assert!(is_served(&mut from(SECOND, &server)), "another client");
    // It continues over other connections, until all connections of its address are on hold.
    for _ in 0..3 {
        let mut again = from(FIRST, &server);
        while !crash(&mut again).text().contains("on hold") {}
    }
    let told = crash(&mut from(FIRST, &server));
    assert!(told.text().contains("for all connections from this client's address"), "{told:?}");
    for address in [SECOND, THIRD, Ipv4Addr::LOCALHOST] {
        assert!(is_served(&mut from(address, &server)), "{address}");
    }
    let held: Vec<_> = world.records().into_iter().filter(|record| record["event"] == "hold").collect();
    assert!(held.len() >= 2, "each hold is recorded: {held:?}");
}

#[test]
fn a_plugin_that_fails_for_several_clients_is_on_hold_for_everybody_but_for_whom_it_works() {
    let server = world("faults_max = 3").serve(Transport::Http);
    let mut good = from(Ipv4Addr::LOCALHOST, &server);
    assert!(is_served(&mut good));
    for address in [FIRST, SECOND, THIRD] {
        crash(&mut from(address, &server));
    }
    let mut other = Kept::from(Ipv4Addr::new(127, 0, 0, 9), server.address());
    let told = other.call("park_wait", json!({ "ms": 0 }));
    assert!(told.text().contains("for several clients"), "{told:?}");
    assert!(is_served(&mut good), "whose calls go well is not bothered");
    assert!(is_served(&mut other), "and that is the proof that it works");
}

#[test]
fn over_stdio_there_is_one_client() {
    let server = world("faults_max = 3").serve(Transport::Stdio);
    for _ in 0..3 {
        assert!(!server.call("park_crash", json!({})).text().contains("on hold"));
    }
    let told = server.call("park_wait", json!({ "ms": 0 }));
    assert!(told.text().contains("for this client's connection or session (faults_max = 3)"), "{told:?}");
}

#[test]
fn a_client_that_fills_the_queue_makes_room_for_another() {
    const NAPS: usize = 2 + 8;
    let server = world("concurrency = 2\nqueue = 8").serve(Transport::Http);
    let nap = |_| {
        let mut nap = from(FIRST, &server);
        nap.ask("tools/call", json!({ "name": "park_wait", "arguments": { "ms": 100_000 } }));
        nap
    };
    let mut naps: Vec<Kept> = (0..=NAPS).map(nap).collect();
    wait_until("one more than there is room for is refused", || naps.iter_mut().any(Kept::has_come));
    let (mut refused, mut naps) = part(naps);
    assert!(refused.remove(0).answer().body.contains("queue = 8") && refused.is_empty());
    let mut other = from(SECOND, &server);
    other.ask("tools/call", json!({ "name": "park_wait", "arguments": { "ms": 0 } }));
    wait_until("one gives way", || naps.iter_mut().any(Kept::has_come));
    let (mut gave_way, naps) = part(naps);
    let told = gave_way.remove(0).answer().body;
    assert!(told.contains("most of them by this client") && gave_way.is_empty(), "{told}");
    drop(naps);
    assert!(other.answer().body.contains("waited"));
}

/// Splits clients into those with an answer and the others.
fn part(clients: Vec<Kept>) -> (Vec<Kept>, Vec<Kept>) {
    let (mut answered, mut others) = (Vec::new(), Vec::new());
    for mut client in clients {
        if client.has_come() { answered.push(client) } else { others.push(client) }
    }
    (answered, others)
}

#[test]
fn a_client_that_fills_all_places_is_passed_by_one_that_calls_another_plugin() {
    let world = World::new()
        .server("[server.limits]\ncalls_max = 1")
        .plugin("park", &test_guest("parking"))
        .limit("concurrency = 16")
        .plugin("other", &test_guest("parking"))
        .env("TOOLGATE_LOG", "debug");
    let server = world.serve(Transport::Http);
    let ask = |address: Ipv4Addr, tool: &str, ms: u32| {
        let mut client = from(address, &server);
        client.ask("tools/call", json!({ "name": tool, "arguments": { "ms": ms } }));
        client
    };
    let begun = ask(FIRST, "park_wait", 1_000_000);
    server.wait_for_guest();
    let waiting: Vec<Kept> = (0..6).map(|_| ask(FIRST, "park_wait", 300)).collect();
    let other = ask(SECOND, "other_wait", 0);
    // Closing the connection frees a slot.
    drop(begun);
    for mut client in [other].into_iter().chain(waiting) {
        assert!(client.answer().body.contains("waited"));
    }
    let tools: Vec<_> = world.call_records().iter().map(|record| record["tool"].clone()).collect();
    let place = tools.iter().position(|tool| tool == "other_wait").unwrap();
    assert!(place + 1 < tools.len(), "it does not wait for all that came before it: {tools:?}");
}
