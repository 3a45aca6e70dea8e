//! Persistent connections from addresses in 127.0.0.0/8, each of which the server treats as a client of its own.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::client::{PATIENCE, headers};
use crate::reply::{HttpReply, Reply};

/// A client with a persistent connection.
pub struct Kept {
    stream: TcpStream,
    host: SocketAddr,
    read: Vec<u8>,
}

/// Addresses of further clients.
pub const ELSEWHERE: [Ipv4Addr; 3] =
    [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(127, 0, 0, 4)];

impl Kept {
    /// Connects from an address.
    pub fn from(address: Ipv4Addr, to: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind((address, 0).into()).unwrap();
            socket.connect(to).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, host: to, read: Vec::new() }
    }

    /// Connects from the default address.
    pub fn to(to: SocketAddr) -> Self {
        Self::from(Ipv4Addr::LOCALHOST, to)
    }

    /// Sends the head of a request, with a `Content-Length` if `length` is given.
    pub fn head(&mut self, method: &str, path: &str, more: &[(String, String)], length: Option<usize>) {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json, text/event-stream\r\n",
            self.host
        );
        if let Some(length) = length {
            head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"));
        }
        for (name, value) in more {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.send(format!("{head}\r\n").as_bytes());
    }

    /// Sends bytes, ignoring a closed connection.
    pub fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
    }

    /// Posts a message with these headers without waiting for the response.
    pub fn post(&mut self, message: &str, more: &[(String, String)]) {
        self.head("POST", "/mcp", more, Some(message.len()));
        self.send(message.as_bytes());
    }

    /// Posts a request of the modern era.
    pub fn ask(&mut self, method: &str, params: Value) {
        let message = modern(method, params);
        self.post(&message.to_string(), &headers(&message));
    }

    /// Reads one response with a length or chunks.
    pub fn answer(&mut self) -> HttpReply {
        let head = self.read_until(|read| find(read, b"\r\n\r\n").map(|at| at + 4));
        let reply = HttpReply::parse(&String::from_utf8_lossy(&head));
        let body = match reply.header("Content-Length").map(|length| length.parse::<usize>().unwrap()) {
            Some(length) => self.read_until(|read| (read.len() >= length).then_some(length)),
            None if reply.header("Transfer-Encoding").is_some() => {
                self.read_until(|read| find(read, b"0\r\n\r\n").map(|at| at + 5))
            }
            None => Vec::new(),
        };
        HttpReply::parse(&String::from_utf8_lossy(&[head, body].concat()))
    }

    /// Reads the head of a response whose body is still open; returns its status.
    pub fn status(&mut self) -> u16 {
        let head = self.read_until(|read| find(read, b"\r\n\r\n").map(|at| at + 4));
        HttpReply::parse(&String::from_utf8_lossy(&head)).status
    }

    /// Calls a tool.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Reply {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments }));
        let reply = self.answer();
        Reply(serde_json::from_str(&reply.body).unwrap_or_else(|_| panic!("no JSON: {reply:?}")))
    }

    /// Closes the sending side and waits until the server closes the connection.
    pub fn is_hung_up_on(mut self) -> bool {
        drop(self.stream.shutdown(Shutdown::Write));
        self.stream.read_to_end(&mut Vec::new()).is_ok()
    }

    /// Whether any part of a response has arrived.
    pub fn has_come(&mut self) -> bool {
        self.is_closed() || !self.read.is_empty()
    }

    /// Whether the server has closed the connection, as far as this end knows.
    pub fn is_closed(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let closed = loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break true,
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
            }
        };
        self.stream.set_nonblocking(false).unwrap();
        closed
    }

    fn read_until(&mut self, end: impl Fn(&[u8]) -> Option<usize>) -> Vec<u8> {
        let mut buffer = [0; 64 << 10];
        loop {
            if let Some(end) = end(&self.read) {
                let rest = self.read.split_off(end);
                return std::mem::replace(&mut self.read, rest);
            }
            match self.stream.read(&mut buffer).unwrap() {
                0 => return std::mem::take(&mut self.read),
                count => self.read.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// A request of the modern era.
pub fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}
