//! Calls per second over HTTP: Toolgate beside a native server with the same function on the same library, in turn, on one
//! machine, in one run. Prints a table.
//!
//! `cargo xtask bench`

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use toolgate_tests::{Transport, World, plugin};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// A server that is measured.
struct Rival {
    name: &'static str,
    address: SocketAddr,
}

/// What one round came to.
#[derive(Clone, Copy)]
struct Figure {
    calls_per_s: f64,
    p50_us: f64,
    p99_us: f64,
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
                let figure = measure(rival.address, connections).await?;
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

/// As many calls as fit into a round, over so many connections that are kept.
async fn measure(address: SocketAddr, connections: usize) -> anyhow::Result<Figure> {
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..connections).map(|_| tokio::spawn(client(address, Arc::clone(&stop)))).collect();
    let started = Instant::now();
    tokio::time::sleep(ROUND).await;
    stop.store(true, Ordering::Relaxed);
    let elapsed = started.elapsed();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await??);
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    Ok(Figure { calls_per_s: times.len() as f64 / elapsed.as_secs_f64(), p50_us: at(0.5), p99_us: at(0.99) })
}

/// One connection; gives the time of each call in microseconds.
async fn client(address: SocketAddr, stop: Arc<AtomicBool>) -> anyhow::Result<Vec<f64>> {
    let request = request(address);
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        answer(&mut stream, &mut buffer).await?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

fn request(address: SocketAddr) -> String {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "hello_greet", "arguments": { "name": "world" },
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        } } })
    .to_string();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: hello_greet\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Reads one answer and sees to it that it is the right one.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            bail!("the server hung up");
        }
        let text = std::str::from_utf8(buffer)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
            })
            .context("an answer without a length")?;
        if body.len() < length {
            continue;
        }
        if !head.starts_with("HTTP/1.1 200") || !body.contains("Hello, world.") {
            bail!("not the answer: {text}");
        }
        return Ok(());
    }
}

fn median(figures: &[Figure]) -> Figure {
    let middle = |of: fn(&Figure) -> f64| {
        let mut values: Vec<f64> = figures.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Figure {
        calls_per_s: middle(|f| f.calls_per_s),
        p50_us: middle(|f| f.p50_us),
        p99_us: middle(|f| f.p99_us),
    }
}
