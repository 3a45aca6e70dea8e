//! A call without reading its answer, which can be cancelled as a client of its transport does.

use std::net::TcpStream;

use serde_json::{Value, json};

use crate::client::{Server, Transport, headers};

/// A call that was sent. Dropping it cancels the call over HTTP, not over stdio.
pub struct Begun {
    server: Server,
    id: i64,
    stream: Option<TcpStream>,
}

impl Server {
    /// Sends a call without waiting for its answer.
    pub fn begin(&self, tool: &str, arguments: Value) -> Begun {
        let (id, call) = self.modern("tools/call", json!({ "name": tool, "arguments": arguments }));
        let stream = match self.transport() {
            Transport::Http => Some(self.open("POST", "/mcp", &headers(&call), Some(&call.to_string()))),
            Transport::Stdio => {
                self.send(&call.to_string());
                None
            }
        };
        Begun { server: self.clone(), id, stream }
    }
}

impl Begun {
    /// Cancels the call: by a notification over stdio, by closing the connection over HTTP.
    pub fn cancel(self) {
        if self.stream.is_none() {
            let params = json!({ "requestId": self.id });
            let message = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
            self.server.send(&message.to_string());
        }
    }
}
