//! Format of responses, by the client's `Accept` header.

use serde_json::{Value, json};
use toolgate_tests::{HttpReply, Server, Transport, World, test_guest};

use super::seven;

const JSON: &str = "application/json";
const STREAM: &str = "text/event-stream";

fn post(server: &Server, message: &Value, accept: Option<&str>, more: &[(String, String)]) -> HttpReply {
    let mut headers = more.to_vec();
    headers.push(("Accept".to_owned(), accept.unwrap_or_default().to_owned()));
    server.post(&message.to_string(), &headers)
}

fn call(server: &Server, accept: &str) -> HttpReply {
    let (_, message) = server.modern("tools/call", json!({ "name": "seven_seven", "arguments": {} }));
    post(server, &message, Some(accept), &toolgate_tests::client::headers(&message))
}

fn session(server: &Server, accept: &str) -> (HttpReply, Vec<(String, String)>) {
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } });
    let begun = post(server, &initialize, Some(accept), &[]);
    assert_eq!(begun.status, 200, "{accept}: {begun:?}");
    let id = begun.header("Mcp-Session-Id").unwrap().to_owned();
    let headers =
        vec![("Mcp-Session-Id".to_owned(), id), ("MCP-Protocol-Version".to_owned(), "2025-11-25".to_owned())];
    (begun, headers)
}

#[test]
fn an_answer_comes_in_a_form_that_the_client_takes() {
    let server = seven().serve(Transport::Http);
    for (accept, kinds) in [
        ("application/json, text/event-stream", &[JSON, STREAM][..]),
        ("*/*", &[JSON, STREAM]),
        ("", &[JSON, STREAM]),
        ("application/json", &[JSON]),
        ("application/*", &[JSON]),
        ("application/json;q=0.2, text/html", &[JSON]),
        ("text/event-stream", &[STREAM]),
        ("text/*", &[STREAM]),
        ("application/json;q=0, */*", &[STREAM]),
        ("*/*, text/event-stream;q=0.0", &[JSON]),
        // Both are accepted; the preferred one is used.
        ("application/json, text/plain, */*", &[JSON]),
        ("text/event-stream;q=0.001, application/json;q=1", &[JSON]),
        ("text/event-stream, application/json;q=0.1", &[STREAM]),
        ("text/event-stream, */*", &[STREAM]),
        ("text/*, */*", &[STREAM]),
        ("application/json, text/*", &[JSON]),
        ("application/json;q=0.1, */*", &[STREAM]),
        ("application/json;q=0.9, text/event-stream;q=0.89", &[JSON]),
    ] {
        let reply = call(&server, accept);
        assert_eq!(reply.status, 200, "{accept}: {reply:?}");
        let kind = reply.header("Content-Type").unwrap();
        assert!(kinds.contains(&kind), "{accept}: {reply:?}");
        assert_eq!(kind == STREAM, reply.body.starts_with("data: "), "{accept}: {reply:?}");
        assert_eq!(reply.message()["result"]["content"][0]["text"], "7", "{accept}: {reply:?}");
        // The same in a session.
        let (begun, session) = session(&server, accept);
        assert!(kinds.contains(&begun.header("Content-Type").unwrap()), "{accept}: {begun:?}");
        assert_eq!(begun.message()["result"]["protocolVersion"], "2025-11-25");
        let message =
            json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": { "name": "seven_seven" } });
        let reply = post(&server, &message, Some(accept), &session);
        assert!(kinds.contains(&reply.header("Content-Type").unwrap()), "{accept}: {reply:?}");
        assert_eq!(
            (&reply.message()["id"], &reply.message()["result"]["content"][0]["text"]),
            (&json!(3), &json!("7"))
        );
    }
    for accept in ["text/html", "*/*;q=0", "application/json;q=0", "image/*"] {
        assert_eq!(call(&server, accept).status, 406, "{accept}");
    }
}

#[test]
fn who_says_nothing_of_forms_takes_any() {
    let server = seven().serve(Transport::Http);
    let (_, message) = server.modern("tools/list", json!({}));
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    let mut head = format!("POST /mcp HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", server.address());
    for (name, value) in toolgate_tests::client::headers(&message) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = message.to_string();
    head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn errors_and_long_answers_come_in_that_form_as_well() {
    let world = World::new().plugin("echo", &test_guest("echoing")).limit("output_bytes_max = 60_000_000");
    let server = world.serve(Transport::Http);
    let long = "x".repeat(300_000);
    for accept in [JSON, STREAM] {
        let ask = |method: &str, params: Value| {
            let (_, message) = server.modern(method, params);
            let reply = post(&server, &message, Some(accept), &toolgate_tests::client::headers(&message));
            assert_eq!(reply.status, 200, "{accept}: {:.500}", format!("{reply:?}"));
            assert_eq!(reply.header("Content-Type"), Some(accept));
            reply.message()
        };
        let called = ask("tools/call", json!({ "name": "echo_strings", "arguments": { "a": long } }));
        assert_eq!(called["result"]["content"][0]["text"], json!(long));
        assert_eq!(ask("tools/call", json!({ "name": "none", "arguments": {} }))["error"]["code"], -32602);
        assert_eq!(ask("tools/list", json!({ "cursor": 5 }))["error"]["code"], -32602);
        let (_, session) = session(&server, accept);
        let message = json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call",
            "params": { "name": "echo_strings", "arguments": { "a": long } } });
        let reply = post(&server, &message, Some(accept), &session);
        assert_eq!(reply.message()["result"]["content"][0]["text"], json!(long));
        assert_eq!(reply.header("Content-Type"), Some(accept));
    }
}

#[test]
fn reports_of_progress_are_left_out_for_who_takes_no_stream() {
    let server = World::new().plugin("p", &test_guest("piecing")).serve(Transport::Http);
    let (_, mut call) =
        server.modern("tools/call", json!({ "name": "p_report", "arguments": { "steps": [1, 10] } }));
    call["params"]["_meta"]["progressToken"] = json!(7);
    let reply = post(&server, &call, Some(JSON), &toolgate_tests::client::headers(&call));
    assert_eq!(reply.header("Content-Type"), Some(JSON), "{reply:?}");
    let answer: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(answer["result"]["content"][0]["text"], "2 steps");
}

#[test]
fn what_is_a_stream_is_not_given_to_who_takes_none() {
    let server = seven().serve(Transport::Http);
    let (_, listen) =
        server.modern("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let reply = post(&server, &listen, Some(JSON), &toolgate_tests::client::headers(&listen));
    assert_eq!(reply.status, 406, "{reply:?}");
    assert_eq!(reply.message()["id"], listen["id"]);
    let (_, mut session) = session(&server, JSON);
    session.push(("Accept".to_owned(), JSON.to_owned()));
    assert_eq!(server.http("GET", "/mcp", &session, None).status, 406);
    // A client that accepts a stream gets one, even if it prefers JSON.
    let accept = ("Accept".to_owned(), "application/json, text/plain, */*".to_owned());
    let headers = [toolgate_tests::client::headers(&listen), vec![accept]].concat();
    let mut stream = server.open("POST", "/mcp", &headers, Some(&listen.to_string()));
    let (mut told, mut byte) = (Vec::new(), [0]);
    while !String::from_utf8_lossy(&told).contains("notifications/subscriptions/acknowledged") {
        std::io::Read::read_exact(&mut stream, &mut byte).expect("it is told");
        told.push(byte[0]);
    }
}
