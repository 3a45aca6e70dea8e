//! Effect of a misbehaving plugin on callers of another: the same call alternates between a quiet server and one with
//! loopers, hogs, sleepers, flooders and crashing plugins. Prints a table of ratios.
//!
//! `cargo xtask bench`, or the binary with a part of the names of the wanted lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use toolgate_benches::client::{Caller, Figure, median};
use toolgate_tests::{Transport, World, plugin, test_guest};

const ROUNDS: usize = 5;

/// A plugin that does its worst.
struct Neighbour {
    what: &'static str,
    guest: &'static str,
    arguments: Value,
    /// Number of concurrent callers.
    callers: usize,
}

fn neighbours() -> Vec<Neighbour> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    vec![
        Neighbour {
            what: "loopers, as many as cores",
            guest: "looping",
            arguments: json!({}),
            callers: cores,
        },
        Neighbour {
            what: "loopers, four times as many",
            guest: "looping",
            arguments: json!({}),
            callers: cores * 4,
        },
        Neighbour {
            what: "hogs of memory",
            guest: "hogging",
            arguments: json!({ "mebibytes": 500 }),
            callers: cores,
        },
        Neighbour { what: "sleepers", guest: "sleeping", arguments: json!({ "ms": 1_000 }), callers: 64 },
        Neighbour {
            what: "flooders of the log",
            guest: "flooding",
            arguments: json!({ "kibibytes": 10_000 }),
            callers: cores,
        },
        Neighbour {
            what: "messages of 3.5 MB with unknown keys",
            guest: "sleeping",
            arguments: (0..300_000).map(|n| (format!("key{n:06}"), json!(n % 10))).collect(),
            callers: 10,
        },
        Neighbour { what: "crashes", guest: "panicking", arguments: json!({ "why": "x" }), callers: cores },
    ]
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let neighbours = neighbours();
    let wanted = std::env::args().nth(1).unwrap_or_default();
    anyhow::ensure!(
        neighbours.iter().any(|neighbour| neighbour.what.contains(&wanted)),
        "no line has `{wanted}`"
    );
    println!("| beside | quiet p50 µs | p50 µs | | quiet p99 µs | p99 µs | |");
    println!("|---|---|---|---|---|---|---|");
    for neighbour in neighbours.iter().filter(|neighbour| neighbour.what.contains(&wanted)) {
        // The worst case: a looper that is never ended, and a plugin that is never put on hold.
        let server = World::new()
            .plugin("hello", &plugin("hello"))
            .plugin("bad", &test_guest(neighbour.guest))
            .limit("fuel = 1_000_000_000_000")
            .limit("deadline_ms = 5_000")
            .limit("concurrency = 64")
            .limit("faults_max = 1_000_000_000")
            .serve(Transport::Http);
        let good = Caller::new(server.address(), "hello_greet", &json!({ "name": "world" }))
            .expecting("Hello, world.");
        let bad = Caller::new(server.address(), "bad_run", &neighbour.arguments);
        let (mut quiet, mut busy) = (Vec::new(), Vec::new());
        good.measure(1).await?;
        for _ in 0..ROUNDS {
            quiet.push(good.measure(1).await?);
            let stop = Arc::new(AtomicBool::new(false));
            let callers: Vec<_> = (0..neighbour.callers)
                .map(|_| tokio::spawn(bad.clone().call_until(Arc::clone(&stop))))
                .collect();
            tokio::time::sleep(Duration::from_millis(200)).await;
            busy.push(good.measure(1).await?);
            stop.store(true, Ordering::Relaxed);
            for caller in callers {
                caller.await??;
            }
        }
        row(neighbour.what, median(&quiet), median(&busy));
    }
    Ok(())
}

fn row(what: &str, quiet: Figure, busy: Figure) {
    println!(
        "| {what} | {:.0} | {:.0} | ×{:.1} | {:.0} | {:.0} | ×{:.1} |",
        quiet.p50_us,
        busy.p50_us,
        busy.p50_us / quiet.p50_us,
        quiet.p99_us,
        busy.p99_us,
        busy.p99_us / quiet.p99_us
    );
}
