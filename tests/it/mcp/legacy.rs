//! The two earlier revisions, with a handshake and a session, over both transports.

use std::io::Read as _;
use std::net::TcpStream;
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
fn a_request_of_a_session_in_a_revision_that_is_not_served_is_refused() {
    let server = seven().serve(Transport::Http);
    let (client, _) = Client::begin(&server, Transport::Http, "2025-11-25");
    for version in ["2024-11-05", "2025-03-26", "2099-01-01", "banana"] {
        let mut headers = client.session.clone();
        headers.retain(|(name, _)| name != "MCP-Protocol-Version");
        headers.push(("MCP-Protocol-Version".to_owned(), version.to_owned()));
        let reply = server.post(&request(9, "ping", json!({})).to_string(), &headers);
        assert_eq!((reply.status, reply.message()["id"].clone()), (400, json!(9)), "{version}: {reply:?}");
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

/// Makes a call in a session with the id 1, as some clients number every request.
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

/// Sends a call, and waits until its event stream has begun.
fn streaming(server: &Server, session: &[(String, String)], call: &Value) -> TcpStream {
    let text = call.to_string();
    let mut stream = server.open("POST", "/mcp", session, Some(&text));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    stream
}

#[test]
fn requests_of_one_id_and_one_token_get_their_own_reports_of_progress() {
    let world = World::new()
        .plugin("p", &test_guest("piecing"))
        .limit("concurrency = 1\nqueue = 8")
        .env("TOOLGATE_LOG", "debug");
    let server = world.serve(Transport::Http);
    for version in ["2025-11-25", "2025-06-18"] {
        let (client, _) = Client::begin(&server, Transport::Http, version);
        let begun = server.log().matches("a guest begins").count();
        // Occupies the only slot until all other calls have arrived.
        let first = request(99, "tools/call", json!({ "name": "p_until-cancelled", "arguments": {} }));
        let first = streaming(&server, &client.session, &first);
        wait_until("it runs", || server.log().matches("a guest begins").count() > begun);
        let calls = [[1, 2], [3, 4], [5, 6]].map(|steps| {
            let params = json!({ "name": "p_report", "arguments": { "steps": steps },
                "_meta": { "progressToken": "mine" } });
            (steps, streaming(&server, &client.session, &request(1, "tools/call", params)))
        });
        let cancelled =
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 99 } });
        assert_eq!(server.post(&cancelled.to_string(), &client.session).status, 202);
        for (steps, mut stream) in calls {
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            let messages: Vec<Value> = text
                .lines()
                .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
                .collect();
            let reports: Vec<&Value> =
                messages.iter().filter(|message| message["method"] == "notifications/progress").collect();
            assert!(reports.iter().all(|report| report["params"]["progressToken"] == "mine"), "{text}");
            let told: Vec<f64> =
                reports.iter().map(|report| report["params"]["progress"].as_f64().unwrap()).collect();
            assert_eq!(told, steps.map(f64::from), "{text}");
            assert_eq!(messages.last().unwrap()["id"], 1, "{text}");
        }
        drop(first);
    }
}

#[test]
fn a_handshake_with_a_session_that_is_over_begins_a_new_one() {
    let server = seven().serve(Transport::Http);
    let (client, _) = Client::begin(&server, Transport::Http, "2025-11-25");
    assert_eq!(client.delete().status, 204);
    let stale = vec![client.session[0].clone()];
    let reply = server.post(&initialize("2025-11-25").to_string(), &stale);
    assert_eq!(reply.status, 200, "{reply:?}");
    let new = reply.header("Mcp-Session-Id").unwrap();
    assert_ne!(new, stale[0].1);
    let session = [("Mcp-Session-Id".to_owned(), new.to_owned()), client.session[1].clone()];
    let listed = server.post(&request(1, "tools/list", json!({})).to_string(), &session).message();
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 1);
}

#[test]
fn the_end_of_a_session_that_there_is_not_is_not_found() {
    let server = seven().serve(Transport::Http);
    let (client, _) = Client::begin(&server, Transport::Http, "2025-11-25");
    assert_eq!(client.delete().status, 204);
    for _ in 0..2 {
        assert_eq!(client.delete().status, 404);
    }
    let made_up = [("Mcp-Session-Id".to_owned(), "none".to_owned())];
    assert_eq!(server.http("DELETE", "/mcp", &made_up, None).status, 404);
}

#[test]
fn a_header_of_which_there_is_one_may_not_stand_twice() {
    let server = seven().serve(Transport::Http);
    let (client, _) = Client::begin(&server, Transport::Http, "2025-11-25");
    for name in ["MCP-Protocol-Version", "Mcp-Session-Id"] {
        let mut twice = client.session.clone();
        let given = twice.iter().find(|(given, _)| given == name).unwrap().clone();
        twice.push(given);
        let reply = server.post(&request(4, "tools/list", json!({})).to_string(), &twice);
        assert_eq!(reply.status, 400, "{reply:?}");
        assert_eq!((&reply.message()["id"], &reply.message()["error"]["code"]), (&json!(4), &json!(-32020)));
        assert!(reply.body.contains(&name.to_lowercase()), "{reply:?}");
        for method in ["GET", "DELETE"] {
            assert_eq!(server.http(method, "/mcp", &twice, None).status, 400);
        }
    }
    assert!(client.ask(&request(5, "tools/list", json!({})))["result"].is_object(), "the session goes on");
}

#[test]
fn both_ways_of_talking_go_on_one_after_the_other_over_stdio() {
    let server = hello().serve(Transport::Stdio);
    for round in 0..2 {
        assert_eq!(server.call("hello_add", json!({ "a": 1, "b": 2 })).text(), "3", "{round}");
        let (client, answer) = Client::begin(&server, Transport::Stdio, "2025-11-25");
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
        assert_eq!(client.ask(&request(1001, "ping", json!({})))["result"], json!({}));
        let listed = client.ask(&request(1002, "tools/list", json!({})));
        assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 5, "{listed}");
        assert!(listed["result"].get("ttlMs").is_none(), "{listed}");
        let params = json!({ "name": "hello_add", "arguments": { "a": 3, "b": 4 } });
        let called = client.ask(&request(1003, "tools/call", params));
        assert_eq!(called["result"]["structuredContent"], json!({ "result": 7 }), "{called}");
        assert!(called["result"].get("resultType").is_none(), "{called}");
        let modern = server.call("hello_add", json!({ "a": 5, "b": 6 }));
        assert_eq!((modern.text(), &modern.0["result"]["resultType"]), ("11", &json!("complete")));
        assert_eq!(server.request("ping", json!({}))["error"]["code"], -32601);
    }
}

#[test]
fn a_request_that_belongs_to_no_session_is_refused_by_its_id() {
    let server = seven().serve(Transport::Http);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let version = header("MCP-Protocol-Version", "2025-11-25");
    for (headers, status, words) in [
        (vec![version.clone()], 400, "Session ID is required"),
        (vec![], 400, "Session ID is required"),
        (vec![version.clone(), header("Mcp-Session-Id", "1234")], 404, "Session not found"),
        (vec![header("MCP-Protocol-Version", "2031-01-01")], 400, "2031-01-01"),
        (vec![version.clone(), header("Content-Type", "text/plain")], 415, "application/json"),
    ] {
        let reply = server.post(&request(7, "tools/list", json!({})).to_string(), &headers);
        assert_eq!(reply.status, status, "{headers:?}: {reply:?}");
        assert_eq!(reply.header("Content-Type"), Some("application/json"), "{headers:?}: {reply:?}");
        let error = reply.message();
        assert_eq!((&error["id"], &error["error"]["code"]), (&json!(7), &json!(-32600)), "{error}");
        assert!(error["error"]["message"].as_str().unwrap().contains(words), "{error}");
        // A refused notification gets no id in its response.
        let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string();
        let told = server.post(&notification, &headers);
        assert!([400, 404, 415].contains(&told.status) && !told.body.contains("\"id\""), "{told:?}");
    }
}
