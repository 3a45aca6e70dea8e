//! A call may end at any moment: cancelled, abandoned by its caller, out of time. Nothing of it remains. 2,000 calls,
//! or `TOOLGATE_CASES`.

use std::time::Duration;

use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use toolgate_base::interrupt::Interrupt;
use toolgate_base::json::{Json, JsonLimits};
use toolgate_base::outcome::{FaultKind, Outcome};
use toolgate_policy::Principal;
use toolgate_policy::limits::call::CallLimit;
use toolgate_policy::load::Grants;
use toolgate_runtime::call::request::Request;
use toolgate_runtime::gate::Gate;
use toolgate_tests::chance::Chance;
use toolgate_tests::client::PATIENCE;
use toolgate_tests::process::{resident_kib, wait_until};
use toolgate_tests::{World, inside, test_guest};

const BOUNDS: JsonLimits = JsonLimits { bytes_max: 1 << 20, depth_max: 16, nodes_max: 1 << 10 };
const AT_ONCE: usize = 16;

fn cases() -> usize {
    std::env::var("TOOLGATE_CASES").ok().map_or(2_000, |cases| cases.parse().unwrap())
}

fn request(tool: &str, arguments: &serde_json::Value, interrupt: Interrupt) -> Request {
    let arguments = Json::parse(arguments.to_string().as_bytes(), BOUNDS).unwrap();
    Request::new(Principal::local("test"), tool, arguments, interrupt)
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn wherever_a_call_ends_its_place_memory_and_descriptors_come_back() {
    let plugins = ["sleeping", "looping", "hogging", "filing", "holding", "echoing"];
    let world = plugins.iter().fold(World::new(), |world, name| world.plugin(name, &test_guest(name)));
    let gate = inside::gate(&world, "state");
    let granted: Vec<(&str, Grants)> = plugins.iter().map(|name| (*name, Grants::default())).collect();
    let mut spec = inside::spec(&world, &granted);
    for plugin in &mut spec.plugins {
        for (limit, value) in [
            (CallLimit::Deadline, 40),
            (CallLimit::Concurrency, AT_ONCE as i64),
            (CallLimit::Fuel, 50_000_000),
        ] {
            plugin.limits.set(limit, value).unwrap();
        }
    }
    assert!(gate.start(&spec).serves);
    let runtime = Runtime::new().unwrap();
    runtime.block_on(ended_at_chance(&gate, cases() / 4));
    let memory = || resident_kib(std::process::id());
    let (memory_before, files_before) = (memory(), open_files());
    runtime.block_on(ended_at_chance(&gate, cases()));
    let what = format!("no more than {memory_before} KiB and a little");
    wait_until(&what, || memory() < memory_before + (64 << 10));
    let what = format!("no more than {files_before} descriptors and a few");
    wait_until(&what, || open_files() <= files_before + 4);
    runtime.block_on(async {
        // Every slot is free: this many run at once, and none had to wait for another.
        let mut calls = JoinSet::new();
        for _ in 0..AT_ONCE {
            let gate = gate.clone();
            calls.spawn(async move {
                let sleep = request("sleeping_run", &json!({ "ms": 5 }), Interrupt::default());
                gate.call(sleep).await.into_inner()
            });
        }
        for outcome in calls.join_all().await {
            assert!(
                matches!(&outcome, Outcome::Answer(_))
                    || matches!(&outcome, Outcome::Fault(fault) if fault.kind() == FaultKind::Limit(CallLimit::Deadline)),
                "{outcome:?}"
            );
        }
        tokio::time::timeout(PATIENCE, gate.drain(2 * PATIENCE)).await.expect("no call is left");
    });
}

/// Calls of every kind, each ended in a random way after a random time.
async fn ended_at_chance(gate: &Gate, cases: usize) {
    let mut chance = Chance::new(7);
    let mut calls = JoinSet::new();
    for _ in 0..cases {
        while calls.len() >= AT_ONCE {
            calls.join_next().await.unwrap().unwrap();
        }
        let (tool, arguments) = match chance.below(6) {
            0 => ("sleeping_run", json!({ "ms": chance.below(60) })),
            1 => ("looping_run", json!({})),
            2 => ("hogging_run", json!({ "mebibytes": chance.below(100) })),
            3 => ("filing_look", json!({ "path": "/x" })),
            4 => ("holding_run", json!({ "handles": chance.below(2_000) })),
            _ => ("echoing_strings", json!({ "a": "x" })),
        };
        let (moment, how) = (Duration::from_micros(chance.below(30_000) as u64), chance.below(3));
        let gate = gate.clone();
        calls.spawn(async move {
            let interrupt = Interrupt::default();
            let call = gate.call(request(tool, &arguments, interrupt.clone()));
            match how {
                // It ends on its own, or by its deadline.
                0 => drop(call.await.into_inner()),
                // Cancelled.
                1 => {
                    tokio::pin!(call);
                    tokio::select! {
                        ended = &mut call => drop(ended.into_inner()),
                        () = tokio::time::sleep(moment) => {
                            interrupt.cancel();
                            drop(call.await.into_inner());
                        }
                    }
                }
                // Its caller stops waiting.
                _ => drop(tokio::time::timeout(moment, call).await),
            }
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended.unwrap();
    }
}
