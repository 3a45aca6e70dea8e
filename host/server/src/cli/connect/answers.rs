//! Checks that a server answers a client's request: started as the client would start it, or at its address.
#![expect(
    clippy::disallowed_methods,
    reason = "starts this very program, and connects to where it listens on this machine"
)]

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use toolgate_policy::limits::wire::ANSWERS_BYTES_MAX;
use toolgate_policy::redact::printable;

use super::client::Transport;

/// Includes compiling all plugins at the first start.
const STARTS_WITHIN: Duration = Duration::from_secs(120);
const CONNECTS_WITHIN: Duration = Duration::from_secs(3);
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
const REVISION: &str = "2026-07-28";

/// Requests the tools and describes them. `None` if the address may not be reachable from here.
///
/// # Errors
/// The reason why there is no answer, with a remedy.
pub(super) fn tools(transport: &Transport) -> Result<Option<String>, String> {
    match transport {
        Transport::Http { own: None, .. } => Ok(None),
        Transport::Http { own: Some(address), .. } => over_http(*address).map(Some),
        Transport::Stdio { program, arguments } => over_stdio(program, arguments).map(Some),
    }
}

fn request() -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/list",
        "params": { "_meta": {
            "io.modelcontextprotocol/protocolVersion": REVISION,
            "io.modelcontextprotocol/clientInfo": { "name": "toolgate-connect", "version": env!("CARGO_PKG_VERSION") },
            "io.modelcontextprotocol/clientCapabilities": {},
        } },
    })
}

/// Tools of an answer; `None` if the line is not the answer.
fn listed(line: &str) -> Option<Result<String, String>> {
    const SHOWN: usize = 5;
    let answer: Value = serde_json::from_str(line.trim_start_matches("data:").trim()).ok()?;
    if answer.get("id") != Some(&json!(1)) {
        return None;
    }
    let Some(tools) = answer.pointer("/result/tools").and_then(Value::as_array) else {
        return Some(Err(printable(line.trim(), 500)));
    };
    let names: Vec<&str> = tools.iter().filter_map(|tool| tool.get("name")?.as_str()).collect();
    let more = if answer.pointer("/result/nextCursor").is_some() { " or more" } else { "" };
    Some(Ok(match names.len() {
        0 => "it serves no tools yet (`toolgate plugin add FILE` adds some)".to_owned(),
        count if count <= SHOWN && more.is_empty() => format!("{count} tools: {}", names.join(", ")),
        count => {
            let first: Vec<&str> = names.into_iter().take(SHOWN).collect();
            format!("{count}{more} tools, among them {}", first.join(", "))
        }
    }))
}

/// A server process that ends with its input, and at the latest when this is dropped.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn over_stdio(program: &str, arguments: &[String]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).env("TOOLGATE_LOG", "warn");
    let mut started = Started(command.spawn().map_err(|error| format!("{program}: {error}"))?);
    let (stdin, stdout) = (started.0.stdin.take(), started.0.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        return Err("it has no stdin or stdout".to_owned());
    };
    let (send, answers) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let lines = BufReader::new(stdout.take(ANSWERS_BYTES_MAX.default)).lines();
        let answer = lines.map_while(Result::ok).find_map(|line| listed(&line));
        drop(send.send(answer));
    });
    let written = stdin.write_all(format!("{}\n", request()).as_bytes()).and_then(|()| stdin.flush());
    written.map_err(|_| ENDED.to_owned())?;
    match answers.recv_timeout(STARTS_WITHIN) {
        Ok(answer) => answer.unwrap_or_else(|| Err(ENDED.to_owned())),
        Err(_) => Err(format!("nothing came within {} s", STARTS_WITHIN.as_secs())),
    }
}

const ENDED: &str = "it ended at once; the lines above say why, and `toolgate check` says all that is wrong";

fn over_http(address: SocketAddr) -> Result<String, String> {
    let unanswered = |error: std::io::Error| format!("http://{address}/mcp: {error}");
    let mut stream = TcpStream::connect_timeout(&address, CONNECTS_WITHIN)
        .map_err(|error| format!("{}; start it with `toolgate serve`", unanswered(error)))?;
    stream.set_read_timeout(Some(ANSWERS_WITHIN)).map_err(unanswered)?;
    stream.set_write_timeout(Some(ANSWERS_WITHIN)).map_err(unanswered)?;
    let body = request().to_string();
    // HTTP/1.0 (RFC 1945): the answer ends with the connection, and is not chunked.
    let head = format!(
        "POST /mcp HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         MCP-Protocol-Version: {REVISION}\r\nMcp-Method: tools/list\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).map_err(unanswered)?;
    let mut answer = Vec::new();
    stream.take(ANSWERS_BYTES_MAX.default).read_to_end(&mut answer).map_err(unanswered)?;
    let answer = String::from_utf8_lossy(&answer);
    let first = answer.lines().next().unwrap_or_default();
    answer.lines().find_map(listed).unwrap_or_else(|| {
        Err(format!("http://{address}/mcp answers otherwise than Toolgate does: {}", printable(first, 200)))
    })
}
