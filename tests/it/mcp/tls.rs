//! TLS that ends at the server, or at a proxy in front of it.

use serde_json::{Value, json};
use toolgate_tests::client::headers;
use toolgate_tests::tls::{Certificate, Http2, connect, post};
use toolgate_tests::{Server, Transport, World};

use super::seven;

const TLS: &str = "tls = { cert = \"chain.pem\", key = \"key.pem\" }";

/// A world whose server has this certificate.
pub(super) fn with(certificate: &Certificate) -> World {
    let world = seven().server(TLS);
    certificate.put(&world);
    world
}

fn initialize() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" },
    } })
}

/// A call and its headers.
pub(super) fn call(server: &Server) -> (Vec<(String, String)>, String) {
    let (_, message) = server.modern("tools/call", json!({ "name": "seven_seven", "arguments": {} }));
    let named = headers(&message).into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    (named.collect(), message.to_string())
}

#[test]
fn a_client_of_either_version_of_http_begins_and_calls_over_tls() {
    let certificate = Certificate::until(2999);
    let server = with(&certificate).serve(Transport::Http);
    let (headers, message) = call(&server);

    let mut one = connect(&server, &certificate, "http/1.1");
    let begun = post(&mut one, &[], &initialize().to_string());
    assert!(begun.status == 200 && begun.body.contains("2025-06-18"), "{begun:?}");
    let called = post(&mut one, &headers, &message);
    assert!(called.status == 200 && called.body.contains("7"), "{called:?}");
    assert_eq!(one.conn.alpn_protocol(), Some(&b"http/1.1"[..]));

    let mut two = Http2::connect(&server, &certificate);
    let (is_ok, begun) = two.post(&[], &initialize().to_string());
    assert!(is_ok && begun.contains("2025-06-18"), "{begun}");
    let (is_ok, called) = two.post(&headers, &message);
    assert!(is_ok && called.contains("\"7\""), "{called}");
}

#[test]
fn a_request_in_plain_text_is_not_answered_where_tls_is() {
    use std::io::{Read as _, Write as _};
    let certificate = Certificate::until(2999);
    let server = with(&certificate).serve(Transport::Http);
    let mut plain = std::net::TcpStream::connect(server.address()).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut told = Vec::new();
    drop(plain.read_to_end(&mut told));
    assert!(!told.starts_with(b"HTTP/"), "{told:?}");
}

#[test]
fn http2_is_not_served_without_tls() {
    use std::io::{Read as _, Write as _};
    let server = seven().serve(Transport::Http);
    let mut plain = std::net::TcpStream::connect(server.address()).unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut told = Vec::new();
    drop(plain.read_to_end(&mut told));
    assert!(told.is_empty() || told.starts_with(b"HTTP/1.1 4"), "{told:?}");
}

#[test]
fn a_certificate_that_clients_would_refuse_stops_the_start_and_check_says_so() {
    let world = with(&Certificate::until(2025));
    let other = Certificate::until(2999);
    for (what, prepare) in [
        ("server.tls.cert: ", None),
        ("it is not the key of the certificate in", Some(other.cert.as_bytes())),
    ] {
        if let Some(cert) = prepare {
            world.put("chain.pem", cert, 0o644);
        }
        for command in ["serve", "check"] {
            let ended = world.run(&[command]);
            assert_eq!(ended.code, 2, "{}", ended.said());
            assert!(ended.stderr.contains(what), "{}", ended.said());
        }
    }
    let expired = with(&Certificate::until(2025)).run(&["check"]);
    assert!(expired.stderr.contains("expired at 2025-12-31T00:00:00Z; renew it"), "{}", expired.said());
    world.put("key.pem", other.key.as_bytes(), 0o644);
    let open = world.run(&["check"]);
    assert!(open.stderr.contains("others can read it; run `chmod o-rwx` on it"), "{}", open.said());
    other.put(&world);
    assert_eq!(world.run(&["check"]).code, 0);
}

#[test]
fn a_new_certificate_is_for_new_connections_and_a_bad_one_for_none() {
    let (first, second) = (Certificate::until(2998), Certificate::until(2999));
    let world = with(&first);
    let server = world.serve(Transport::Http);
    let (headers, message) = call(&server);
    let mut old = connect(&server, &first, "http/1.1");
    assert_eq!(post(&mut old, &headers, &message).status, 200);

    world.put("chain.pem", second.cert.as_bytes(), 0o644);
    server.signal("HUP");
    server.wait_for_log("the configuration cannot be used");
    assert!(server.log().contains("it is not the key of the certificate in"), "{}", server.log());
    assert_eq!(post(&mut connect(&server, &first, "http/1.1"), &headers, &message).status, 200);

    second.put(&world);
    server.signal("HUP");
    server.wait_for_log("new connections get the new certificate");
    let mut new = connect(&server, &second, "http/1.1");
    assert_eq!(post(&mut new, &headers, &message).status, 200);
    assert_eq!(new.conn.peer_certificates(), Some(&[second.der.clone()][..]));
    assert_eq!(post(&mut old, &headers, &message).status, 200);
    assert_eq!(old.conn.peer_certificates(), Some(&[first.der.clone()][..]));
}

#[test]
fn other_machines_are_served_with_authentication_and_tls_only() {
    let tls = with(&Certificate::until(2999));
    let proxy = seven().server("tls = \"proxy\"\ntrusted_proxies = [\"10.0.0.0/8\"]");
    for world in [&tls, &proxy] {
        let ended = world.run(&["serve", "--listen", "0.0.0.0:0"]);
        assert_eq!(ended.code, 2, "{}", ended.said());
        assert!(ended.stderr.contains("[auth] is missing"), "{}", ended.said());
    }
    let ended = seven().server("listen = \"0.0.0.0:7411\"").run(&["serve"]);
    assert_eq!(ended.code, 2, "{}", ended.said());
    assert!(ended.stderr.contains("[auth]") && ended.stderr.contains("[server.tls]"), "{}", ended.said());
    for line in ["tls = \"proxy\"", "trusted_proxies = [\"10.0.0.0/8\"]", "tls = \"on\"", "tls = {}"] {
        let ended = seven().server(line).run(&["check"]);
        assert_eq!(ended.code, 2, "{line} {}", ended.said());
    }
}

#[test]
fn a_trusted_proxy_says_where_a_request_comes_from_and_nobody_else_does() {
    let record = |world: &World, forwarded: &str| {
        let server = world.serve(Transport::Http);
        let (mut headers, message) = call(&server);
        headers.push(("x-forwarded-for".to_owned(), forwarded.to_owned()));
        let status = server.post(&message, &headers).status;
        (status, world.call_records().last().map(ToString::to_string).unwrap_or_default())
    };
    let trusting = seven().server("tls = \"proxy\"\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let (status, line) = record(&trusting, "192.0.2.1, 203.0.113.7");
    assert!(status == 200 && line.contains("http@203.0.113.7"), "{status} {line}");
    assert_eq!(record(&trusting, "unknown").0, 400);
    let (status, line) = record(&seven(), "203.0.113.7");
    assert!(status == 200 && line.contains("http@127.0.0.1"), "{status} {line}");
}

#[test]
fn the_public_url_is_a_host_that_may_be_named_and_not_an_origin() {
    let server = seven().server("public_url = \"https://tools.example.com\"").serve(Transport::Http);
    let status = |name: &str, value: &str| {
        let (mut headers, message) = call(&server);
        headers.push((name.to_owned(), value.to_owned()));
        server.post(&message, &headers).status
    };
    assert_eq!(status("Host", "tools.example.com"), 200);
    assert_eq!(status("Host", "other.example.com"), 403);
    assert_eq!(status("Origin", "https://tools.example.com"), 403);
    assert_eq!(status("X-Forwarded-Host", "other.example.com"), 200);
    let ended = seven().server("public_url = \"http://tools.example.com\"").run(&["check"]);
    assert_eq!(ended.code, 2, "{}", ended.said());
    assert!(ended.stderr.contains("is not https"), "{}", ended.said());
}
