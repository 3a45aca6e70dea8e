//! Malformed messages over both transports: refused with the code that JSON-RPC and MCP define, and the server
//! continues.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};
use toolgate_tests::{Server, Transport};

use super::seven;

/// Sends a text unchanged; returns the response, with the status over HTTP.
fn say(server: &Server, transport: Transport, text: &str) -> (u16, Value) {
    match transport {
        Transport::Http => {
            let message: Value = serde_json::from_str(text).unwrap_or(Value::Null);
            let reply = server.post(text, &toolgate_tests::client::headers(&message));
            (reply.status, reply.message())
        }
        Transport::Stdio => {
            server.send(text);
            let id: Value = serde_json::from_str::<Value>(text)
                .map(|message| message["id"].clone())
                .unwrap_or(Value::Null);
            (0, server.reply(&id).or_else(|| server.reply(&Value::Null)).unwrap())
        }
    }
}

fn fine(server: &Server) {
    assert_eq!(server.call("seven_seven", json!({})).text(), "7");
}

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

#[test]
fn what_is_no_message_is_refused() {
    let deep = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{}{}}}",
        "[".repeat(200),
        "]".repeat(200)
    );
    for transport in Transport::ALL {
        let server = seven().serve(transport);
        for (text, code) in [
            ("{", -32700),
            ("tools/list", -32700),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list""#, -32700),
            ("[]", -32600),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#, -32600),
            ("5", -32600),
            ("null", -32600),
            (r#"{"id":1,"method":"tools/list"}"#, -32600),
            (r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"tools/list"}"#, -32600),
            (deep.as_str(), -32600),
        ] {
            let reply = match transport {
                Transport::Http => {
                    let reply = server.post(text, &toolgate_tests::client::headers(&Value::Null));
                    assert_eq!(reply.status, 400, "{text}: {reply:?}");
                    reply.message()
                }
                Transport::Stdio => {
                    server.send(text);
                    // The id as far as it could be read.
                    let id = ["1.5", "1", "9"].into_iter().find(|id| text.contains(&format!("\"id\":{id}")));
                    let id = id.filter(|_| text.starts_with('{'));
                    server
                        .reply(&id.map_or(Value::Null, |id| serde_json::from_str(id).unwrap()))
                        .unwrap_or_else(|| panic!("no answer to {text}"))
                }
            };
            assert_eq!(reply["error"]["code"], code, "{text}: {reply}");
        }
        fine(&server);
    }
}

#[test]
fn a_key_that_stands_twice_anywhere_is_refused() {
    // A filter that reads the first key and a server that reads the last would disagree about the request.
    for transport in Transport::ALL {
        let server = seven().serve(transport);
        for text in [
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{{{META}}}}}"#
            ),
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"a","name":"seven_seven",{META}}}}}"#
            ),
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"seven_seven","arguments":{{}},"arg\u0075ments":{{}},{META}}}}}"#
            ),
        ] {
            let reply = match transport {
                Transport::Http => {
                    let reply = server.post(
                        &text,
                        &toolgate_tests::client::headers(
                            &json!({ "method": "tools/call", "params": { "name": "seven_seven" } }),
                        ),
                    );
                    assert_eq!(reply.status, 400, "{reply:?}");
                    reply.message()
                }
                Transport::Stdio => {
                    server.send(&text);
                    server.reply(&json!(1)).unwrap()
                }
            };
            assert_eq!(reply["error"]["code"], -32600, "{text}: {reply}");
            assert!(reply["error"]["message"].as_str().unwrap().contains("twice"), "{reply}");
        }
        fine(&server);
    }
}

#[test]
fn a_message_larger_than_the_limit_is_refused() {
    for transport in Transport::ALL {
        let server = seven().server("[server.limits]\nbody_bytes_max = 10_000").serve(transport);
        let large = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "x": "y".repeat(20_000) } }).to_string();
        match transport {
            Transport::Http => {
                assert_eq!(server.post(&large, &[]).status, 413);
                // Whatever length it declares.
                let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
                let mut stream =
                    server.open("POST", "/mcp", &[("Transfer-Encoding".into(), "chunked".into())], None);
                drop(stream.write_all(chunked.as_bytes()));
                let mut told = String::new();
                drop(stream.read_to_string(&mut told));
                assert!(told.starts_with("HTTP/1.1 413"), "{told}");
            }
            Transport::Stdio => {
                server.send(&large);
                // The id is in the part that was read.
                let reply = server.reply(&json!(1)).unwrap();
                assert!(reply["error"]["message"].as_str().unwrap().contains("body_bytes_max"), "{reply}");
            }
        }
        fine(&server);
    }
}

#[test]
fn a_method_that_does_not_exist_is_not_found() {
    for transport in Transport::ALL {
        let server = seven().serve(transport);
        for method in
            ["tools/run", "prompts/list", "resources/list", "initialise", "logging/setLevel", "ping"]
        {
            let (_, message) = server.modern(method, json!({}));
            let (status, reply) = say(&server, transport, &message.to_string());
            assert_eq!(reply["error"]["code"], -32601, "{method}: {reply}");
            assert!(transport == Transport::Stdio || status == 404, "{method}: {status}");
        }
        fine(&server);
    }
}

#[test]
fn parameters_that_do_not_fit_a_method_are_invalid() {
    for transport in Transport::ALL {
        let server = seven().serve(transport);
        for params in [
            json!({}),
            json!({ "name": 5 }),
            json!({ "name": "seven_seven", "arguments": [] }),
            json!({ "name": "seven_seven", "arguments": "x" }),
        ] {
            let (_, message) = server.modern("tools/call", params.clone());
            let (_, reply) = say(&server, transport, &message.to_string());
            assert_eq!(reply["error"]["code"], -32602, "{params}: {reply}");
        }
        fine(&server);
    }
}

#[test]
fn a_revision_that_is_not_served_is_refused_with_those_that_are() {
    for transport in Transport::ALL {
        let server = seven().serve(transport);
        let (_, mut message) = server.modern("tools/list", json!({}));
        message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2031-01-01");
        let text = message.to_string();
        let reply = match transport {
            Transport::Http => {
                let mut headers = toolgate_tests::client::headers(&message);
                headers[0].1 = "2031-01-01".to_owned();
                let reply = server.post(&text, &headers);
                assert_eq!(reply.status, 400, "{reply:?}");
                reply.message()
            }
            Transport::Stdio => say(&server, transport, &text).1,
        };
        assert_eq!(reply["error"]["code"], -32022, "{reply}");
        assert!(reply["error"]["data"]["supported"].to_string().contains("2026-07-28"), "{reply}");
        fine(&server);
    }
}

#[test]
fn a_header_that_contradicts_the_body_is_refused() {
    let server = seven().serve(Transport::Http);
    let (_, message) = server.modern("tools/call", json!({ "name": "seven_seven", "arguments": {} }));
    for (at, value) in [(0, "2025-11-25"), (1, "tools/list"), (2, "seven_eight")] {
        let mut headers = toolgate_tests::client::headers(&message);
        headers[at].1 = value.to_owned();
        let reply = server.post(&message.to_string(), &headers);
        assert_eq!(
            (reply.status, &reply.message()["error"]["code"]),
            (400, &json!(-32020)),
            "{value}: {reply:?}"
        );
    }
    fine(&server);
}
