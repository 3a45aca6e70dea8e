//! Resources that all calls share: stacks, memories, tables, instances. Whatever one plugin takes, calls of others get
//! theirs.

use serde_json::json;
use toolgate_policy::limits::load::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};
use toolgate_tests::inner::{Has, crowded, waiting};
use toolgate_tests::process::wait_until;
use toolgate_tests::{Server, Transport, World, test_guest};

/// An hour.
const LONG_NS: u64 = 3_600_000_000_000;

/// Makes calls of another plugin, all of which must be answered.
fn assert_served(server: &Server, calls: usize) {
    let calls: Vec<_> = (0..calls).map(|_| server.calling("good_sleep", json!({ "ns": 1 }))).collect();
    for call in calls {
        let reply = call.join().unwrap();
        assert!(!reply.is_error(), "{reply:?}");
    }
}

fn beside_a_good_one(bad: &[u8], isolation: &str, limits: &str) -> World {
    World::new()
        .plugin("bad", bad)
        .with("engine = \"async\"")
        .with(isolation)
        .limit(limits)
        .plugin("good", &test_guest("awaiting"))
        .with("engine = \"async\"")
        .with("isolation = \"thread\"")
        .env("TOOLGATE_LOG", "debug")
}

#[test]
fn calls_that_wait_in_a_hundred_places_at_once_are_refused_themselves_and_nobody_else_is() {
    for isolation in ["isolation = \"thread\"", "isolation = \"process\""] {
        let world = beside_a_good_one(&waiting(100), isolation, "faults_max = 1000000");
        let server = world.serve(Transport::Http);
        for _ in 0..3 {
            let calls: Vec<_> =
                (0..10).map(|_| server.calling("bad_run", json!({ "ns": LONG_NS }))).collect();
            assert_served(&server, 30);
            for call in calls {
                let reply = call.join().unwrap();
                assert!(reply.is_error() && reply.text().contains("stacks_max = "), "{isolation}: {reply:?}");
            }
        }
        assert!(!server.log().contains("ALARM"), "{}", server.log());
    }
}

#[test]
fn calls_that_hold_all_that_a_component_may_have_leave_the_calls_of_others_theirs() {
    // A plugin with the default number of concurrent calls, each as large as a component may be.
    const CALLS: usize = 16;
    let instances = CORE_INSTANCES_MAX as usize;
    for (engine, has) in [
        ("async", Has { instances: instances - 1, ..Has::default() }),
        ("async", Has { memories: MEMORIES_MAX as usize, ..Has::default() }),
        ("async", Has { tables: TABLES_MAX as usize, ..Has::default() }),
        ("sync", Has { instances: instances - 1, ..Has::default() }),
        ("sync", Has { memories: MEMORIES_MAX as usize, ..Has::default() }),
        ("sync", Has { tables: TABLES_MAX as usize, ..Has::default() }),
    ] {
        let engine = format!("engine = \"{engine}\"");
        let world = World::new()
            .server("[server.limits]\ncalls_max = 17")
            .plugin("bad", &crowded(has))
            .with(&engine)
            .plugin("good", &test_guest("sleeping"))
            .with(&engine)
            .env("TOOLGATE_LOG", "debug");
        let server = world.serve(Transport::Http);
        let calls: Vec<_> = (0..CALLS).map(|_| server.calling("bad_run", json!({ "ns": LONG_NS }))).collect();
        wait_until("all run", || server.log().matches("a guest begins").count() >= CALLS);
        for _ in 0..5 {
            let reply = server.call("good_run", json!({ "ms": 1 }));
            assert_eq!(reply.text(), "awake", "{engine} {has:?}");
        }
        let ended = world.call_records();
        let others: Vec<_> = ended.iter().filter(|record| record["tool"] != "good_run").collect();
        assert!(others.is_empty(), "none of them was refused what it may have: {others:?}");
        server.signal("KILL");
        calls.into_iter().for_each(|call| drop(call.join()));
    }
}

#[test]
fn a_call_in_a_worker_that_drops_a_wait_has_the_second_stack_that_this_takes() {
    for concurrency in [1, 16] {
        let world = World::new()
            .plugin("p", &test_guest("awaiting"))
            .with("engine = \"async\"")
            .with("isolation = \"process\"")
            .limit(&format!("concurrency = {concurrency}"));
        let server = world.serve(Transport::Http);
        for _ in 0..3 {
            let calls: Vec<_> =
                (0..concurrency).map(|_| server.calling("p_sleep-many", json!({ "count": 50 }))).collect();
            for call in calls {
                assert_eq!(call.join().unwrap().text(), "50", "{}", server.log());
            }
        }
        assert!(!server.log().contains("ALARM"), "{}", server.log());
    }
}
