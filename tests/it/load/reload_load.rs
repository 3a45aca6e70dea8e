//! Reloads under continuous calls: none fails because of them, and each is answered by one complete version. 1,000
//! calls, or `TOOLGATE_CASES`, with one reload per hundred, at most fifty.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;
use toolgate_tests::{Server, Transport, World, guest};

const CALLERS: usize = 4;

fn cases() -> usize {
    std::env::var("TOOLGATE_CASES").ok().map_or(1_000, |cases| cases.parse().unwrap())
}

/// A component that answers with its version: `one` from its code, `two` from its code and its data.
fn version(number: usize) -> Vec<u8> {
    guest::wat(&format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (data (i32.const 16) "\0{number}\00\00\00")
                (func (export "one") (result i32) i32.const {number})
                (func (export "two") (result i32)
                    (i32.store (i32.const 20) (i32.const {number}))
                    i32.const 16))
            (core instance $i (instantiate $m))
            (func (export "one") (result u32) (canon lift (core func $i "one")))
            (func (export "two") (result (tuple u32 u32))
                (canon lift (core func $i "two") (memory (core memory $i "memory")))))"#
    ))
}

/// Version that answers a call, consistently.
fn answered_by(server: &Server, tool: &str) -> usize {
    let reply = server.call(tool, json!({}));
    let text = reply.text();
    let answers = [1, 2].map(|number| match tool {
        "p_one" => number.to_string(),
        _ => format!("[{number},{number}]"),
    });
    let version = answers.iter().position(|answer| *answer == text);
    assert!(!reply.is_error() && version.is_some(), "{tool}: {reply:?}: {}", server.log());
    version.unwrap() + 1
}

#[test]
fn no_call_fails_for_a_reload_and_each_is_answered_by_one_whole_version() {
    let (calls, swaps) = (cases(), (cases() / 100).clamp(2, 50));
    let versions = [version(1), version(2)];
    let world = World::new().plugin("p", &versions[0]);
    let server = world.serve(Transport::Http);
    assert_eq!(server.tools(), ["p_one", "p_two"]);
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let answers = Mutex::new(BTreeMap::from([(1, 0), (2, 0)]));
    let caller = |number: usize| {
        let tool = ["p_one", "p_two"][number % 2];
        // A failing thread stops the others.
        let _ends = Ends(&stop);
        while !stop.load(Ordering::Relaxed) && done.load(Ordering::Relaxed) < calls {
            let version = answered_by(&server, tool);
            *answers.lock().unwrap().get_mut(&version).unwrap() += 1;
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    let started = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..CALLERS {
            scope.spawn(move || caller(number));
        }
        let _ends = Ends(&stop);
        for swap in 1..=swaps {
            server.wait_until("calls are answered", || {
                done.load(Ordering::Relaxed) >= (swap - 1) * calls / swaps || stop.load(Ordering::Relaxed)
            });
            world.install("p", &versions[swap % 2]);
            server.signal("HUP");
            server.wait_until("it reloaded", || server.log().matches(" reloaded").count() >= swap);
            // Calls that begin after a reload are answered by the new version.
            assert_eq!(answered_by(&server, ["p_one", "p_two"][swap / 2 % 2]), swap % 2 + 1);
        }
        server.wait_until("all are called", || {
            done.load(Ordering::Relaxed) >= calls || stop.load(Ordering::Relaxed)
        });
    });
    let answers = answers.into_inner().unwrap();
    println!("{calls} calls and {swaps} swaps in {:?}: {answers:?}", started.elapsed());
    assert!(answers.values().all(|count| *count > 0), "{answers:?}");
    assert!(answers.values().sum::<usize>() >= calls);
    // The record names the version that answered each call.
    let mut recorded = BTreeMap::<String, usize>::new();
    for record in world.call_records() {
        assert_eq!(record["outcome"]["kind"], "answer", "{record}");
        *recorded.entry(record["digest"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let by_hand = |version: usize| (1..=swaps).filter(|swap| swap % 2 + 1 == version).count();
    for (version, bytes) in (1..).zip(&versions) {
        let digest = toolgate_policy::Digest::of(bytes).to_string();
        assert_eq!(recorded[&digest], answers[&version] + by_hand(version), "{recorded:?}");
    }
    let loads = world.records().iter().filter(|record| record["event"] == "load").count();
    assert_eq!(loads, swaps + 1);
}

/// Stops all threads when it is dropped, also by a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
