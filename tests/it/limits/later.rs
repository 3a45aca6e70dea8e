//! Limits that are met after the guest's code has run: while its result arrives, or in the next call.

use serde_json::{Value, json};
use toolgate_tests::begun::Begun;
use toolgate_tests::hold::Holding;
use toolgate_tests::process::resident_kib;
use toolgate_tests::{Transport, World, test_guest};

#[test]
fn results_that_come_later_keep_to_the_same_limits() {
    let world = || World::new().plugin("s", &test_guest("streaming")).with("engine = \"async\"");
    let server = world().limit("output_bytes_max = 10000").serve(Transport::Http);
    assert_eq!(server.call("s_later", json!({ "text": "abc" })).text(), "ABC");
    assert_eq!(server.call("s_bytes", json!({ "count": 5 })).structured(), &json!({ "result": "AAECAwQ=" }));
    assert_eq!(server.call("s_fallible", json!({ "fine": true })).structured(), &json!({ "result": "AAEC" }));
    assert_eq!(server.call("s_fallible", json!({ "fine": false })).text(), "no stream");
    assert_eq!(server.call("s_failing", json!({})).text(), "not today");
    let reply = server.call("s_endless", json!({}));
    assert!(reply.is_error() && reply.text().contains("output_bytes_max"), "{}", reply.text());
    let next = server.call("s_soon", json!({}));
    assert_eq!(next.structured(), &json!({ "result": 7 }), "the next call is fine");
    let hurried = world().limit("fuel = 1_000_000_000_000").limit("deadline_ms = 500").serve(Transport::Http);
    let reply = hurried.call("s_looping", json!({}));
    assert!(reply.is_error() && reply.text().contains("deadline_ms"), "{}", reply.text());
    // The guest's library may detect that nothing can arrive, and crash before the deadline.
    assert!(hurried.call("s_never", json!({})).is_error());
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
    server.wait_until("it is tried again", || {
        !server.call("bad_look", json!({ "path": "x" })).text().contains("on hold")
    });
    let events: Vec<Value> = world.records().iter().map(|record| record["event"].clone()).collect();
    assert!(events.contains(&json!("release")), "{events:?}");
}

#[test]
fn all_calls_together_hold_so_much_memory_and_one_more_is_told_to_come_back() {
    const MIB: u64 = 1 << 20;
    // Enough for two calls of about 40 MiB, part of it in the host, but not for three.
    let world = World::new()
        .server(&format!("[server.limits]\nmemory_bytes_max = {}", 100 * MIB))
        .plugin("bad", &test_guest("hogging"))
        .plugin("good", &toolgate_tests::guest::seven());
    let server = world.serve(Transport::Http);
    let hold = |ms: u32| json!({ "mebibytes": 30, "ms": ms });
    const NO_MEMORY: &str = "no memory left for this call; try again later";
    let before = resident_kib(server.pid());
    for _ in 0..3 {
        let holding: Vec<_> = (0..2).map(|_| server.begin("bad_hold", hold(3_600_000))).collect();
        server.wait_until("both hold", || resident_kib(server.pid()) > before + (55 << 10));
        let third = server.call("bad_hold", hold(0));
        assert!(third.is_error() && third.text().contains(NO_MEMORY), "{third:?}");
        assert_eq!(server.call("good_seven", json!({})).text(), "7", "what needs little goes on");
        holding.into_iter().for_each(Begun::cancel);
        server.wait_until("what they held is there again", || !server.call("bad_hold", hold(0)).is_error());
        server.wait_until("all is given back", || resident_kib(server.pid()) < before + (20 << 10));
    }
    server.wait_for_log("memory_bytes_max of [server.limits] is used up");
    let record = world.call_records().into_iter().find(|record| record["outcome"]["kind"] == "budget");
    assert!(record.is_some(), "{:?}", world.call_records());
    // A single call can meet the shared limit as well, but the message names the call's own.
    let alone = server.call("bad_run", json!({ "mebibytes": 500 }));
    assert!(alone.text().contains("memory_bytes_max = 67108864"), "{alone:?}");
}

#[test]
fn answers_on_their_way_out_are_of_what_all_calls_together_may_hold() {
    const MIB: u64 = 1 << 20;
    // A result for which the host reserves about seventy megabytes, and code that runs after it was read.
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
    let limits = "output_bytes_max = 4_194_304\nfuel = 1_000_000_000_000";
    let for_ever = answering("(loop $again (br $again))");
    let world = World::new()
        .server(&format!("[server.limits]\nmemory_bytes_max = {}", 240 * MIB))
        .plugin("bad", &for_ever)
        .limit(limits)
        .plugin("late", &for_ever)
        .limit(limits)
        .limit("deadline_ms = 500")
        .plugin("large", &answering(""))
        .limit(limits)
        .plugin("good", &toolgate_tests::guest::seven());
    let server = world.serve(Transport::Http);
    let large = || server.call("large_run", json!({}));
    assert!(!large().is_error(), "{:.500}", large().text());
    let mut begun = Vec::new();
    server.wait_until("there is no room for another", || {
        // The previous call's memory may not have been returned yet, so that this call found too little.
        if server.log().matches("came to nothing tool=bad_run").count() == begun.len() {
            begun.push(server.begin("bad_run", json!({})));
        }
        let refused = large();
        let says_so = refused.text().contains("no memory left for this call; try again later");
        assert_eq!(refused.is_error(), says_so, "{refused:?}");
        says_so
    });
    assert_eq!(server.call("good_seven", json!({})).text(), "7", "what needs little goes on");
    begun.pop().unwrap().cancel();
    server.wait_until("what it held is there again", || !large().is_error());
    let ended = server.call("late_run", json!({}));
    assert!(ended.is_error() && ended.text().contains("deadline_ms = 500"), "{ended:?}");
    server.wait_until("and again", || !large().is_error());
}

#[test]
fn so_many_calls_of_all_plugins_run_at_once_and_the_rest_wait() {
    for (calls, waits) in [(2, false), (3, false), (4, true)] {
        let holding = Holding::new();
        let world = World::new()
            .server("[server.limits]\ncalls_max = 3")
            .plugin("one", &test_guest("requesting"))
            .grant(&holding.grant())
            .limit("queue = 1")
            .plugin("two", &test_guest("requesting"))
            .grant(&holding.grant())
            .with("allow_lints = [\"similar-name\"]");
        let server = world.serve(Transport::Http);
        let tools = ["two_run", "one_run"].into_iter().cycle();
        let mut calls: super::Calls =
            tools.take(calls.min(3)).map(|tool| server.calling(tool, holding.request())).collect();
        holding.wait_for(calls.len());
        if waits {
            // One waits, which the refusal of the other shows.
            calls.extend((0..2).map(|_| server.calling("one_run", holding.request())));
            super::wait_until_ended(&calls, 1);
        }
        holding.release_all();
        let count = calls.len();
        let answered = super::replies(calls).iter().filter(|reply| !reply.is_error()).count();
        assert_eq!((answered, holding.most()), (count - usize::from(waits), count.min(3)));
    }
}

#[test]
fn a_plugin_with_many_calls_waiting_is_passed_by_one_with_few() {
    const WAITING: usize = 38;
    let holding = Holding::new();
    let world = World::new()
        .server("[server.limits]\ncalls_max = 2")
        .plugin("bad", &test_guest("requesting"))
        .grant(&holding.grant())
        .limit(&format!("concurrency = 64\nqueue = {WAITING}"))
        .plugin("good", &toolgate_tests::guest::seven())
        .limit("queue = 1");
    let server = world.serve(Transport::Http);
    let mut many: super::Calls = (0..2).map(|_| server.calling("bad_run", holding.request())).collect();
    holding.wait_for(2);
    many.extend((0..=WAITING).map(|_| server.calling("bad_run", holding.request())));
    // All others wait.
    super::wait_until_ended(&many, 1);
    for _ in 0..3 {
        let few: super::Calls = (0..2).map(|_| server.calling("good_seven", json!({}))).collect();
        super::wait_until_ended(&few, 1);
        // It runs next, or after the one call that was already next.
        holding.release(2);
        let answered = super::replies(few).iter().filter(|reply| !reply.is_error()).count();
        assert_eq!(answered, 1);
        holding.wait_for(2);
    }
    holding.release_all();
    let answered = super::replies(many).iter().filter(|reply| !reply.is_error()).count();
    assert_eq!(answered, 2 + WAITING);
}
