//! A call that was begun and whose answer nobody reads: it can be cancelled, as a client of its transport cancels.

use std::net::TcpStream;

use serde_json::{Value, json};

use crate::client::{Server, Transport, headers};

/// A call that was sent. It goes on when this is dropped over stdio, and is cancelled over HTTP.
pub struct Begun {
    server: Server,
    id: i64,
    stream: Option<TcpStream>,
}

impl Server {
    /// Sends a call and does not wait for its answer.
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
    /// Cancels it: by a notification over stdio, by closing its connection over HTTP.
    pub fn cancel(self) {
        if self.stream.is_none() {
            let params = json!({ "requestId": self.id });
            let message = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
            self.server.send(&message.to_string());
        }
    }
}
