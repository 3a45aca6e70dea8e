//! Malicious clients that take connections, streams, sessions and memory, and never release them.

use std::net::Ipv4Addr;

use serde_json::json;
use toolgate_tests::client::headers;
use toolgate_tests::kept::{ELSEWHERE, Kept, modern};
use toolgate_tests::process::wait_until;
use toolgate_tests::{Server, Transport, World, test_guest};

const OTHER: Ipv4Addr = ELSEWHERE[0];

/// Duration of a call that must outlast the test.
const LONG_MS: u32 = 1_000_000;

/// A world with these limits for clients.
fn world(limits: &str) -> World {
    World::new()
        .server(&format!("[server.limits]\n{limits}"))
        .plugin("park", &test_guest("parking"))
        .limit("concurrency = 64")
}

fn fine(server: &Server) {
    assert_eq!(server.call("park_wait", json!({ "ms": 0 })).text(), "waited");
}

fn health(server: &Server) -> [u16; 2] {
    ["/healthz", "/readyz"].map(|path| server.http("GET", path, &[], None).status)
}

fn notices(server: &Server, words: &str) -> usize {
    server.log().lines().filter(|line| line.contains(words)).count()
}

/// Begins a session; returns its headers.
fn session(server: &Server) -> Vec<(String, String)> {
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } });
    let reply = server.post(&initialize.to_string(), &[]);
    assert_eq!(reply.status, 200, "{reply:?}");
    let id = reply.header("Mcp-Session-Id").unwrap().to_owned();
    vec![("Mcp-Session-Id".to_owned(), id), ("MCP-Protocol-Version".to_owned(), "2025-11-25".to_owned())]
}

/// Status of a ping in a session.
fn ping(server: &Server, session: &[(String, String)]) -> u16 {
    server.post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string(), session).status
}

/// A call of a session that lasts until it is ended.
fn long_call(id: u32) -> String {
    let params = json!({ "name": "park_wait", "arguments": { "ms": LONG_MS } });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
}

/// Cancels such a call.
fn cancel(server: &Server, session: &[(String, String)], id: u32) {
    let params = json!({ "requestId": id });
    let message = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
    assert_eq!(server.post(&message.to_string(), session).status, 202);
}

fn nap(ms: u32) -> String {
    modern("tools/call", json!({ "name": "park_wait", "arguments": { "ms": ms } })).to_string()
}

fn nap_headers() -> Vec<(String, String)> {
    headers(&modern("tools/call", json!({ "name": "park_wait" })))
}

#[test]
fn connections_that_send_nothing_make_room_for_those_that_do() {
    let server = world("connections_max = 8").serve(Transport::Http);
    let silent: Vec<Kept> = (0..100).map(|_| Kept::to(server.address())).collect();
    let mut half = Kept::to(server.address());
    half.send(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n");
    for _ in 0..20 {
        fine(&server);
        assert_eq!(health(&server), [200, 200]);
    }
    server.wait_for_log("connections that waited for a request were closed");
    assert_eq!(notices(&server, "connections that waited for a request were closed"), 1, "once a minute");
    drop(silent);
}

#[test]
fn a_body_that_comes_slowly_makes_room_for_a_request() {
    let server = world("connections_max = 8").serve(Transport::Http);
    let mut slow: Vec<Kept> = (0..4).map(|_| Kept::to(server.address())).collect();
    for connection in &mut slow {
        connection.head("POST", "/mcp", &[], Some(1_000));
        connection.send(b"{");
    }
    // Until they are recognised as slow, other requests are refused with 503.
    wait_until("a request is answered", || {
        let reply = server.post(&nap(0), &nap_headers());
        assert!([200, 503].contains(&reply.status), "{reply:?}");
        reply.status == 200
    });
    wait_until("a slow one is hung up on", || slow.iter_mut().any(Kept::is_closed));
}

#[test]
fn where_every_connection_is_busy_probes_are_answered_and_others_told_to_come_back() {
    let world = world("connections_max = 4\npeer_percent = 100").env("TOOLGATE_LOG", "debug");
    let server = world.serve(Transport::Http);
    let mut busy: Vec<Kept> = (0..4).map(|_| Kept::to(server.address())).collect();
    busy.iter_mut().for_each(|connection| connection.post(&nap(LONG_MS), &nap_headers()));
    wait_until("all are busy", || server.log().matches("a guest begins").count() >= 4);
    assert_eq!(health(&server), [200, 200]);
    let reply = server.post(&nap(0), &nap_headers());
    assert_eq!((reply.status, reply.header("Retry-After")), (503, Some("5")), "{reply:?}");
    assert!(!busy.iter_mut().any(Kept::is_closed), "none of them makes room");
    server.wait_for_log("connections were told to come back");
    drop(busy);
    wait_until("places come back", || server.post(&nap(0), &nap_headers()).status == 200);
}

#[test]
fn one_client_holds_its_share_of_streams_and_another_has_its_own() {
    let server = world("streams_max = 10").serve(Transport::Http);
    let listen = modern("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let open = |from: Ipv4Addr| {
        let mut stream = Kept::from(from, server.address());
        stream.post(&listen.to_string(), &headers(&listen));
        let status = stream.status();
        (stream, status)
    };
    let held: Vec<(Kept, u16)> = (0..8).map(|_| open(Ipv4Addr::LOCALHOST)).collect();
    let statuses: Vec<u16> = held.iter().map(|(_, status)| *status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 503, 503, 503]);
    let mut refused = Kept::to(server.address());
    refused.post(&listen.to_string(), &headers(&listen));
    assert_eq!(refused.answer().message()["id"], 1, "it is refused by its id");
    assert_eq!(open(OTHER).1, 200);
    fine(&server);
    drop(held);
    wait_until("places come back", || open(Ipv4Addr::LOCALHOST).1 == 200);
    // Streams of sessions count as well.
    let session = session(&server);
    let held: Vec<(Kept, u16)> = (0..6)
        .map(|_| {
            let mut stream = Kept::to(server.address());
            stream.head("GET", "/mcp", &session, None);
            let status = stream.status();
            (stream, status)
        })
        .collect();
    assert!(held.iter().any(|(_, status)| *status == 503), "{:?}", held.last().map(|held| held.1));
    server.wait_for_log("streams were told to come back");
}

#[test]
fn over_stdio_streams_are_bounded_too() {
    let server = world("streams_max = 10").serve(Transport::Stdio);
    for id in 0..6 {
        let mut listen = modern("subscriptions/listen", json!({ "notifications": {} }));
        listen["id"] = json!(1_000 + id);
        server.send(&listen.to_string());
    }
    let refused = server.reply(&json!(1_005)).unwrap();
    assert!(refused["error"]["message"].as_str().unwrap().contains("as many streams as it may"), "{refused}");
    server.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1_000 } })
            .to_string(),
    );
    wait_until("a place comes back", || {
        let mut listen = modern("subscriptions/listen", json!({ "notifications": {} }));
        listen["id"] = json!(2_000);
        server.send(&listen.to_string());
        server
            .notification("notifications/subscriptions/acknowledged", std::time::Duration::from_millis(50))
            .is_some_and(|told| told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 2_000)
    });
    fine(&server);
}

#[test]
fn the_session_that_was_idle_longest_makes_room_and_its_client_begins_anew() {
    let world = world("sessions_max = 8").env("TOOLGATE_LOG", "info,toolgate=debug");
    let server = world.serve(Transport::Http);
    // Half of them are one client's share.
    let first = session(&server);
    let busy = session(&server);
    let mut napping = Kept::to(server.address());
    napping.post(&long_call(7), &busy);
    server.wait_for_guest();
    let others: Vec<_> = (0..20).map(|_| session(&server)).collect();
    assert_eq!(ping(&server, &first), 404, "so that its client begins anew");
    assert_eq!(ping(&server, &busy), 200, "a session with a call in flight stays");
    cancel(&server, &busy, 7);
    let left = others.iter().filter(|other| ping(&server, other) == 200).count();
    assert_eq!(left, 3);
    server.wait_for_log("idle sessions were ended for new ones");
    assert_eq!(notices(&server, "idle sessions were ended for new ones"), 1, "once a minute");
}

#[test]
fn where_every_session_is_in_use_a_new_one_is_told_to_come_back() {
    let server = world("sessions_max = 2\npeer_percent = 100").serve(Transport::Http);
    // A call of a session continues after its client has gone, so the session stays in use.
    let sessions = [session(&server), session(&server)];
    for session in &sessions {
        let mut napping = Kept::to(server.address());
        napping.post(&long_call(7), session);
        napping.status();
    }
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } });
    let begin = || server.post(&initialize.to_string(), &[]).status;
    assert_eq!(begin(), 503);
    fine(&server);
    cancel(&server, &sessions[0], 7);
    wait_until("a call ends", || begin() == 200);
}

#[test]
fn an_initialize_that_wants_no_answer_ends_nobodys_session() {
    let server = world("sessions_max = 2\npeer_percent = 100").serve(Transport::Http);
    let sessions = [session(&server), session(&server)];
    let notification = json!({ "jsonrpc": "2.0", "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } });
    for _ in 0..4 {
        assert_ne!(server.post(&notification.to_string(), &[]).status, 200);
    }
    for session in &sessions {
        assert_eq!(ping(&server, session), 200);
    }
}

#[test]
fn an_initialize_that_begins_no_session_ends_nobodys_session() {
    let server = world("sessions_max = 2\npeer_percent = 100").serve(Transport::Http);
    let sessions = [session(&server), session(&server)];
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } });
    let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for headers in [
        // Within an existing session.
        sessions[0].clone(),
        vec![sessions[0][0].clone()],
        // Refused because of its headers.
        header("MCP-Protocol-Version", "2025-06-18"),
        header("MCP-Protocol-Version", "2026-07-28"),
        header("Content-Type", "text/plain"),
    ] {
        for _ in 0..2 {
            let reply = server.post(&initialize.to_string(), &headers);
            assert_eq!(reply.header("Mcp-Session-Id"), None, "{headers:?}: {reply:?}");
        }
        for session in &sessions {
            assert_eq!(ping(&server, session), 200, "{headers:?}");
        }
    }
}

#[test]
fn streams_of_sessions_take_no_connections_from_requests() {
    let server = world("connections_max = 4\npeer_percent = 100").serve(Transport::Http);
    let mut streams = Vec::new();
    for _ in 0..20 {
        let session = session(&server);
        let mut stream = Kept::to(server.address());
        stream.head("GET", "/mcp", &session, None);
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    for _ in 0..10 {
        fine(&server);
        assert_eq!(health(&server), [200, 200]);
    }
    assert!(!streams.iter_mut().any(Kept::is_closed));
}

#[test]
fn a_client_that_does_not_read_its_answer_is_hung_up_on() {
    let world =
        world("write_ms = 500").limit("output_bytes_max = 60_000_000\nmemory_bytes_max = 200_000_000");
    let server = world.serve(Transport::Http);
    let mut lazy = Kept::to(server.address());
    lazy.ask("tools/call", json!({ "name": "park_long", "arguments": { "kibibytes": 20_000 } }));
    server.wait_for_log("nobody read their answers");
    // A client that reads gets all of it, whatever its length.
    let whole = server.call("park_long", json!({ "kibibytes": 20_000 }));
    assert_eq!(whole.text().len(), 20_000 << 10);
    fine(&server);
}

#[test]
fn answers_that_nobody_reads_are_held_up_to_a_bound() {
    let limits = "answers_bytes_max = 8_000_000\npeer_percent = 100\nwrite_ms = 3_600_000";
    let world = world(limits).limit("output_bytes_max = 60_000_000\nmemory_bytes_max = 200_000_000");
    let server = world.serve(Transport::Http);
    let ask = |kibibytes: u32| {
        let mut lazy = Kept::to(server.address());
        lazy.ask("tools/call", json!({ "name": "park_long", "arguments": { "kibibytes": kibibytes } }));
        lazy
    };
    // An answer larger than the whole budget is refused at once.
    let told = ask(8_000).answer();
    assert!(told.body.contains("as many large answers as it may"), "{told:?}");
    server.wait_for_log("large answers were given up");
    // A smaller one waits for free budget.
    let mut held = ask(7_000);
    wait_until("the first is being written", || held.has_come());
    let mut waits = ask(7_000);
    assert!(held.answer().body.len() > 7_000 << 10);
    assert!(waits.answer().body.len() > 7_000 << 10);
    fine(&server);
}

#[test]
fn over_stdio_answers_that_nobody_reads_are_held_up_to_a_bound() {
    let world = world("answers_bytes_max = 5_000_000\npeer_percent = 100")
        .limit("output_bytes_max = 60_000_000\nmemory_bytes_max = 200_000_000");
    let server = world.serve(Transport::Stdio);
    let told = server.call("park_long", json!({ "kibibytes": 3_000 }));
    assert!(told.text().contains("as many large answers as it may"), "{:.200}", told.text());
    // Answers that fit are all sent, each when budget is free.
    let calls: Vec<_> = (0..4).map(|_| server.calling("park_long", json!({ "kibibytes": 2_000 }))).collect();
    for call in calls {
        assert_eq!(call.join().unwrap().text().len(), 2_000 << 10);
    }
    fine(&server);
}

#[test]
fn requests_that_are_answered_are_bounded_for_each_client_also_where_it_has_gone() {
    let world = world("requests_max = 8").env("TOOLGATE_LOG", "debug");
    let server = world.serve(Transport::Http);
    let session = session(&server);
    for id in 0..4 {
        let mut gone = Kept::to(server.address());
        gone.post(&long_call(id), &session);
        assert_eq!(gone.status(), 200);
    }
    wait_until("they run", || server.log().matches("a guest begins").count() >= 4);
    let reply = server.post(&nap(0), &nap_headers());
    assert_eq!((reply.status, reply.header("Retry-After")), (503, Some("5")), "{reply:?}");
    assert_eq!(health(&server), [200, 200]);
    let mut other = Kept::from(OTHER, server.address());
    assert_eq!(other.call("park_wait", json!({ "ms": 0 })).text(), "waited", "another client has its own");
    assert_eq!(ping(&server, &session), 503, "a short request is one as well");
    // A client at its limit of requests can still cancel them.
    cancel(&server, &session, 0);
    wait_until("one ends", || server.post(&nap(0), &nap_headers()).status == 200);
}

#[test]
fn over_stdio_requests_that_wait_for_an_answer_are_bounded() {
    let server = world("requests_max = 8").serve(Transport::Stdio);
    for id in 1_000..1_006 {
        let mut call = modern("tools/call", json!({ "name": "park_wait", "arguments": { "ms": LONG_MS } }));
        call["id"] = json!(id);
        server.send(&call.to_string());
    }
    for id in [1_004, 1_005] {
        let refused = server.reply(&json!(id)).unwrap();
        assert!(refused["error"].to_string().contains("as many requests as it may"), "{refused}");
    }
    let params = json!({ "requestId": 1_000 });
    server.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }).to_string(),
    );
    let is_served = || server.call("park_wait", json!({ "ms": 0 })).0.get("error").is_none();
    wait_until("a place comes back", is_served);
}

#[test]
fn over_stdio_an_id_that_is_being_answered_is_refused_at_once_and_may_be_used_again_after_it() {
    let world = world("requests_max = 8").env("TOOLGATE_LOG", "debug");
    let server = world.serve(Transport::Stdio);
    let call = |ms: u32| {
        let mut call = modern("tools/call", json!({ "name": "park_wait", "arguments": { "ms": ms } }));
        call["id"] = json!(7);
        server.send(&call.to_string());
    };
    call(LONG_MS);
    wait_until("it runs", || server.log().contains("a guest begins"));
    // As often as there are slots: refused ones take none.
    for _ in 0..20 {
        call(0);
        let refused = server.reply(&json!(7)).unwrap();
        assert_eq!(refused["error"]["code"], -32600, "{refused}");
        assert!(refused["error"].to_string().contains("give each request an id of its own"), "{refused}");
    }
    let params = json!({ "requestId": 7 });
    server.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }).to_string(),
    );
    call(0);
    let answered = server.reply(&json!(7)).unwrap();
    assert_eq!(answered["result"]["content"][0]["text"], "waited", "{answered}");
    wait_until("both have their records", || world.call_records().len() >= 2);
    assert_eq!(world.call_records().len(), 2, "what was refused did not run");
}
