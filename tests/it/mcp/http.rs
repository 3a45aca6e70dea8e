//! HTTP: which clients and paths are allowed, and how many requests at once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;
use toolgate_tests::client::{PATIENCE, headers};
use toolgate_tests::{Server, Transport};

use super::seven;

fn list(server: &Server, more: &[(&str, &str)]) -> u16 {
    let (_, message) = server.modern("tools/list", json!({}));
    let mut headers = headers(&message);
    headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    server.post(&message.to_string(), &headers).status
}

#[test]
fn a_name_that_was_made_to_resolve_to_this_machine_is_not_served() {
    let server = seven().serve(Transport::Http);
    for host in
        ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", "169.254.169.254", "0.0.0.0"]
    {
        assert_eq!(list(&server, &[("Host", host)]), 403, "{host}");
    }
    for host in ["localhost", "LOCALHOST", "127.0.0.1:1", "[::1]:80"] {
        assert_eq!(list(&server, &[("Host", host)]), 200, "{host}");
    }
    for host in ["a b", "user@localhost", ""] {
        assert_eq!(list(&server, &[("Host", host)]), 400, "{host}");
    }
    let server = seven().server("allowed_hosts = [\"tools.example.com\"]").serve(Transport::Http);
    for (host, status) in
        [("tools.example.com", 200), ("tools.example.com:443", 200), ("tools.example.com.evil", 403)]
    {
        assert_eq!(list(&server, &[("Host", host)]), status, "{host}");
    }
}

#[test]
fn there_is_nothing_beside_mcp_and_the_two_probes() {
    let server = seven().serve(Transport::Http);
    let get = |path: &str| server.http("GET", path, &[], None).status;
    assert_eq!((get("/healthz"), get("/readyz")), (200, 200));
    for path in ["/", "/mcp//", "/mcp/x", "/admin", "/metrics", "/.well-known/x", "//mcp", "/healthz/"] {
        assert_eq!(get(path), 404, "{path}");
    }
    assert_eq!(server.http("POST", "/healthz", &[], Some("{}")).status, 405);
    for method in ["PUT", "PATCH", "OPTIONS", "TRACE"] {
        assert_eq!(server.http(method, "/mcp", &[], None).status, 405, "{method}");
    }
}

#[test]
fn mcp_is_served_with_a_slash_at_the_end_as_well() {
    let server = seven().serve(Transport::Http);
    let (_, message) = server.modern("tools/list", json!({}));
    let reply = server.http("POST", "/mcp/", &headers(&message), Some(&message.to_string()));
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn a_body_of_another_type_is_not_read() {
    let server = seven().serve(Transport::Http);
    let (_, message) = server.modern("tools/list", json!({}));
    for (kind, accept) in
        [("text/plain", "application/json, text/event-stream"), ("application/json", "text/html")]
    {
        let mut headers = headers(&message);
        headers.push(("Content-Type".to_owned(), kind.to_owned()));
        headers.push(("Accept".to_owned(), accept.to_owned()));
        let status = server.post(&message.to_string(), &headers).status;
        assert!([406, 415].contains(&status), "{kind} {accept}: {status}");
    }
}

#[test]
fn a_client_that_says_nothing_holds_up_nobody() {
    let server = seven().serve(Transport::Http);
    let silent: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let mut half = TcpStream::connect(server.address()).unwrap();
    half.write_all(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{").unwrap();
    assert_eq!(list(&server, &[]), 200);
    drop((silent, half));
    assert_eq!(list(&server, &[]), 200);
}

#[test]
fn a_head_without_end_is_cut() {
    let server = seven().serve(Transport::Http);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n").unwrap();
    for number in 0..100_000 {
        if stream.write_all(format!("X-{number}: {}\r\n", "x".repeat(100)).as_bytes()).is_err() {
            break;
        }
    }
    let mut told = Vec::new();
    drop(stream.read_to_end(&mut told));
    assert!(!told.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&told));
    assert_eq!(list(&server, &[]), 200);
}

#[test]
fn two_ways_of_telling_the_length_are_refused() {
    let server = seven().serve(Transport::Http);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let smuggled = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(smuggled.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut told = String::new();
    drop(stream.read_to_string(&mut told));
    assert!(!told.contains("200 OK"), "{told}");
}
