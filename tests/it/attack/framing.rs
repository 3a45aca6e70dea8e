//! Request bodies that a server could read as further requests, and connections with responses to no request.
//! Everything that arrives is compared with the audit record.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use toolgate_tests::raw::{Arrived, Peer, Raw};
use toolgate_tests::{Server, Transport, World, apart, test_guest};

/// Guests of WASI 0.2 on both engines, and of WASI 0.3.
const GUESTS: [(&str, &str); 3] =
    [("requesting", ""), ("requesting", "engine = \"async\""), ("fetching", "engine = \"async\"")];

const METHODS: [&str; 8] = ["GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH", "QUERY"];

/// A body that looks like the start of a request, which the next request on the connection would complete.
const HIDDEN: &str = "DELETE /admin/all HTTP/1.1\r\nHost: x\r\nX-Rest: ";

fn world((guest, engine): (&str, &str), raw: &Raw) -> World {
    let methods = METHODS.map(|method| format!("\"{method}\"")).join(", ");
    let port = raw.address.port();
    World::new()
        .plugin("web", &test_guest(guest))
        .with(engine)
        .secret_file("secrets/token", "s3cr3t-t0ken")
        .more("\n[[secret]]\nname = \"token\"\nfile = \"secrets/token\"\nheader = \"Authorization\"\nformat = \"Bearer {}\"\n")
        .grant(&format!(
            r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true, methods = [{methods}], paths = ["/v1/*"], secret = "token" }}]"#
        ))
        .limit("faults_max = 1000000")
}

fn request(raw: &Raw, method: &str, path: &str, headers: &Value, body: &str) -> Value {
    json!({ "method": method, "scheme": "http", "authority": raw.address.to_string(), "path": path, "headers": headers, "body": body })
}

/// Asserts that every request that arrived is in the record, with the secret.
fn assert_the_record_is_right(world: &World, arrived: &[Vec<Arrived>], what: &str) {
    let mut recorded = BTreeSet::new();
    for record in world.call_records() {
        let requests = record["requests"].as_array().into_iter().flatten();
        for request in requests.filter(|request| request["refused"] != true) {
            let url = request["url"].as_str().unwrap();
            let path = url.splitn(4, '/').nth(3).unwrap();
            recorded.insert((request["method"].as_str().unwrap().to_owned(), format!("/{path}")));
        }
    }
    for connection in arrived {
        for request in connection {
            let came = (request.method.clone(), request.path.clone());
            assert!(recorded.contains(&came), "{what}: {request:?} is not in the record");
            assert_eq!(request.header("authorization"), Some("Bearer s3cr3t-t0ken"), "{what}: {request:?}");
        }
    }
}

/// Servers that leave request bodies unread, in whole or in part, or respond more often than they were asked.
const CARELESS: [&str; 4] =
    ["never reads a body", "reads half of a body", "answers when a body begins", "answers twice"];

/// Such a server. `heads` collects everything that it reads as a head.
fn careless(kind: &'static str, heads: &Arc<Mutex<Vec<String>>>) -> Raw {
    let heads = Arc::clone(heads);
    Raw::serve(move |peer| {
        while let Some(head) = peer.head() {
            heads.lock().unwrap().push(head.clone());
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let has_body =
                length.is_some_and(|length: usize| length > 0) || lower.contains("transfer-encoding");
            match kind {
                "reads half of a body" if has_body => drop(peer.read_all(HIDDEN.len() / 2)),
                "answers when a body begins" if has_body => drop(peer.read(1)),
                _ => {}
            }
            let body = if head.starts_with("HEAD") { "" } else { "own" };
            if kind == "answers twice" {
                // In one write: bytes that arrive during the next request cannot be distinguished from its response.
                let answer =
                    |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                peer.say(&(answer(body) + &answer("forged")));
            } else {
                peer.answer(body);
            }
            // As HTTP requires; later bytes are recorded and not answered.
            if lower.contains("connection: close") {
                return;
            }
        }
    })
}

#[test]
fn no_byte_of_a_body_is_read_as_a_request_by_a_server_that_leaves_it_unread() {
    let length = HIDDEN.len();
    for guest in GUESTS {
        for kind in CARELESS {
            let heads = Arc::default();
            let raw = careless(kind, &heads);
            let world = world(guest, &raw);
            let server = world.serve(Transport::Http);
            for method in METHODS {
                let lengths = [length.to_string(), "5".to_owned(), "0".to_owned(), (length + 10).to_string()];
                let mut all = lengths.map(|length| json!([["content-length", length]])).to_vec();
                all.push(json!([]));
                for headers in all {
                    let what = format!("{guest:?}, a server that {kind}, {method} with {headers}");
                    // Sent unchanged, or refused.
                    server.call("web_run", request(&raw, method, "/v1/a", &headers, HIDDEN));
                    let reply = server.call("web_run", request(&raw, "GET", "/v1/b", &json!([]), ""));
                    assert!(!reply.is_error(), "{what}: {reply:?}");
                    assert!(reply.text().contains("\"own\""), "{what}: {reply:?}");
                }
            }
            drop(server);
            let arrived = raw.requests();
            let what = format!("{guest:?}, a server that {kind}");
            assert_the_record_is_right(&world, &arrived, &what);
            for connection in arrived {
                let with_body = connection.iter().filter(|request| !request.body.is_empty()).count();
                assert!(with_body == 0 || connection.len() == 1, "{what}: {connection:?}");
            }
            for head in heads.lock().unwrap().iter() {
                let first = head.lines().next().unwrap();
                assert!(
                    METHODS.iter().any(|method| first == format!("{method} /v1/a HTTP/1.1"))
                        || first == "GET /v1/b HTTP/1.1",
                    "{what}: {head}"
                );
            }
        }
    }
}

/// Reads complete requests and answers each.
fn careful() -> Raw {
    Raw::serve(|peer| {
        while let Some(head) = peer.head() {
            let lower = head.to_ascii_lowercase();
            if let Some(length) = lower.lines().find_map(|line| line.strip_prefix("content-length: ")) {
                let length: usize = length.parse().unwrap();
                if peer.read_all(length).len() < length {
                    return;
                }
            }
            if lower.contains("transfer-encoding: chunked") {
                let mut body = Vec::new();
                while !body.ends_with(b"\r\n0\r\n\r\n") && body != b"0\r\n\r\n" {
                    let more = peer.read(1);
                    if more.is_empty() {
                        return;
                    }
                    body.extend(more);
                }
            }
            peer.answer(if head.starts_with("HEAD") { "" } else { "own" });
        }
    })
}

#[test]
fn a_body_where_there_can_be_none_or_of_another_length_is_an_error_that_says_so() {
    for guest in GUESTS {
        let raw = careful();
        let world = world(guest, &raw);
        let server = world.serve(Transport::Http);
        for (method, headers, body) in [
            ("GET", json!([]), "x"),
            ("HEAD", json!([]), "x"),
            ("GET", json!([["content-length", "1"]]), "x"),
            ("GET", json!([["content-length", "5"]]), ""),
            ("POST", json!([["content-length", "5"]]), ""),
            ("POST", json!([["content-length", "5"]]), "123456"),
            ("POST", json!([["content-length", "7"]]), "123456"),
            ("DELETE", json!([["content-length", "0"]]), "123456"),
        ] {
            let reply = server.call("web_run", request(&raw, method, "/v1/a", &headers, body));
            assert!(
                reply.text().contains("HttpRequestBodySize"),
                "{guest:?} {method} {headers} {body}: {reply:?}"
            );
        }
        for (method, told) in [("POST", "HttpRequestTrailerSectionSize"), ("GET", "HttpRequestBodySize")] {
            let mut asked = request(&raw, method, "/v1/a", &json!([]), "");
            asked["trailers"] = json!([["x-original-url", "/admin"]]);
            let reply = server.call("web_run", asked);
            assert!(reply.text().contains(told), "{guest:?} {method} with trailers: {reply:?}");
        }
        for name in
            ["transfer-encoding", "te", "trailer", "expect", "upgrade", "connection", "content_length"]
        {
            let asked = request(&raw, "POST", "/v1/a", &json!([[name, "chunked"]]), "123");
            assert!(server.call("web_run", asked).is_error(), "{guest:?} {name}");
        }
        drop(server);
        let whole: Vec<Arrived> =
            raw.requests().concat().into_iter().filter(|request| request.is_whole).collect();
        for request in &whole {
            assert!(
                ["GET", "HEAD"].contains(&request.method.as_str()) && request.body.is_empty(),
                "{guest:?}: {request:?}"
            );
        }
        assert_the_record_is_right(&world, &[whole], &format!("{guest:?}"));
    }
}

#[test]
fn an_empty_body_is_none_and_a_body_arrives_as_it_was_written() {
    for guest in GUESTS {
        let raw = careful();
        let server = world(guest, &raw).serve(Transport::Http);
        let long = "x".repeat(100_000);
        let length = json!([["content-length", long.len().to_string()]]);
        for (method, headers, body) in [
            ("GET", json!([]), ""),
            ("GET", json!([["content-length", "0"]]), ""),
            ("POST", json!([]), ""),
            ("POST", json!([["content-length", "0"]]), ""),
            ("POST", json!([]), long.as_str()),
            ("POST", length.clone(), long.as_str()),
            ("DELETE", json!([]), "x"),
            ("QUERY", json!([["content-length", "1"]]), "x"),
        ] {
            let mut asked = request(&raw, method, "/v1/a", &headers, body);
            if guest.0 == "requesting" {
                asked["opens"] = json!(true);
            }
            let reply = server.call("web_run", asked);
            assert!(!reply.is_error(), "{guest:?} {method} {headers}: {reply:?}");
        }
        drop(server);
        let arrived = raw.requests();
        // The first two share a connection; no other does.
        assert_eq!(arrived.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1, 1, 1, 1, 1], "{guest:?}");
        let arrived = arrived.concat();
        let bodies: Vec<usize> = arrived.iter().map(|request| request.body.len()).collect();
        assert_eq!(bodies, [0, 0, 0, 0, long.len(), long.len(), 1, 1], "{guest:?}");
        for request in &arrived {
            let framing =
                (request.header("content-length").is_some(), request.header("transfer-encoding").is_some());
            assert_ne!(framing, (true, true), "{guest:?}: {request:?}");
            assert_eq!(request.header("connection") == Some("close"), request.method != "GET", "{request:?}");
            assert!(request.is_whole && request.header("trailer").is_none(), "{guest:?}: {request:?}");
        }
        assert_eq!(arrived[5].header("content-length"), Some("100000"), "{guest:?}");
        assert_eq!(arrived[4].header("transfer-encoding"), Some("chunked"), "{guest:?}");
    }
}

fn get(server: &Server, raw: &Raw, path: &str) -> String {
    let reply = server.call("web_run", request(raw, "GET", path, &json!([]), ""));
    assert!(!reply.is_error(), "{path}: {reply:?}");
    let got = reply.structured();
    got["result"]["body"].as_str().or(got["body"].as_str()).unwrap().to_owned()
}

#[test]
fn what_a_server_says_on_a_waiting_connection_answers_nobody() {
    const LATE: &str = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 6\r\n\r\nforged";
    for guest in GUESTS {
        for late in [LATE, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", "\r\n", "x"] {
            let (go, gone): (Sender<()>, Receiver<()>) = channel();
            let (tell, told) = channel();
            let (gone, tell) = (Mutex::new(gone), Mutex::new(tell));
            let raw = Raw::serve(move |peer: &mut Peer| {
                while peer.head().is_some() {
                    peer.answer(&format!("from {}", peer.number()));
                    if peer.number() == 0 {
                        gone.lock().unwrap().recv().unwrap();
                        peer.say(late);
                        tell.lock().unwrap().send(()).unwrap();
                    }
                }
            });
            let server = world(guest, &raw).serve(Transport::Http);
            assert_eq!(get(&server, &raw, "/v1/a"), "from 0");
            go.send(()).unwrap();
            told.recv().unwrap();
            assert_eq!(get(&server, &raw, "/v1/b"), "from 1", "{guest:?} {late:?}");
            drop(server);
            let paths: Vec<Vec<String>> = raw
                .requests()
                .iter()
                .map(|all| all.iter().map(|request| request.path.clone()).collect())
                .collect();
            assert_eq!(paths, [["/v1/a"], ["/v1/b"]], "{guest:?} {late:?}");
        }
    }
}

#[test]
fn a_server_that_gives_up_a_connection_as_it_is_used_again_is_asked_on_another() {
    for guest in GUESTS {
        let raw = Raw::serve(|peer: &mut Peer| {
            peer.head();
            peer.answer(&format!("from {}", peer.number()));
            if peer.head().is_some() && peer.number() == 0 {
                peer.say("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            }
        });
        let server = world(guest, &raw).serve(Transport::Http);
        assert_eq!(get(&server, &raw, "/v1/a"), "from 0");
        assert_eq!(get(&server, &raw, "/v1/b"), "from 1", "{guest:?}");
        // To the first request on a connection, 408 is the answer.
        let raw = Raw::serve(|peer: &mut Peer| {
            peer.head();
            peer.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 5\r\n\r\nreal!");
        });
        let server = world(guest, &raw).serve(Transport::Http);
        assert_eq!(get(&server, &raw, "/v1/a"), "real!", "{guest:?}");
        assert_eq!(raw.connections(), 1);
    }
}

#[test]
fn a_connection_on_which_the_end_of_an_answer_is_in_doubt_is_not_used_again() {
    let answers = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"),
    ];
    for guest in GUESTS {
        for (method, answer) in answers {
            let raw = Raw::serve(move |peer: &mut Peer| {
                while peer.head().is_some() {
                    if peer.number() == 0 {
                        peer.say(answer);
                    } else {
                        peer.answer("own");
                    }
                }
            });
            let server = world(guest, &raw).serve(Transport::Http);
            let reply = server.call("web_run", request(&raw, method, "/v1/a", &json!([]), ""));
            assert!(!reply.is_error(), "{guest:?} {answer:?}: {reply:?}");
            assert_eq!(get(&server, &raw, "/v1/b"), "own", "{guest:?} {answer:?}");
            assert_eq!(raw.connections(), 2, "{guest:?} {answer:?}");
        }
        let raw = Raw::serve(|peer: &mut Peer| {
            peer.head();
            peer.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nHTTP/1.1 200 OK\r\n\r\nforged");
        });
        let server = world(guest, &raw).serve(Transport::Http);
        let reply = server.call("web_run", request(&raw, "GET", "/v1/a", &json!([]), ""));
        assert!(reply.is_error() && !reply.text().contains("forged"), "{guest:?}: {reply:?}");
    }
}

#[test]
fn trailers_that_are_too_long_to_be_handed_on_end_a_request_at_once() {
    for guest in GUESTS {
        let raw = careful();
        let world = world(guest, &raw);
        let server = world.serve(Transport::Http);
        let mut asked = request(&raw, "POST", "/v1/a", &json!([]), "");
        // The guest's library counts each name once, but passes it on with every value.
        let name = "x".repeat(15_000);
        asked["trailers"] = json!(vec![(name, "1"); 8]);
        let reply = server.call("web_run", asked);
        assert!(reply.text().contains("HttpRequestTrailerSectionSize"), "{guest:?}: {reply:?}");
    }
}

#[test]
fn what_plugins_in_workers_send_is_framed_by_the_host_as_well() {
    apart(&[
        an_empty_body_is_none_and_a_body_arrives_as_it_was_written,
        trailers_that_are_too_long_to_be_handed_on_end_a_request_at_once,
    ]);
}
