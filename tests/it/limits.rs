//! Every limit of a call: a call that meets it ends with a fault that names it, within the deadline. Calls below it are
//! unaffected, and neighbours continue. A test's name begins with its limit; `coverage.rs` checks that none is missing.

mod answers;
mod apart;
mod exact;
mod files;
mod later;
mod neighbours;
mod sockets;

use std::thread::JoinHandle;

use serde_json::{Value, json};
use toolgate_tests::hold::Holding;
use toolgate_tests::process::wait_until;
use toolgate_tests::web::{Web, converse, respond};
use toolgate_tests::{Reply, Transport, World, test_guest};

fn guest(name: &str) -> World {
    World::new().plugin("good", &toolgate_tests::guest::seven()).plugin("bad", &test_guest(name))
}

/// Guests that use sockets, one for each WASI version.
fn dialing(grant: &str) -> [World; 2] {
    [guest("connecting").grant(grant), guest("dialing").with("engine = \"async\"").grant(grant)]
}

/// A world whose `bad_run` waits until the test releases it.
fn held(holding: &Holding) -> World {
    guest("requesting").grant(&holding.grant())
}

/// Calls running in the background.
type Calls = Vec<JoinHandle<Reply>>;

fn wait_until_ended(calls: &Calls, count: usize) {
    wait_until(&format!("{count} calls have ended"), || {
        calls.iter().filter(|call| call.is_finished()).count() == count
    });
}

fn replies(calls: Calls) -> Vec<Reply> {
    calls.into_iter().map(|call| call.join().unwrap()).collect()
}

/// Makes calls over both transports. Each must end with this limit's fault, which is recorded; the next call and a
/// neighbour's must be answered.
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
    // A few instructions per iteration: without fuel for the host's work this would run for minutes.
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
    // The only slot shared by all plugins is taken. One call waits for it, another for the first one.
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
    // Four memories of 3 MiB, none over the limit on its own.
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
    // A thousand KiB and the lines around them, less the logged part.
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
    // One of five is refused: the queue is full, so the other four are in it.
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
fn stacks_max_ends_what_waits_in_too_many_places_at_once() {
    let wait = json!({ "ns": 1_000_000 });
    for (instances, is_met) in [(7, false), (100, true)] {
        let world = guest("looping").plugin("many", &toolgate_tests::inner::waiting(instances));
        let world = world.with("engine = \"async\"");
        if is_met {
            assert_met(world, "many_run", &wait, "stacks_max", None);
        } else {
            assert!(!world.serve(Transport::Http).call("many_run", wait.clone()).is_error());
        }
    }
}

#[test]
fn http_requests_max_ends_a_crawler() {
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], ""));
    let world = guest("requesting").grant(&rule(&web)).limit("http_requests_max = 3");
    let mut args = request(&web);
    args["times"] = json!(50);
    assert_met(world, "bad_run", &args, "http_requests_max", Some(("bad_run", request(&web))));
    // Three each, and one for each of the two other calls.
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
    // Answers with the requested number of bytes, given in ten digits.
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

/// Grants an address on this machine.
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
