//! Messages and parameters of the wrong type, over both transports and in both eras. The error names the problem and
//! has the id, and error responses have a content type.

use serde_json::{Value, json};
use toolgate_tests::{Server, Transport};

use super::seven;

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// Sends a request of the modern era with the id 5; returns the response.
fn say(server: &Server, text: &str) -> (u16, Value) {
    match server.transport() {
        Transport::Http => {
            let message: Value = serde_json::from_str(text).unwrap();
            let reply = server.post(text, &toolgate_tests::client::headers(&message));
            assert_eq!(reply.header("Content-Type"), Some("application/json"), "{reply:?}");
            (reply.status, reply.message())
        }
        Transport::Stdio => {
            server.send(text);
            (
                0,
                server
                    .reply(&json!(5))
                    .unwrap_or_else(|| panic!("no answer to {text}: {:?}", server.lines())),
            )
        }
    }
}

fn message(members: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":5,{members}}}"#)
}

#[test]
fn a_message_of_no_shape_is_refused_by_its_id_with_what_is_wrong() {
    for transport in Transport::ALL {
        let server = seven().serve(transport);
        for (members, code, words) in [
            (
                r#""method":"tools/list","params":[1]"#,
                -32602,
                "`params` must be an object, but it is an array",
            ),
            (
                r#""method":"tools/list","params":"x""#,
                -32602,
                "`params` must be an object, but it is a string",
            ),
            (r#""method":"tools/list","params":{"_meta":"x"}"#, -32602, "`params._meta` must be an object"),
            (r#""params":{}"#, -32600, "neither `method` nor `result` nor `error`"),
            (r#""method":"tools/list","result":{}"#, -32600, "both `method` and `result`"),
            (r#""method":"tools/list","error":{"code":1,"message":""}"#, -32600, "both `method` and `error`"),
            (r#""method":7"#, -32600, "`method` must be a string"),
        ] {
            let (status, reply) = say(&server, &message(members));
            assert_eq!(
                (&reply["id"], &reply["error"]["code"]),
                (&json!(5), &json!(code)),
                "{members}: {reply}"
            );
            assert!(reply["error"]["message"].as_str().unwrap().contains(words), "{members}: {reply}");
            assert!([0, 400].contains(&status), "{members}: {status}");
        }
        assert_eq!(server.call("seven_seven", json!({})).text(), "7");
    }
}

#[test]
fn parameters_that_do_not_fit_are_refused_by_the_name_of_the_member() {
    for transport in Transport::ALL {
        let server = seven().serve(transport);
        for (method, params, words) in [
            (
                "tools/call",
                r#""name":"seven_seven","arguments":"{}""#,
                "`params.arguments` must be an object, but it is a string",
            ),
            (
                "tools/call",
                r#""name":"seven_seven","arguments":[]"#,
                "`params.arguments` must be an object, but it is an array",
            ),
            ("tools/call", r#""name":5"#, "`params.name` must be a string, but it is an integer"),
            ("tools/call", r#""name":null"#, "`params.name` must be a string, but it is null"),
            ("tools/call", r#""x":5"#, "`params.name` is missing"),
            ("tools/list", r#""cursor":5"#, "`params.cursor` must be a string, but it is an integer"),
            ("subscriptions/listen", r#""notifications":5"#, "`params.notifications` must be an object"),
        ] {
            let (_, reply) =
                say(&server, &message(&format!(r#""method":"{method}","params":{{{params},{META}}}"#)));
            assert_eq!(
                (&reply["id"], &reply["error"]["code"]),
                (&json!(5), &json!(-32602)),
                "{params}: {reply}"
            );
            assert!(reply["error"]["message"].as_str().unwrap().contains(words), "{params}: {reply}");
        }
        for (member, words) in [
            (r#""io.modelcontextprotocol/logLevel":"loud""#, "logLevel` is none of debug, info"),
            (r#""io.modelcontextprotocol/logLevel":5"#, "logLevel` must be a string"),
            (r#""progressToken":1.5"#, "`params._meta.progressToken` must be a string or an integer"),
        ] {
            let meta = META.replace("{\"io", &format!("{{{member},\"io"));
            let (_, reply) = say(&server, &message(&format!(r#""method":"tools/list","params":{{{meta}}}"#)));
            assert_eq!(reply["error"]["code"], -32602, "{member}: {reply}");
            assert!(reply["error"]["message"].as_str().unwrap().contains(words), "{member}: {reply}");
        }
        // Some clients write null for no arguments.
        for params in [r#""name":"seven_seven","arguments":null"#, r#""name":"seven_seven""#] {
            let (_, reply) =
                say(&server, &message(&format!(r#""method":"tools/call","params":{{{params},{META}}}"#)));
            assert_eq!(reply["result"]["content"][0]["text"], "7", "{params}: {reply}");
        }
    }
}

#[test]
fn a_handshake_that_does_not_fit_is_refused_by_the_name_of_the_member() {
    for transport in Transport::ALL {
        for (params, words) in [
            (r#"{}"#, "`params.protocolVersion` is missing"),
            (r#"[]"#, "`params` must be an object"),
            (
                r#"{"protocolVersion":5,"capabilities":{},"clientInfo":{"name":"a","version":"1"}}"#,
                "`params.protocolVersion` must be a string",
            ),
            (
                r#"{"protocolVersion":"2025-11-25","clientInfo":{"name":"a","version":"1"}}"#,
                "`params.capabilities` is missing",
            ),
            (
                r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":5}"#,
                "`params.clientInfo` must be an object",
            ),
            (
                r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"a"}}"#,
                "`params.clientInfo.version` is missing",
            ),
            (
                r#"{"protocolVersion":"2025-11-25","capabilities":{"roots":5},"clientInfo":{"name":"a","version":"1"}}"#,
                "the parameters of initialize are malformed: invalid type: integer `5`",
            ),
        ] {
            let server = seven().serve(transport);
            let text = message(&format!(r#""method":"initialize","params":{params}"#));
            let (status, reply) = match transport {
                Transport::Http => {
                    let reply = server.post(&text, &[]);
                    (reply.status, reply.message())
                }
                Transport::Stdio => say(&server, &text),
            };
            assert!([0, 400].contains(&status), "{params}: {status}");
            assert_eq!(
                (&reply["id"], &reply["error"]["code"]),
                (&json!(5), &json!(-32602)),
                "{params}: {reply}"
            );
            assert!(reply["error"]["message"].as_str().unwrap().contains(words), "{params}: {reply}");
            // It began no session or call.
            assert_eq!(server.call("seven_seven", json!({})).text(), "7");
        }
    }
}

#[test]
fn a_method_that_is_not_served_is_named() {
    for transport in Transport::ALL {
        let server = seven().serve(transport);
        for method in [
            "tools/run",
            "ping",
            "prompts/list",
            "resources/subscribe",
            "tasks/get",
            "logging/setLevel",
            "a\u{1b}b",
        ] {
            let (_, mut asked) =
                server.modern(method, json!({ "uri": "a:b", "taskId": "x", "level": "info" }));
            asked["id"] = json!(5);
            let reply = match transport {
                Transport::Http => {
                    let mut headers = toolgate_tests::client::headers(&asked);
                    headers[1].1 = method.replace('\u{1b}', "");
                    headers.push((
                        "Mcp-Name".to_owned(),
                        if method.starts_with("tasks") { "x" } else { "a:b" }.to_owned(),
                    ));
                    if method.contains('\u{1b}') {
                        continue;
                    }
                    let reply = server.post(&asked.to_string(), &headers);
                    assert_eq!(reply.status, 404, "{reply:?}");
                    reply.message()
                }
                Transport::Stdio => say(&server, &asked.to_string()).1,
            };
            let shown = if method.contains('\u{1b}') { "a\\u{1b}b" } else { method };
            assert_eq!(
                (&reply["id"], &reply["error"]["code"], reply["error"]["message"].as_str().unwrap()),
                (&json!(5), &json!(-32601), format!("method not found: {shown}").as_str()),
            );
        }
    }
}

#[test]
fn notifications_and_answers_that_cannot_be_taken_are_not_answered() {
    let limits = "[server.limits]\nbody_bytes_max = 10_000";
    let long = "x".repeat(20_000);
    let deep = "[".repeat(80) + &"]".repeat(80);
    let texts = [
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":[]}}"#.to_owned(),
        format!(r#"{{"jsonrpc":"2.0","method":"notifications/x","params":{{"x":{deep}}}}}"#),
        message(&format!(r#""result":{deep}"#)),
        message(r#""result":1,"result":2"#),
        message(r#""error":{"code":"x","message":""}"#),
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":[1]}"#.to_owned(),
        format!(r#"{{"jsonrpc":"2.0","method":"notifications/x","params":{{"x":"{long}"}}}}"#),
        format!(
            r#"{{"jsonrpc":"2.0","method":"tools/call","params":{{"name":"seven_seven","arguments":{{"x":"{long}"}}}}}}"#
        ),
        message(r#""error":5"#),
        message(r#""error":"x""#),
        message(r#""result":{},"error":{"code":1,"message":""}"#),
        r#"{"id":5,"result":{}}"#.to_owned(),
        message(&format!(r#""result":{{"x":"{long}"}}"#)),
        format!(r#"{{"jsonrpc":"2.0","result":{{"x":"{long}"}},"id":5}}"#),
    ];
    let server = seven().server(limits).serve(Transport::Stdio);
    // Before the first request other messages are ignored.
    assert_eq!(server.call("seven_seven", json!({})).text(), "7");
    for text in &texts {
        server.send(text);
        assert_eq!(server.call("seven_seven", json!({})).text(), "7");
    }
    assert_eq!(server.lines().len(), 1 + texts.len(), "{:?}", server.lines());
    // HTTP responds with a status and an error without an id, since the id is not one of a client's request.
    let server = seven().server(limits).serve(Transport::Http);
    for text in &texts {
        let reply = server.post(text, &[]);
        let statuses = if text.contains("requestId") { 200..=200 } else { 400..=413 };
        assert!(statuses.contains(&reply.status), "{text:.100}: {reply:?}");
        assert_eq!(reply.message()["id"], Value::Null, "{text:.100}: {reply:?}");
        let why = reply.message()["error"]["message"].to_string();
        let both = text.contains(r#""result":{},"error""#);
        assert_eq!(why.contains("both `result` and `error`"), both, "{text:.100}: {why}");
        let is_error = text.contains(r#""error""#) && !both;
        assert_eq!(why.contains("an integer `code`"), is_error, "{text:.100}: {why}");
    }
}

#[test]
fn an_id_is_sent_back_as_it_was_written_or_not_at_all() {
    for transport in Transport::ALL {
        let server = seven().serve(transport);
        for (members, id) in [
            (r#""id":1.5"#, json!(1.5)),
            (r#""id":18446744073709551615"#, json!(u64::MAX)),
            (r#""id":123456789012345678901234567890"#, Value::Null),
            (r#""id":-0"#, Value::Null),
            (r#""id":1e2"#, Value::Null),
            (r#""\u0069d":1,"id":2"#, Value::Null),
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0",{members},"method":"tools/list"}}"#);
            let reply = match transport {
                Transport::Http => server.post(&text, &[]).message(),
                Transport::Stdio => {
                    server.send(&text);
                    server.reply(&id).unwrap_or_else(|| panic!("{text}: {:?}", server.lines()))
                }
            };
            assert_eq!((&reply["id"], &reply["error"]["code"]), (&id, &json!(-32600)), "{text}: {reply}");
        }
    }
}

#[test]
fn whatever_is_refused_over_http_says_of_what_type_its_text_is() {
    let server = seven().serve(Transport::Http);
    let (_, asked) = server.modern("tools/list", json!({}));
    let text = asked.to_string();
    let with = |name: &str, value: &str| {
        let mut headers = toolgate_tests::client::headers(&asked);
        headers.push((name.to_owned(), value.to_owned()));
        headers
    };
    let own = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for (what, reply, status) in [
        ("a type", server.post(&text, &with("Content-Type", "text/plain")), 415),
        ("a form", server.post(&text, &with("Accept", "text/html")), 406),
        ("a host", server.post(&text, &with("Host", "evil.example")), 403),
        ("an origin", server.post(&text, &with("Origin", "https://evil.example")), 403),
        ("a session", server.post(&text, &own("Mcp-Session-Id", "none")), 400),
        (
            "no session",
            server.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, &own("Mcp-Session-Id", "none")),
            404,
        ),
        (
            "a revision",
            server.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, &own("MCP-Protocol-Version", "x")),
            400,
        ),
        ("a stream without a session", server.http("GET", "/mcp", &[], None), 400),
        (
            "a stream of the modern era",
            server.http("GET", "/mcp", &own("MCP-Protocol-Version", "2026-07-28"), None),
            405,
        ),
        ("an end without a session", server.http("DELETE", "/mcp", &[], None), 400),
        ("a method", server.http("PUT", "/mcp", &[], None), 405),
        ("a place", server.http("GET", "/x", &[], None), 404),
    ] {
        assert_eq!(reply.status, status, "{what}: {reply:?}");
        let kind = reply.header("Content-Type").unwrap_or_else(|| panic!("{what}: {reply:?}"));
        assert!(["application/json", "text/plain; charset=utf-8"].contains(&kind), "{what}: {reply:?}");
        assert!(!reply.body.is_empty(), "{what}: {reply:?}");
    }
}

#[test]
fn initialize_is_no_method_of_a_revision_without_a_handshake() {
    for transport in Transport::ALL {
        let server = seven().serve(transport);
        let (id, message) = server.modern("initialize", json!({}));
        let answer = match transport {
            Transport::Http => {
                let reply = server.post(&message.to_string(), &toolgate_tests::client::headers(&message));
                assert_eq!(reply.status, 404, "{reply:?}");
                reply.message()
            }
            Transport::Stdio => {
                server.send(&message.to_string());
                server.reply(&json!(id)).unwrap()
            }
        };
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(id), &json!(-32601)), "{answer}");
    }
}
