//! Every limit of a call: what meets it ends with a fault that names it, within the call's deadline; what stays under it is
//! not bothered; and the neighbours go on. `coverage.rs` sees to it that none is missing: a test here begins with the
//! name of its limit.

mod apart;
mod exact;
mod later;
mod sockets;

use std::thread::JoinHandle;

use serde_json::{Value, json};
use toolgate_tests::hold::Holding;
use toolgate_tests::process::{resident_kib, wait_until};
use toolgate_tests::web::{Web, converse, respond};
use toolgate_tests::{Reply, Server, Transport, World, test_guest};

fn guest(name: &str) -> World {
    World::new().plugin("good", &toolgate_tests::guest::seven()).plugin("bad", &test_guest(name))
}

/// The guests that use sockets, one of each generation of WASI.
fn dialing(grant: &str) -> [World; 2] {
    [guest("connecting").grant(grant), guest("dialing").with("engine = \"async\"").grant(grant)]
}

/// `bad_run` waits at this server until the test releases it.
fn held(holding: &Holding) -> World {
    guest("requesting").grant(&holding.grant())
}

/// Calls that run in the background.
type Calls = Vec<JoinHandle<Reply>>;

fn wait_until_ended(calls: &Calls, count: usize) {
    wait_until(&format!("{count} calls have ended"), || {
        calls.iter().filter(|call| call.is_finished()).count() == count
    });
}

fn replies(calls: Calls) -> Vec<Reply> {
    calls.into_iter().map(|call| call.join().unwrap()).collect()
}

/// Calls over both transports; each time the call ends with this limit's fault, the record has it, and both the next call
/// and a neighbour's are answered.
fn assert_met(world: World, tool: &str, args: &Value, limit: &str, fine: Option<(&str, Value)>) {
    for transport in Transport::ALL {
        let server = world.serve(transport);
        let reply = server.call(tool, args.clone());
        assert!(reply.is_error() && reply.text().contains(&format!("{limit} = ")), "{limit}: {reply:?}");
        let record = world.call_records().pop().unwrap();
        assert_eq!(record["outcome"]["kind"], "limit", "{record}");
        assert_eq!(record["outcome"]["limit"], limit, "{record}");
        if let Some((tool, args)) = &fine {
            let reply = server.call(tool, args.clone());
            assert!(!reply.is_error(), "{limit}: {reply:?}");
        }
        assert_eq!(server.call("good_seven", json!({})).text(), "7");
    }
}

#[test]
fn fuel_ends_a_loop() {
    assert_met(guest("looping").limit("fuel = 10_000_000"), "bad_run", &json!({}), "fuel", None);
}

#[test]
fn fuel_ends_a_loop_over_cheap_calls_to_the_host() {
    // A few instructions a turn; without a price for the host's work this would run for minutes.
    let world = guest("timing").limit("fuel = 10_000_000");
    assert_met(
        world,
        "bad_look",
        &json!({ "times": 100_000 }),
        "fuel",
        Some(("bad_look", json!({ "times": 100 }))),
    );
}

#[test]
fn deadline_ms_ends_a_loop_that_has_fuel_left() {
    let world = guest("looping").limit("deadline_ms = 300").limit("fuel = 1_000_000_000_000");
    assert_met(world, "bad_run", &json!({}), "deadline_ms", None);
}

#[test]
fn deadline_ms_ends_a_loop_over_calls_to_the_host() {
    let world = guest("timing").limit("deadline_ms = 300").limit("fuel = 1_000_000_000_000");
    assert_met(world, "bad_look", &json!({ "times": 4_000_000_000u32 }), "deadline_ms", None);
}

#[test]
fn deadline_ms_ends_a_sleep() {
    let world = guest("sleeping").limit("deadline_ms = 300");
    assert_met(
        world,
        "bad_run",
        &json!({ "ms": 3_600_000 }),
        "deadline_ms",
        Some(("bad_run", json!({ "ms": 1 }))),
    );
}

#[test]
fn deadline_ms_ends_a_wait_for_a_server_that_says_nothing() {
    let silent = Holding::new();
    assert_met(held(&silent).limit("deadline_ms = 500"), "bad_run", &silent.request(), "deadline_ms", None);
}

#[test]
fn deadline_ms_ends_a_read_from_a_socket_that_says_nothing() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let args = json!({ "address": address.to_string(), "text": "hello" });
    for world in dialing(&socket(address, "tcp")) {
        assert_met(world.limit("deadline_ms = 500"), "bad_talk", &args, "deadline_ms", None);
    }
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let args = json!({ "address": address.to_string(), "text": "hello" });
    for world in dialing(&socket(address, "udp")) {
        assert_met(world.limit("deadline_ms = 500"), "bad_ask", &args, "deadline_ms", None);
    }
}

#[test]
fn deadline_ms_counts_the_wait_for_a_place() {
    // The one place that all plugins share is taken. One call of the plugin waits for that, the other for the first.
    let holding = Holding::new();
    let world = held(&holding)
        .server("[server.limits]\ncalls_max = 1")
        .plugin("late", &toolgate_tests::guest::seven())
        .limit("deadline_ms = 300\nconcurrency = 1");
    let server = world.serve(Transport::Http);
    let running = server.calling("bad_run", holding.request());
    holding.wait_for(1);
    let late: Calls = (0..2).map(|_| server.calling("late_seven", json!({}))).collect();
    for reply in replies(late) {
        assert!(reply.is_error() && reply.text().contains("deadline_ms = 300"), "{reply:?}");
    }
    for record in world.call_records() {
        let text = record["outcome"]["text"].as_str().unwrap();
        assert!(text.contains("it waited in the queue to its deadline"), "{text}");
    }
    holding.release_all();
    assert!(!running.join().unwrap().is_error());
}

#[test]
fn memory_bytes_max_ends_what_takes_too_much() {
    let world = guest("hogging").limit("memory_bytes_max = 8_388_608");
    let fine = Some(("bad_run", json!({ "mebibytes": 4 })));
    assert_met(world, "bad_run", &json!({ "mebibytes": 64 }), "memory_bytes_max", fine);
}

#[test]
fn memory_bytes_max_counts_all_memories_of_a_call_together() {
    // Four memories of 3 MiB each, none of them over the limit by itself.
    let one = r#"(core module $m (memory (export "memory") 0) (func (export "grow") (result i32) (memory.grow (i32.const 48))))"#;
    let instances: String = (0..4).map(|n| format!("(core instance $i{n} (instantiate $m))\n")).collect();
    let imports: String =
        (0..4).map(|n| format!("(import \"i{n}\" \"grow\" (func $g{n} (result i32)))\n")).collect();
    let args: String = (0..4).map(|n| format!("(with \"i{n}\" (instance $i{n}))\n")).collect();
    let calls: String =
        (0..4).map(|n| format!("(if (i32.lt_s (call $g{n}) (i32.const 0)) (then unreachable))\n")).collect();
    let text = format!(
        r#"(component {one} {instances}
            (core module $all {imports} (func (export "run") {calls}))
            (core instance $a (instantiate $all {args}))
            (func (export "run") (canon lift (core func $a "run"))))"#
    );
    let bytes = toolgate_tests::wat(&text);
    let world = |limit: &str| World::new().plugin("bad", &bytes).limit(limit);
    let reply = world("memory_bytes_max = 12_582_912").serve(Transport::Http).call("bad_run", json!({}));
    assert!(!reply.is_error(), "twelve fit: {reply:?}");
    let reply = world("memory_bytes_max = 12_517_376").serve(Transport::Http).call("bad_run", json!({}));
    assert!(reply.is_error() && reply.text().contains("memory_bytes_max = 12517376"), "{reply:?}");
}

#[test]
fn output_bytes_max_ends_an_answer_that_is_too_large() {
    for (tool, small) in [("bad_text", "bytes"), ("bad_numbers", "count")] {
        let world =
            guest("large").limit("output_bytes_max = 100_000").limit("memory_bytes_max = 268_435_456");
        let fine = Some((tool, json!({ small: 1_000 })));
        assert_met(world, tool, &json!({ small: 200_000 }), "output_bytes_max", fine);
    }
}

#[test]
fn output_bytes_max_ends_a_hundred_megabytes() {
    let world = guest("large").limit("memory_bytes_max = 536_870_912").limit("fuel = 100_000_000_000");
    assert_met(world, "bad_text", &json!({ "bytes": 100_000_000 }), "output_bytes_max", None);
}

#[test]
fn log_bytes_max_keeps_the_beginning_and_the_call_goes_on() {
    let world = guest("flooding").limit("log_bytes_max = 2048");
    let server = world.serve(Transport::Http);
    assert_eq!(server.call("bad_run", json!({ "kibibytes": 1000 })).text(), "answered");
    let log = server.wait_for_log("bad_run wrote");
    let line = log.lines().find(|line| line.contains("bad_run wrote")).expect("it is in the log");
    // A thousand KiB, the line before them and the one after, less what is kept.
    assert!(line.contains("then 1022"), "{line}");
    assert!(log.len() < 20_000, "{} bytes of log", log.len());
}

#[test]
fn concurrency_lets_so_many_run_and_the_rest_wait() {
    let holding = Holding::new();
    let server = held(&holding).limit("concurrency = 2\nqueue = 4").serve(Transport::Http);
    let mut calls: Calls = (0..2).map(|_| server.calling("bad_run", holding.request())).collect();
    holding.wait_for(2);
    calls.extend((0..5).map(|_| server.calling("bad_run", holding.request())));
    // One of five is turned away: the queue is full, so the other four are in it.
    wait_until_ended(&calls, 1);
    assert_eq!(holding.waiting(), 2);
    holding.release_all();
    assert_eq!(replies(calls).iter().filter(|reply| !reply.is_error()).count(), 6);
    assert_eq!(holding.most(), 2);
}

#[test]
fn queue_turns_away_at_once_what_would_wait_too_long() {
    let holding = Holding::new();
    let server = held(&holding).limit("concurrency = 1\nqueue = 2").serve(Transport::Http);
    let calls: Calls = (0..8).map(|_| server.calling("bad_run", holding.request())).collect();
    wait_until_ended(&calls, 5);
    assert_eq!(server.call("good_seven", json!({})).text(), "7", "another plugin has places of its own");
    holding.release_all();
    let replies = replies(calls);
    let (away, run): (Vec<&Reply>, Vec<&Reply>) = replies.iter().partition(|reply| reply.is_error());
    assert_eq!((run.len(), away.len()), (3, 5), "{replies:?}");
    assert!(
        away.iter()
            .all(|reply| reply.text().contains("queue = 2") && reply.text().contains("try again later"))
    );
}

#[test]
fn faults_max_puts_a_plugin_that_keeps_failing_on_hold_until_it_works_again() {
    for calls in [2, 3, 4] {
        let world = guest("panicking").limit("faults_max = 3");
        let server = world.serve(Transport::Http);
        let replies: Vec<Reply> = (0..calls).map(|_| server.call("bad_run", json!({ "why": "x" }))).collect();
        let turned_away = replies.iter().filter(|reply| reply.text().contains("faults_max = 3")).count();
        assert_eq!(turned_away, usize::from(calls == 4), "{replies:?}");
        assert_eq!(server.call("good_seven", json!({})).text(), "7", "another plugin is not on hold");
        let is_held = world.records().iter().any(|record| record["event"] == "hold");
        assert_eq!(is_held, calls >= 3, "{calls}");
        if is_held {
            server.wait_for_log("on hold");
        }
    }
}

#[test]
fn handles_max_ends_what_holds_too_many() {
    let world = guest("holding").limit("handles_max = 50");
    assert_met(
        world,
        "bad_run",
        &json!({ "handles": 1_000 }),
        "handles_max",
        Some(("bad_run", json!({ "handles": 10 }))),
    );
}

#[test]
fn http_requests_max_ends_a_crawler() {
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], ""));
    let world = guest("requesting").grant(&rule(&web)).limit("http_requests_max = 3");
    let mut args = request(&web);
    args["times"] = json!(50);
    assert_met(world, "bad_run", &args, "http_requests_max", Some(("bad_run", request(&web))));
    // Three and three, and one each for the two fine calls.
    assert_eq!(web.heard().len(), 8);
}

#[test]
fn http_bytes_max_counts_what_is_sent_and_what_comes() {
    let large = Web::plain(|_, to| respond(to, "200 OK", &[], &"x".repeat(200_000)));
    let world = guest("requesting").grant(&rule(&large)).limit("http_bytes_max = 100_000");
    assert_met(world, "bad_run", &request(&large), "http_bytes_max", None);

    let small = Web::plain(|_, to| respond(to, "200 OK", &[], ""));
    let world = guest("requesting").grant(&rule(&small)).limit("http_bytes_max = 100_000");
    let mut args = request(&small);
    args["method"] = json!("POST");
    args["body"] = json!("x".repeat(200_000));
    assert_met(world, "bad_run", &args, "http_bytes_max", Some(("bad_run", request(&small))));
}

#[test]
fn sockets_max_ends_what_opens_too_many() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let worlds = || dialing(&socket(address, "tcp")).map(|world| world.limit("sockets_max = 3"));
    let many = |times: u32| json!({ "address": address.to_string(), "times": times });
    for (world, again) in worlds().into_iter().zip(worlds()) {
        let under = world.serve(Transport::Http).call("bad_many", many(2));
        assert_eq!(under.text(), "2");
        assert_met(again, "bad_many", &many(4), "sockets_max", Some(("bad_many", many(3))));
    }
}

#[test]
fn socket_bytes_max_counts_what_is_sent_and_what_comes() {
    // Answers with as many bytes as it is asked for, in ten digits.
    let server = converse(|heard| vec![b'x'; heard.parse().unwrap_or(0)]);
    let worlds = || dialing(&socket(server, "tcp")).map(|world| world.limit("socket_bytes_max = 100_000"));
    let talk = |bytes: u32| json!({ "address": server.to_string(), "text": format!("{bytes:010}") });
    for (world, again) in worlds().into_iter().zip(worlds()) {
        let under = world.serve(Transport::Http).call("bad_talk", talk(99_989));
        assert_eq!(under.text().len(), 99_989, "{}", under.is_error());
        let fine = Some(("bad_talk", talk(99_990)));
        assert_met(again, "bad_talk", &talk(99_991), "socket_bytes_max", fine);
    }
}

/// Grants a place on this machine.
fn socket(address: std::net::SocketAddr, protocol: &str) -> String {
    format!(
        r#"sockets = [{{ host = "127.0.0.1", port = {}, protocol = "{protocol}", private = true }}]"#,
        address.port()
    )
}

fn rule(web: &Web) -> String {
    format!(
        r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {}, private = true, methods = ["GET", "POST"] }}]"#,
        web.address.port()
    )
}

fn request(web: &Web) -> Value {
    json!({ "method": "GET", "scheme": "http", "authority": web.address.to_string(), "path": "/", "headers": [], "body": "" })
}

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

/// Every line over stdout is a message of the protocol, and none is the one that a guest forged.
fn assert_protocol_only(server: &Server) {
    for line in server.lines() {
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no message: {line}"));
        assert_eq!(message["jsonrpc"], "2.0");
        assert_ne!(message["result"]["forged"], true);
    }
}
