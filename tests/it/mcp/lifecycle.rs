//! Initialisation, cancellation, shutdown.

use serde_json::{Value, json};
use toolgate_tests::client::headers;
use toolgate_tests::hold::Holding;
use toolgate_tests::process::{self, wait_until};
use toolgate_tests::{Server, Transport, World, test_guest};

use super::seven;

fn slow() -> World {
    World::new()
        .env("TOOLGATE_LOG", "debug")
        .plugin("seven", &toolgate_tests::guest::seven())
        .plugin("slow", &test_guest("sleeping"))
        .plugin("loop", &test_guest("looping"))
        .limit("fuel = 1_000_000_000_000")
}

fn wait_for_record(world: &World, count: usize) -> Vec<Value> {
    wait_until("it is recorded", || world.call_records().len() >= count);
    world.call_records()
}

/// Duration far beyond any wait of a test, in milliseconds.
const LONG: u32 = 3_600_000;

#[test]
fn a_call_that_its_client_cancels_is_ended() {
    for (tool, args) in [("slow_run", json!({ "ms": LONG })), ("loop_run", json!({}))] {
        let world = slow();
        let server = world.serve(Transport::Stdio);
        let call = server.begin(tool, args);
        server.wait_for_guest();
        call.cancel();
        let record = wait_for_record(&world, 1).remove(0);
        assert_eq!(
            (&record["outcome"]["kind"], &record["outcome"]["blame"]),
            (&json!("cancelled"), &json!("caller")),
            "{tool}: {record}"
        );
        assert_eq!(server.call("seven_seven", json!({})).text(), "7");
    }
}

#[test]
fn a_call_whose_client_goes_away_is_ended() {
    for (tool, args) in [("slow_run", json!({ "ms": LONG })), ("loop_run", json!({}))] {
        let world = slow();
        let server = world.serve(Transport::Http);
        let (_, call) = server.modern("tools/call", json!({ "name": tool, "arguments": args }));
        let stream = server.open("POST", "/mcp", &headers(&call), Some(&call.to_string()));
        server.wait_for_guest();
        drop(stream);
        let record = wait_for_record(&world, 1).remove(0);
        assert_eq!(record["outcome"]["kind"], "cancelled", "{tool}: {record}");
    }
}

#[test]
fn a_stop_lets_calls_in_flight_end_and_takes_no_more() {
    for transport in Transport::ALL {
        let holding = Holding::new();
        let world = World::new().plugin("web", &test_guest("requesting")).grant(&holding.grant());
        let world = world.server("[server.limits]\ndrain_ms = 60_000");
        let server = world.serve(transport);
        let call = server.calling("web_run", holding.request());
        holding.wait_for(1);
        server.signal("TERM");
        server.wait_for_log("stopping");
        holding.release_all();
        assert_eq!(call.join().unwrap().structured()["body"], "released");
        assert_eq!(server.wait(), 0, "{}", server.log());
        let events: Vec<Value> = world.records().iter().map(|record| record["event"].clone()).collect();
        assert_eq!(events.first().unwrap(), "load");
        assert_eq!(events.last().unwrap(), "stopped");
    }
}

#[test]
fn a_stop_ends_calls_that_do_not_end_by_themselves() {
    for transport in Transport::ALL {
        let world = slow().server("[server.limits]\ndrain_ms = 300");
        let server = world.serve(transport);
        let _call = server.begin("loop_run", json!({}));
        server.wait_for_guest();
        server.signal("TERM");
        assert_eq!(server.wait(), 0, "{}", server.log());
        assert_eq!(wait_for_record(&world, 1)[0]["outcome"]["kind"], "stopping");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let world = slow().server("[server.limits]\ndrain_ms = 60_000");
    let server = world.serve(Transport::Http);
    let _call = server.begin("slow_run", json!({ "ms": LONG }));
    server.wait_for_guest();
    server.signal("INT");
    server.wait_for_log("stopping; a second signal ends at once");
    assert!(server.is_alive());
    server.signal("INT");
    assert_eq!(server.wait(), 130);
}

#[test]
fn stdio_ends_when_its_client_hangs_up() {
    let world = slow();
    let server = world.serve(Transport::Stdio);
    assert_eq!(server.call("seven_seven", json!({})).text(), "7");
    server.hang_up();
    assert_eq!(server.wait(), 0);

    let server = world.serve(Transport::Stdio);
    server.hang_up();
    assert_eq!(server.wait(), 0, "also when it never said anything");

    let server = world.serve(Transport::Stdio);
    let _call = server.begin("loop_run", json!({}));
    server.wait_for_guest();
    server.hang_up();
    assert_eq!(server.wait(), 0, "also in the middle of a call");
}

#[test]
fn stdio_opens_no_listener() {
    let server: Server = seven().serve(Transport::Stdio);
    assert_eq!(server.call("seven_seven", json!({})).text(), "7");
    assert!(!server.log().contains("http://"), "{}", server.log());
    let sockets = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().filter_map(Result::ok);
    let listening = std::fs::read_to_string(format!("/proc/{}/net/tcp", server.pid())).unwrap();
    for socket in sockets.filter_map(|entry| std::fs::read_link(entry.path()).ok()) {
        if let Some(inode) = socket.to_str().and_then(|name| name.strip_prefix("socket:[")?.strip_suffix(']'))
        {
            // State 0A is LISTEN.
            let listens = |line: &str| line.contains(&format!(" {inode} ")) && line.contains(" 0A ");
            assert!(!listening.lines().any(listens), "{inode}");
        }
    }
}

#[test]
fn an_address_that_others_can_reach_is_refused_without_a_word_for_it() {
    for args in [&["serve", "--listen", "0.0.0.0:0"][..], &["serve", "--listen", "[::]:0"]] {
        let ended = seven().run(args);
        assert_eq!(ended.code, 2, "{}", ended.said());
        assert!(ended.stderr.contains("insecure_no_auth = true"), "{}", ended.stderr);
    }
    let ended = seven().server("listen = \"0.0.0.0:7411\"").run(&["serve"]);
    assert_eq!(ended.code, 2, "{}", ended.said());
}

#[test]
fn serving_others_without_asking_who_they_are_is_said_at_each_start() {
    let world = seven().server("insecure_no_auth = true");
    world.write();
    let mut child = world
        .command()
        .args(["serve", "--listen", "0.0.0.0:0"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = child.stderr.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stderr)).map_while(Result::ok);
    let warned = lines.any(|line| line.contains("WARN") && line.contains("insecure_no_auth"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(warned);
}

#[test]
fn a_port_that_is_taken_fails_with_4() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = seven().run(&["serve", "--listen", &address]);
    assert_eq!(ended.code, 4, "{}", ended.said());
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);
}

#[test]
fn stdio_and_http_can_be_served_at_once() {
    let world = seven();
    world.write();
    let mut child = world
        .command()
        .args(["serve", "--stdio", "--listen", "127.0.0.1:0"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = child.stderr.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stderr)).map_while(Result::ok);
    assert!(lines.any(|line| line.contains("serving MCP at http://127.0.0.1:")));
    drop(child.stdin.take());
    assert_eq!(process::ended(child).status.code(), Some(0));
}

#[test]
fn a_stream_of_changes_that_is_asked_for_again_hears_nothing_of_the_end_of_the_one_before() {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    let world = slow();
    let server = world.serve(Transport::Stdio);
    let (id, listen) =
        server.modern("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let cancelled =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } });
    server.send(&listen.to_string());
    for round in 0..20 {
        let told = server.notification("notifications/subscriptions/acknowledged", PATIENCE);
        let told = told.unwrap_or_else(|| panic!("round {round}: {:?}", server.lines()));
        assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], id, "{told}");
        // Both at once, with the same id.
        server.send(&format!("{cancelled}\n{listen}"));
    }
    assert!(server.notification("notifications/subscriptions/acknowledged", PATIENCE).is_some());
    server.signal("TERM");
    assert_eq!(server.wait(), 0, "{}", server.log());
    let lines: Vec<Value> = server.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let over = lines.iter().filter(|line| line["method"] == "notifications/cancelled").count();
    let ends: Vec<&Value> = lines.iter().filter(|line| line["id"] == id).collect();
    assert_eq!((over, ends.len()), (1, 1), "the last one ends, and once: {lines:?}");
    assert_eq!(ends[0]["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], id);
}
