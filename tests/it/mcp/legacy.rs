//! The two revisions before: a handshake, then a session; over both transports.

use serde_json::{Value, json};
use toolgate_tests::{HttpReply, Server, Transport};

use super::{hello, seven};

fn initialize(version: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } })
}

fn request(id: i64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// A legacy client.
struct Client<'a> {
    server: &'a Server,
    transport: Transport,
    session: Vec<(String, String)>,
}

impl<'a> Client<'a> {
    fn begin(server: &'a Server, transport: Transport, version: &str) -> (Self, Value) {
        let mut client = Self { server, transport, session: Vec::new() };
        let answer = match transport {
            Transport::Http => {
                let reply = server.post(&initialize(version).to_string(), &[]);
                assert_eq!(reply.status, 200, "{reply:?}");
                let id = reply.header("Mcp-Session-Id").expect("a session").to_owned();
                client.session.push(("Mcp-Session-Id".to_owned(), id));
                reply.message()
            }
            Transport::Stdio => {
                server.send(&initialize(version).to_string());
                server.reply(&json!(0)).unwrap()
            }
        };
        let agreed = answer["result"]["protocolVersion"].as_str().unwrap_or_default().to_owned();
        client.session.push(("MCP-Protocol-Version".to_owned(), agreed));
        client.notify("notifications/initialized");
        (client, answer)
    }

    fn notify(&self, method: &str) {
        let text = json!({ "jsonrpc": "2.0", "method": method }).to_string();
        match self.transport {
            Transport::Http => assert_eq!(self.server.post(&text, &self.session).status, 202),
            Transport::Stdio => self.server.send(&text),
        }
    }

    fn ask(&self, message: &Value) -> Value {
        match self.transport {
            Transport::Http => self.server.post(&message.to_string(), &self.session).message(),
            Transport::Stdio => {
                self.server.send(&message.to_string());
                self.server.reply(&message["id"]).unwrap()
            }
        }
    }

    fn delete(&self) -> HttpReply {
        self.server.http("DELETE", "/mcp", &self.session, None)
    }
}

#[test]
fn both_older_revisions_are_agreed_on_and_serve_the_same_tools() {
    for transport in Transport::ALL {
        for version in ["2025-06-18", "2025-11-25"] {
            let server = hello().serve(transport);
            let (client, answer) = Client::begin(&server, transport, version);
            assert_eq!(answer["result"]["protocolVersion"], version);
            assert_eq!(answer["result"]["serverInfo"]["name"], "toolgate");
            assert_eq!(client.ask(&request(1, "ping", json!({})))["result"], json!({}));
            let listed = client.ask(&request(2, "tools/list", json!({})));
            assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 5);
            assert!(
                listed["result"].get("ttlMs").is_none(),
                "what newer revisions brought is not sent to older ones"
            );
            let called = client.ask(&request(
                3,
                "tools/call",
                json!({ "name": "hello_add", "arguments": { "a": 1, "b": 2 } }),
            ));
            assert_eq!(called["result"]["structuredContent"], json!({ "result": 3 }));
            assert!(called["result"].get("resultType").is_none());
            let unknown =
                client.ask(&request(4, "tools/call", json!({ "name": "nothing", "arguments": {} })));
            assert_eq!(unknown["error"]["code"], -32602);
            assert_eq!(client.ask(&request(5, "prompts/list", json!({})))["error"]["code"], -32601);
        }
    }
}

#[test]
fn a_revision_that_is_not_known_is_answered_with_one_that_is() {
    for transport in Transport::ALL {
        let server = seven().serve(transport);
        let (_, answer) = Client::begin(&server, transport, "2099-01-01");
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
    }
}

#[test]
fn a_session_ends_when_its_client_says_so_and_is_gone_then() {
    let server = seven().serve(Transport::Http);
    let (client, _) = Client::begin(&server, Transport::Http, "2025-11-25");
    let ended = client.delete();
    assert!([200, 204].contains(&ended.status), "{ended:?}");
    let after = server.post(&request(9, "tools/list", json!({})).to_string(), &client.session);
    assert_eq!(after.status, 404, "{after:?}");
}

#[test]
fn a_session_that_nobody_was_given_is_not_found() {
    let server = seven().serve(Transport::Http);
    let made_up = [
        ("Mcp-Session-Id".to_owned(), "1234".to_owned()),
        ("MCP-Protocol-Version".to_owned(), "2025-11-25".to_owned()),
    ];
    assert_eq!(server.post(&request(9, "tools/list", json!({})).to_string(), &made_up).status, 404);
}

#[test]
fn modern_and_legacy_clients_are_served_side_by_side() {
    let server = seven().serve(Transport::Http);
    let (client, _) = Client::begin(&server, Transport::Http, "2025-11-25");
    assert_eq!(server.call("seven_seven", json!({})).text(), "7");
    let called = client.ask(&request(1, "tools/call", json!({ "name": "seven_seven", "arguments": {} })));
    assert_eq!(called["result"]["content"][0]["text"], "7");
}
