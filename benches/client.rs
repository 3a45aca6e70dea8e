//! A client that repeats one call over persistent connections and measures its latency.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Duration of a round.
pub const ROUND: Duration = Duration::from_secs(2);

/// Figures of one round.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Calls per second.
    pub calls_per_s: f64,
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// 99th percentile of the latency in microseconds.
    pub p99_us: f64,
}

/// One call, to be made any number of times.
#[derive(Debug, Clone)]
pub struct Caller {
    address: SocketAddr,
    request: String,
    expected: Option<&'static str>,
}

impl Caller {
    /// A call of a tool of the server at this address; any answer is accepted.
    pub fn new(address: SocketAddr, tool: &str, arguments: &Value) -> Self {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": tool, "arguments": arguments,
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            } } })
        .to_string();
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { address, request, expected: None }
    }

    /// The same call, whose answer must contain this text.
    #[must_use]
    pub fn expecting(mut self, words: &'static str) -> Self {
        self.expected = Some(words);
        self
    }

    /// Repeats the call for one round over this many connections.
    ///
    /// # Errors
    /// A connection failed, or an answer was not as expected.
    pub async fn measure(&self, connections: usize) -> anyhow::Result<Figure> {
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> =
            (0..connections).map(|_| tokio::spawn(self.clone().call_until(Arc::clone(&stop)))).collect();
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
        Ok(Figure {
            calls_per_s: times.len() as f64 / elapsed.as_secs_f64(),
            p50_us: at(0.5),
            p99_us: at(0.99),
        })
    }

    /// Repeats the call on one connection until `stop` is set; returns the latency of each call in microseconds.
    ///
    /// # Errors
    /// The connection failed, or an answer was not as expected.
    pub async fn call_until(self, stop: Arc<AtomicBool>) -> anyhow::Result<Vec<f64>> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(4096);
        let mut times = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            stream.write_all(self.request.as_bytes()).await?;
            self.answer(&mut stream, &mut buffer).await?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
        Ok(times)
    }

    /// Reads one answer and checks it.
    async fn answer(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
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
            let is_expected =
                self.expected.is_none_or(|words| head.starts_with("HTTP/1.1 200") && body.contains(words));
            if !is_expected {
                bail!("not the answer: {text}");
            }
            return Ok(());
        }
    }
}

/// Median of several rounds, for each figure separately.
pub fn median(figures: &[Figure]) -> Figure {
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
