//! Messages that cannot be read completely: each response has the id found in the message. If the arguments of a call
//! are at fault, the text lets a model correct them.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};
use toolgate_tests::{Server, Transport, World};

use super::hello;

/// Protocol era of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Era {
    Modern,
    Legacy,
}

/// A client that sends arbitrary messages.
struct Rude {
    server: Server,
    era: Era,
    headers: Vec<(String, String)>,
}

impl Rude {
    fn begin(world: &World, transport: Transport, era: Era) -> Self {
        let server = world.serve(transport);
        let mut headers = Vec::new();
        if era == Era::Legacy {
            let initialize = json!({ "jsonrpc": "2.0", "id": "first", "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } });
            match transport {
                Transport::Http => {
                    let reply = server.post(&initialize.to_string(), &[]);
                    let session = reply.header("Mcp-Session-Id").unwrap().to_owned();
                    headers.push(("Mcp-Session-Id".to_owned(), session));
                    headers.push(("MCP-Protocol-Version".to_owned(), "2025-11-25".to_owned()));
                }
                Transport::Stdio => {
                    server.send(&initialize.to_string());
                    server.reply(&json!("first")).unwrap();
                }
            }
        }
        Self { server, era, headers }
    }

    /// A request with these members of `params`, as text, and its id before or after them.
    fn request(&self, method: &str, params: &str, id: &str, id_first: bool) -> String {
        let meta = match self.era {
            Era::Modern => {
                r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#
            }
            Era::Legacy => "",
        };
        let (before, after) = if id_first {
            (format!("\"id\":{id},"), String::new())
        } else {
            (String::new(), format!(",\"id\":{id}"))
        };
        format!(r#"{{"jsonrpc":"2.0",{before}"method":"{method}","params":{{{params}{meta}}}{after}}}"#)
    }

    /// Sends bytes; returns the response, with the status over HTTP.
    fn say(&self, method: &str, bytes: &[u8], id: &Value) -> (u16, Value) {
        if self.server.transport() == Transport::Stdio {
            self.server.send_bytes(bytes);
            let answer = self.server.reply(id);
            return (0, answer.unwrap_or_else(|| panic!("no answer to {id}: {:?}", self.server.lines())));
        }
        let mut headers = self.headers.clone();
        if self.era == Era::Modern {
            let params = if method == "tools/call" { json!({ "name": "hello_greet" }) } else { json!({}) };
            headers = toolgate_tests::client::headers(&json!({ "method": method, "params": params }));
        }
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        headers.push(("Content-Length".to_owned(), bytes.len().to_string()));
        let mut stream = self.server.open("POST", "/mcp", &headers, None);
        drop(stream.write_all(bytes));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let message = answer.lines().find_map(|line| line.find("{\"").map(|at| line.get(at..).unwrap()));
        (status, serde_json::from_str(message.unwrap_or_else(|| panic!("no message: {answer}"))).unwrap())
    }
}

/// Arguments that are refused while parsing, with a part of the error text.
fn unread() -> Vec<(String, &'static str)> {
    let deep = "[".repeat(80) + &"]".repeat(80);
    vec![
        (r#"{"name":"x \ud83d"}"#.to_owned(), "half of a surrogate pair"),
        (r#"{"name":"\ude00 x"}"#.to_owned(), "half of a surrogate pair"),
        (r#"{"name":"a","n\u0061me":"b"}"#.to_owned(), "`name` appears twice"),
        (format!(r#"{{"name":{deep}}}"#), "nests deeper than"),
        (r#"{"name":1e999}"#.to_owned(), "number out of range"),
        (format!(r#"{{"name":"{}"}}"#, "x".repeat(5 << 20)), "[server.limits] body_bytes_max"),
    ]
}

#[test]
fn a_call_whose_arguments_cannot_be_read_is_answered_by_its_id_in_words_for_a_model_and_recorded() {
    for transport in Transport::ALL {
        for era in [Era::Modern, Era::Legacy] {
            let world = hello();
            let client = Rude::begin(&world, transport, era);
            let mut number = 100;
            for (arguments, words) in unread() {
                for id_first in [true, false] {
                    number += 1;
                    let params = format!(r#""name":"hello_greet","arguments":{arguments}"#);
                    let text = client.request("tools/call", &params, &number.to_string(), id_first);
                    let (status, reply) = client.say("tools/call", text.as_bytes(), &json!(number));
                    let what = format!("{transport:?} {era:?} {words} {id_first}: {reply}");
                    assert!([0, 200].contains(&status), "{status}: {what}");
                    assert_eq!(
                        (&reply["id"], &reply["result"]["isError"]),
                        (&json!(number), &json!(true)),
                        "{what}"
                    );
                    assert!(
                        reply["result"]["content"][0]["text"].as_str().unwrap().contains(words),
                        "{what}"
                    );
                    assert_eq!(reply["result"].get("resultType").is_some(), era == Era::Modern, "{what}");
                }
            }
            let records = world.call_records();
            assert_eq!(records.len(), unread().len() * 2);
            for record in records {
                assert_eq!(
                    (&record["tool"], &record["arguments"]),
                    (&json!("hello_greet"), &json!("unreadable"))
                );
                assert_eq!((&record["outcome"]["kind"], &record["fuel"]), (&json!("arguments"), &json!(0)));
            }
            let fine = client.request(
                "tools/call",
                r#""name":"hello_add","arguments":{"a":1,"b":2}"#,
                "\"z\"",
                false,
            );
            if era == Era::Legacy || transport == Transport::Stdio {
                let (_, reply) = client.say("tools/call", fine.as_bytes(), &json!("z"));
                assert_eq!(reply["result"]["structuredContent"]["result"], 3, "{reply}");
            }
        }
    }
}

#[test]
fn what_is_not_a_call_or_whose_fault_is_elsewhere_is_an_error_with_its_id() {
    for transport in Transport::ALL {
        for era in [Era::Modern, Era::Legacy] {
            let world = hello();
            let client = Rude::begin(&world, transport, era);
            let mut number = 100;
            for (value, words) in unread() {
                for (method, params) in [
                    ("tools/list", format!(r#""x":{value}"#)),
                    ("tools/list", format!(r#""arguments":{value}"#)),
                    ("tools/call", format!(r#""name":"hello_greet","arguments":{{}},"x":{value}"#)),
                ] {
                    for id_first in [true, false] {
                        number += 1;
                        let text = client.request(method, &params, &number.to_string(), id_first);
                        let (status, reply) = client.say(method, text.as_bytes(), &json!(number));
                        let what = format!("{transport:?} {era:?} {method} {words} {id_first}: {reply}");
                        assert!([0, 400, 413].contains(&status), "{status}: {what}");
                        assert_eq!(
                            (&reply["id"], &reply["error"]["code"]),
                            (&json!(number), &json!(-32600)),
                            "{what}"
                        );
                        assert!(reply["error"]["message"].as_str().unwrap().contains(words), "{what}");
                    }
                }
            }
            assert_eq!(world.call_records(), Vec::<Value>::new(), "none of them is a call");
        }
    }
}

#[test]
fn what_is_not_json_is_a_parse_error_with_the_id_that_stands_in_it() {
    for transport in Transport::ALL {
        for era in [Era::Modern, Era::Legacy] {
            let client = Rude::begin(&hello(), transport, era);
            let mut number = 100;
            for (good, bad) in [
                (&b"%"[..], &b"\xff"[..]),
                (b"%", b"\xed\xa0\xbd"),
                (b"%", b"\\x"),
                (b"%", b"\x01"),
                (b"\"%\"", b"tru"),
                (b"\"%\"", b"'x'"),
            ] {
                for id_first in [true, false] {
                    number += 1;
                    let params = r#""name":"hello_greet","arguments":{"name":"%"}"#;
                    let text = client.request("tools/call", params, &number.to_string(), id_first);
                    let mut bytes = text.into_bytes();
                    let at = bytes.windows(good.len()).position(|part| part == good).unwrap();
                    bytes.splice(at..at + good.len(), bad.iter().copied());
                    let (status, reply) = client.say("tools/call", &bytes, &json!(number));
                    let what = format!("{transport:?} {era:?} {bad:?} {id_first}: {reply}");
                    assert!([0, 400].contains(&status), "{status}: {what}");
                    assert_eq!(
                        (&reply["id"], &reply["error"]["code"]),
                        (&json!(number), &json!(-32700)),
                        "{what}"
                    );
                }
            }
        }
    }
}

#[test]
fn an_id_that_cannot_be_known_is_null() {
    let client = Rude::begin(&hello(), Transport::Stdio, Era::Modern);
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"tools/list","x":"\ud83d"}"#,
        r#"{"params":{"id":1},"x":"\ud83d"}"#,
    ] {
        let (_, reply) = client.say("tools/list", text.as_bytes(), &Value::Null);
        assert_eq!(reply["error"]["code"], -32600, "{text}: {reply}");
    }
}

#[test]
fn a_byte_order_mark_before_a_message_is_passed_over() {
    for transport in Transport::ALL {
        let client = Rude::begin(&hello(), transport, Era::Modern);
        for (number, arguments) in [(1, r#"{"name":"a"}"#), (2, r#"{"name":"\ud83d"}"#)] {
            let params = format!(r#""name":"hello_greet","arguments":{arguments}"#);
            let text = client.request("tools/call", &params, &number.to_string(), true);
            let (_, reply) = client.say("tools/call", format!("\u{feff}{text}").as_bytes(), &json!(number));
            assert_eq!(reply["result"]["isError"], number == 2, "{reply}");
        }
    }
}
