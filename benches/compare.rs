//! Calls per second over HTTP: Toolgate and a native server with the same function and library, alternating in one run
//! on one machine. Prints a table.
//!
//! `cargo xtask bench`

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use serde_json::json;
use toolgate_benches::client::{Caller, Figure, median};
use toolgate_tests::{Transport, World, plugin};

const ROUNDS: usize = 5;
const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// A server that is measured.
struct Rival {
    name: &'static str,
    address: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (_native_process, native) = native()?;
    let server = World::new().plugin("hello", &plugin("hello")).serve(Transport::Http);
    let rivals = [
        Rival { name: "native rmcp server", address: native },
        Rival { name: "Toolgate, a fresh sandbox a call", address: server.address() },
    ];
    println!("| connections | server | calls/s | of native | p50 µs | p99 µs |");
    println!("|---|---|---|---|---|---|");
    for connections in CONNECTIONS {
        let mut figures: Vec<Vec<Figure>> = rivals.iter().map(|_| Vec::new()).collect();
        for round in 0..=ROUNDS {
            for (rival, figures) in rivals.iter().zip(&mut figures) {
                let figure = greeting(rival.address).measure(connections).await?;
                // The first round warms up.
                if round > 0 {
                    figures.push(figure);
                }
            }
        }
        let medians: Vec<Figure> = figures.iter().map(|figures| median(figures)).collect();
        let base = medians.first().map_or(1.0, |figure| figure.calls_per_s);
        for (rival, figure) in rivals.iter().zip(&medians) {
            println!(
                "| {connections} | {} | {:.0} | {:.2} | {:.0} | {:.0} |",
                rival.name,
                figure.calls_per_s,
                figure.calls_per_s / base,
                figure.p50_us,
                figure.p99_us
            );
        }
    }
    Ok(())
}

fn greeting(address: SocketAddr) -> Caller {
    Caller::new(address, "hello_greet", &json!({ "name": "world" })).expecting("Hello, world.")
}

/// Starts the native server that was built beside this program.
fn native() -> anyhow::Result<(Ended, SocketAddr)> {
    let program = std::env::current_exe()?.with_file_name("native");
    let mut child = Command::new(&program).stdout(Stdio::piped()).spawn().with_context(|| {
        format!("start {}; build it with `cargo build --release -p toolgate-benches`", program.display())
    })?;
    let stdout = child.stdout.take().context("it has no stdout")?;
    let child = Ended(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    Ok((child, line.trim().parse()?))
}

/// A process that ends with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
