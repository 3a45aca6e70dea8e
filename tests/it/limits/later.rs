//! Limits that are met later than in a call that runs: when its result comes, or when its plugin is called again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolgate_tests::{Transport, World, test_guest};

#[test]
fn results_that_come_later_keep_to_the_same_limits() {
    let world = World::new()
        .plugin("s", &test_guest("streaming"))
        .with("engine = \"async\"")
        .limit("deadline_ms = 1500\noutput_bytes_max = 10000");
    let server = world.serve(Transport::Http);
    assert_eq!(server.call("s_later", json!({ "text": "abc" })).text(), "ABC");
    assert_eq!(server.call("s_bytes", json!({ "count": 5 })).structured(), &json!({ "result": "AAECAwQ=" }));
    assert_eq!(server.call("s_fallible", json!({ "fine": true })).structured(), &json!({ "result": "AAEC" }));
    assert_eq!(server.call("s_fallible", json!({ "fine": false })).text(), "no stream");
    assert_eq!(server.call("s_soon", json!({})).structured(), &json!({ "result": 7 }));
    assert_eq!(server.call("s_failing", json!({})).text(), "not today");
    for (tool, limit) in [("s_endless", "output_bytes_max"), ("s_looping", "deadline_ms")] {
        let reply = server.call(tool, json!({}));
        assert!(reply.is_error() && reply.text().contains(limit), "{tool}: {}", reply.text());
    }
    assert!(server.call("s_never", json!({})).is_error());
    assert_eq!(
        server.call("s_soon", json!({})).structured(),
        &json!({ "result": 7 }),
        "the next call is fine"
    );
    assert!(!server.tools().contains(&"s_taking".to_owned()), "a stream as a parameter hides the function");
}

#[test]
fn a_plugin_on_hold_is_tried_by_one_call_after_a_while() {
    let world = World::new()
        .plugin("bad", &test_guest("filing"))
        .limit("faults_max = 1")
        .limit("memory_bytes_max = 4000000");
    let server = world.serve(Transport::Http);
    let fails = json!({ "path": "x", "text": "y".repeat(3_000_000) });
    let first = server.call("bad_put", fails);
    assert!(first.is_error() && first.text().contains("memory_bytes_max"), "{first:?}");
    assert!(server.call("bad_look", json!({ "path": "x" })).text().contains("on hold"));
    let until = Instant::now() + Duration::from_secs(30);
    while server.call("bad_look", json!({ "path": "x" })).text().contains("on hold") {
        assert!(Instant::now() < until, "it is tried again");
        std::thread::sleep(Duration::from_millis(200));
    }
    let events: Vec<Value> = world.records().iter().map(|record| record["event"].clone()).collect();
    assert!(events.contains(&json!("release")), "{events:?}");
}

#[test]
fn all_calls_together_hold_so_much_memory_and_one_more_is_told_to_come_back() {
    const MIB: u64 = 1 << 20;
    // Room for two that hold some forty, a part of it in the host, not for three.
    let world = World::new()
        .server(&format!("[server.limits]\nmemory_bytes_max = {}", 100 * MIB))
        .plugin("bad", &test_guest("hogging"))
        .plugin("good", &toolgate_tests::guest::seven());
    let server = world.serve(Transport::Http);
    let hold = |ms: u32| json!({ "mebibytes": 30, "ms": ms });
    for _ in 0..3 {
        let holding: Vec<_> = (0..2).map(|_| server.calling("bad_hold", hold(2_000))).collect();
        std::thread::sleep(Duration::from_millis(1_000));
        let refused = server.call("bad_hold", hold(0));
        assert!(refused.is_error(), "{refused:?}");
        assert!(refused.text().contains("no memory left for this call; try again later"), "{refused:?}");
        assert_eq!(server.call("good_seven", json!({})).text(), "7", "what needs little goes on");
        assert!(holding.into_iter().all(|call| !call.join().unwrap().is_error()));
        // What they held is there again, a moment after they answered.
        std::thread::sleep(Duration::from_millis(300));
        assert!(!server.call("bad_hold", hold(0)).is_error());
        std::thread::sleep(Duration::from_millis(300));
    }
    server.wait_for_log("memory_bytes_max of [server.limits] is used up");
    let record = world.call_records().into_iter().find(|record| record["outcome"]["kind"] == "budget");
    assert!(record.is_some(), "{:?}", world.call_records());
    // One call alone meets it as well, and its own limit is not what it is told.
    let alone = server.call("bad_run", json!({ "mebibytes": 500 }));
    assert!(alone.text().contains("memory_bytes_max = 67108864"), "{alone:?}");
}

#[test]
fn answers_on_their_way_out_are_of_what_all_calls_together_may_hold() {
    const MIB: u64 = 1 << 20;
    // An answer of some thirty megabytes in the host, and what runs after it was taken over.
    let answering = |after: &str| {
        toolgate_tests::wat(&format!(
            r#"(component
                (core module $m
                    (memory (export "memory") 16)
                    (func (export "run") (result i32)
                        (i32.store (i32.const 4) (i32.const 900000))
                        (i32.const 0))
                    (func (export "after") (param i32) {after}))
                (core instance $i (instantiate $m))
                (func (export "run") (result (list s8)) (canon lift (core func $i "run")
                    (memory (core memory $i "memory")) (post-return (core func $i "after")))))"#
        ))
    };
    let limits = "output_bytes_max = 2_097_152\nfuel = 1_000_000_000_000\ndeadline_ms = 4_000";
    let world = World::new()
        .server(&format!("[server.limits]\nmemory_bytes_max = {}", 90 * MIB))
        .plugin("bad", &answering("(loop $again (br $again))"))
        .limit(limits)
        .plugin("large", &answering(""))
        .limit(limits)
        .plugin("good", &toolgate_tests::guest::seven());
    let server = world.serve(Transport::Http);
    let alone = server.call("large_run", json!({}));
    assert!(!alone.is_error(), "{:.500}", alone.text());
    let holding = server.calling("bad_run", json!({}));
    std::thread::sleep(Duration::from_millis(1_500));
    let refused = server.call("large_run", json!({}));
    assert!(refused.text().contains("no memory left for this call; try again later"), "{refused:?}");
    assert_eq!(server.call("good_seven", json!({})).text(), "7", "what needs little goes on");
    let ended = holding.join().unwrap();
    assert!(ended.is_error() && ended.text().contains("deadline_ms = 4000"), "{ended:?}");
    // What it held is there again, a moment after it ended.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!server.call("large_run", json!({})).is_error());
}

#[test]
fn so_many_calls_of_all_plugins_run_at_once_and_the_rest_wait() {
    for (calls, waits) in [(2, false), (3, false), (4, true)] {
        let world = World::new()
            .server("[server.limits]\ncalls_max = 3")
            .plugin("one", &test_guest("sleeping"))
            .plugin("two", &test_guest("sleeping"));
        let server = world.serve(Transport::Http);
        let started = Instant::now();
        let tools = ["one_run", "two_run"].into_iter().cycle();
        let calls: Vec<_> =
            tools.take(calls).map(|tool| server.calling(tool, json!({ "ms": 1_500 }))).collect();
        let count = calls.len();
        calls.into_iter().for_each(|call| assert_eq!(call.join().unwrap().text(), "awake"));
        assert_eq!(started.elapsed() >= Duration::from_secs(3), waits, "{count}: {:?}", started.elapsed());
    }
}

#[test]
fn a_plugin_with_many_calls_waiting_is_passed_by_one_with_few() {
    let world = World::new()
        .server("[server.limits]\ncalls_max = 2")
        .plugin("bad", &test_guest("sleeping"))
        .limit("concurrency = 64\nqueue = 100\ndeadline_ms = 60_000")
        .plugin("good", &toolgate_tests::guest::seven());
    let server = world.serve(Transport::Http);
    let started = Instant::now();
    // Twenty rounds of two: ten seconds.
    let many: Vec<_> = (0..40).map(|_| server.calling("bad_run", json!({ "ms": 500 }))).collect();
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..3 {
        assert_eq!(server.call("good_seven", json!({})).text(), "7");
    }
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    assert!(many.into_iter().all(|call| call.join().unwrap().text() == "awake"));
}
