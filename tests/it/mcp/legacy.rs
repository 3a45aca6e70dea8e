//! The two revisions before: a handshake, then a session; over both transports.

use std::thread::JoinHandle;

use serde_json::{Value, json};
use toolgate_tests::process::wait_until;
use toolgate_tests::{HttpReply, Server, Transport, World, test_guest};

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

/// A call of a session under the id 1, and its answer when it comes. Some clients number every request so.
fn call_as_one(server: &Server, session: &[(String, String)], words: &str, ms: u32) -> JoinHandle<HttpReply> {
    let params = json!({ "name": "park_text", "arguments": { "words": words, "ms": ms } });
    let (server, session) = (server.clone(), session.to_owned());
    let call = request(1, "tools/call", params).to_string();
    std::thread::spawn(move || server.post(&call, &session))
}

#[test]
fn requests_of_one_id_that_are_answered_at_once_get_their_own_answers() {
    let world = World::new().plugin("park", &test_guest("parking")).env("TOOLGATE_LOG", "debug");
    let server = world.serve(Transport::Http);
    for version in ["2025-11-25", "2025-06-18"] {
        let (client, _) = Client::begin(&server, Transport::Http, version);
        let begun = server.log().matches("a guest begins").count();
        let slow = ["a", "bb"].map(|words| (words, call_as_one(&server, &client.session, words, 2_000)));
        wait_until("both run", || server.log().matches("a guest begins").count() >= begun + 2);
        let quick = ("ccc", call_as_one(&server, &client.session, "ccc", 0));
        for (words, answer) in slow.into_iter().chain([quick]) {
            let answer = answer.join().unwrap().message();
            assert_eq!(answer["id"], 1, "{answer}");
            assert_eq!(answer["result"]["content"][0]["text"], words.len().to_string(), "{answer}");
        }
    }
}

#[test]
fn a_cancellation_ends_every_request_that_has_its_id() {
    let world = World::new().plugin("park", &test_guest("parking")).env("TOOLGATE_LOG", "debug");
    let server = world.serve(Transport::Http);
    let (client, _) = Client::begin(&server, Transport::Http, "2025-11-25");
    let calls = ["a", "b"].map(|words| call_as_one(&server, &client.session, words, 1_000_000));
    wait_until("both run", || server.log().matches("a guest begins").count() >= 2);
    let cancelled =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    assert_eq!(server.post(&cancelled.to_string(), &client.session).status, 202);
    wait_until("both have ended", || world.call_records().len() == 2);
    for record in world.call_records() {
        assert_eq!(record["outcome"]["kind"], "cancelled", "{record}");
    }
    calls.into_iter().for_each(|call| drop(call.join()));
    let again = call_as_one(&server, &client.session, "c", 0).join().unwrap().message();
    assert_eq!(again["result"]["content"][0]["text"], "1", "{again}");
}
