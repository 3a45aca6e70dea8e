//! Misbehaving servers at the other end of a granted request, and guests that try to misuse servers.

use std::io::{Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use toolgate_tests::web::{Web, was_connected};
use toolgate_tests::{Server, Transport, World, test_guest};

/// Guests of WASI 0.2 and 0.3.
const GUESTS: [(&str, &str); 2] = [("requesting", ""), ("fetching", "engine = \"async\"")];

/// Long enough that a test would not end if a call waited for it.
const FOR_EVER: Duration = Duration::from_secs(3_600);

fn world((guest, engine): (&str, &str), rule: &str) -> World {
    World::new()
        .plugin("good", &toolgate_tests::guest::seven())
        .plugin("web", &test_guest(guest))
        .with(engine)
        .grant(&format!("http = [{rule}]"))
        .limit("faults_max = 1000000")
}

fn rule(port: u16) -> String {
    format!(r#"{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true }}"#)
}

fn request(scheme: &str, authority: &str) -> Value {
    json!({ "method": "GET", "scheme": scheme, "authority": authority, "path": "/", "headers": [], "body": "" })
}

/// Handler of a connection.
type Answer = fn(TcpStream);

/// Serves each connection on a thread of its own, and counts connections.
fn serve(answer: Answer) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || answer(stream));
        }
    });
    (port, count)
}

/// Reads a request head.
fn hear(stream: &mut TcpStream) {
    let (mut heard, mut byte) = (Vec::new(), [0]);
    while !heard.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        heard.push(byte[0]);
    }
}

/// Makes several calls at once; each must fail, while a neighbour answers.
fn assert_held(server: &Server, args: &Value, what: &str) {
    let calls: Vec<_> = (0..4).map(|_| server.calling("web_run", args.clone())).collect();
    assert_eq!(server.call("good_seven", json!({})).text(), "7", "{what}: a neighbour");
    for call in calls {
        let reply = call.join().unwrap();
        assert!(reply.is_error(), "{what}: {reply:?}");
    }
}

#[test]
fn a_server_that_stalls_anywhere_costs_a_call_its_time_and_no_more() {
    let stalls: [(&str, &str, Answer); 5] = [
        ("says nothing to a client that would speak TLS", "https", |stream| {
            std::thread::sleep(FOR_EVER);
            drop(stream);
        }),
        ("begins to speak TLS and stops", "https", |mut stream| {
            drop(stream.write_all(&[22, 3, 3, 0x40, 0, 2, 0]));
            std::thread::sleep(FOR_EVER);
        }),
        ("a head byte by byte, for ever", "http", |mut stream| {
            hear(&mut stream);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: "));
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }),
        ("a body byte by byte, for ever", "http", |mut stream| {
            hear(&mut stream);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
            while stream.write_all(b"1\r\nx\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }),
        ("says a few times that it goes on, and does not", "http", |mut stream| {
            hear(&mut stream);
            drop(stream.write_all(&b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(8)));
            std::thread::sleep(FOR_EVER);
        }),
    ];
    for guest in GUESTS {
        for (what, scheme, answer) in stalls {
            let (port, _) = serve(answer);
            let rule = rule(port).replace(r#""http""#, &format!("\"{scheme}\""));
            let world = world(guest, &rule).limit("deadline_ms = 500");
            assert_held(&world.serve(Transport::Http), &request(scheme, &format!("127.0.0.1:{port}")), what);
            let records = world.call_records().into_iter().filter(|record| record["plugin"] == "web");
            let limits: Vec<Value> = records.map(|record| record["outcome"]["limit"].clone()).collect();
            assert_eq!(limits, ["deadline_ms"; 4], "{what}");
        }
    }
}

#[test]
fn a_server_that_says_too_much_before_its_answer_is_not_heard() {
    let floods: [(&str, Answer); 3] = [
        ("one header without end", |mut stream| {
            hear(&mut stream);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nX-Long: "));
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        }),
        ("headers without end", |mut stream| {
            hear(&mut stream);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\n"));
            while stream.write_all(b"X-More: x\r\n").is_ok() {}
        }),
        ("a hundred and one headers", |mut stream| {
            hear(&mut stream);
            let headers = "X-More: x\r\n".repeat(101);
            drop(stream.write_all(format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes()));
        }),
    ];
    for guest in GUESTS {
        for (what, answer) in floods {
            let (port, _) = serve(answer);
            let server = world(guest, &rule(port)).serve(Transport::Http);
            assert_held(&server, &request("http", &format!("127.0.0.1:{port}")), what);
        }
    }
}

#[test]
fn an_answer_whose_length_is_a_riddle_is_none_and_its_connection_is_not_used_again() {
    let riddles: [(&str, Answer); 8] = [
        ("two lengths", |stream| say(stream, "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")),
        ("two lengths in one", |stream| say(stream, "Content-Length: 5, 6\r\n\r\nhello!")),
        ("a length that is negative", |stream| say(stream, "Content-Length: -1\r\n\r\nhello")),
        ("a length with a sign", |stream| say(stream, "Content-Length: +5\r\n\r\nhello")),
        ("a length in base 16", |stream| say(stream, "Content-Length: 0x5\r\n\r\nhello")),
        ("a length of more than there are bytes", |stream| {
            say(stream, "Content-Length: 99999999999999999999999\r\n\r\nhello");
        }),
        ("less than its length", |stream| say(stream, "Content-Length: 50\r\n\r\nhello")),
        ("a chunk of more than there are bytes", |stream| {
            say(stream, "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello");
        }),
    ];
    for guest in GUESTS {
        for (what, answer) in riddles {
            let (port, connections) = serve(answer);
            let server = world(guest, &rule(port)).serve(Transport::Http);
            let asked = request("http", &format!("127.0.0.1:{port}"));
            for n in 1..=2 {
                let reply = server.call("web_run", asked.clone());
                assert!(reply.is_error(), "{what}: {reply:?}");
                assert_eq!(connections.load(Ordering::SeqCst), n, "{what}");
            }
        }
    }
}

/// Sends the rest of a response and closes the sending side.
fn say(mut stream: TcpStream, rest: &str) {
    hear(&mut stream);
    drop(stream.write_all(format!("HTTP/1.1 200 OK\r\n{rest}").as_bytes()));
    drop(stream.shutdown(std::net::Shutdown::Write));
    drop(stream.read(&mut [0]));
}

#[test]
fn a_guest_cannot_hide_a_second_request_in_the_length_of_its_first() {
    let web = Web::lasting(|_, to| {
        drop(to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
    });
    let port = web.address.port();
    let granted = format!(
        r#"{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true, methods = ["GET", "POST"] }}"#
    );
    for guest in GUESTS {
        let server = world(guest, &granted).serve(Transport::Http);
        let mut asked = request("http", &format!("127.0.0.1:{port}"));
        (asked["method"], asked["body"]) =
            (json!("POST"), json!("GET /second HTTP/1.1\r\nHost: evil\r\n\r\n"));
        for headers in [
            json!([["content-length", "0"]]),
            json!([["content-length", "5"], ["content-length", "6"]]),
            json!([["content-length", "7"]]),
            json!([["content-length", "1000"]]),
            json!([["transfer-encoding", "chunked"]]),
            json!([["transfer-encoding", "identity"], ["content-length", "3"]]),
        ] {
            asked["headers"] = headers.clone();
            // Refused, truncated to that length, or sent with the right length.
            server.call("web_run", asked.clone());
        }
        server.call("web_run", request("http", &format!("127.0.0.1:{port}")));
    }
    let heard = web.heard();
    assert!(heard.iter().any(|request| request.starts_with("GET / ")), "{heard:?}");
    for request in heard {
        assert!(request.starts_with("POST / HTTP/1.1\r\n") || request.starts_with("GET / "), "{request}");
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        assert!(length.is_none_or(|length| body.len() <= length), "{request}");
        assert_eq!(
            head.matches("content-length").count() + head.matches("transfer-encoding").count(),
            usize::from(head.starts_with("POST")),
            "{request}"
        );
    }
}

#[test]
fn tunnels_and_echoes_are_methods_that_no_grant_gives() {
    for method in ["CONNECT", "TRACE", "get", "GET /", ""] {
        let rule = format!(r#"http = [{{ host = "api.example.com", methods = ["{method}"] }}]"#);
        let check = World::new().plugin("web", &test_guest("requesting")).grant(&rule).run(&["check"]);
        assert_eq!(check.code, 2, "{method}: {}", check.said());
        assert!(check.stderr.contains("not a method that can be granted"), "{method}: {}", check.stderr);
    }
}

#[test]
fn a_thousand_requests_end_at_the_thirty_second_and_scan_no_ports() {
    let listeners: Vec<TcpListener> = (0..40).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    let world = world(GUESTS[0], &rule(ports[0]));
    let server = world.serve(Transport::Http);
    // A port that is not granted is refused, whether it has a listener or not.
    for port in &ports[1..] {
        let reply = server.call("web_run", request("http", &format!("127.0.0.1:{port}")));
        assert!(reply.text().contains("Denied"), "{reply:?}");
    }
    assert!(listeners[1..].iter().take(3).all(|listener| !was_connected(listener)));
    let mut many = request("http", &format!("127.0.0.1:{}", ports[1]));
    many["times"] = json!(1_000);
    let reply = server.call("web_run", many);
    assert!(reply.text().contains("http_requests_max = 32"), "{reply:?}");
}
