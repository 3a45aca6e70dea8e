//! Authentication over HTTP: API keys, and every route and method without a credential.

use std::io::Read as _;

use serde_json::{Value, json};
use toolgate_tests::client::headers;
use toolgate_tests::identity::{CHALLENGE, INVALID, bearer};
use toolgate_tests::{HttpReply, Server, Transport, World};

use super::seven;

/// Permits everything to everybody who has a credential.
pub(super) const ALL: &str = "[[allow]]\nid = \"all\"\ntools = {}\n";

/// A server with one API key.
fn keyed() -> (World, Server, String) {
    let world = seven().authenticated(ALL);
    world.write();
    let key = world.api_key("ci", &[]);
    let server = world.serve(Transport::Http);
    (world, server, key)
}

/// Posts a call of `seven_seven` with these headers.
fn post(server: &Server, more: &[(&str, &str)]) -> HttpReply {
    let (_, message) = server.modern("tools/call", json!({ "name": "seven_seven", "arguments": {} }));
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    server.post(&message.to_string(), &headers(&message).into_iter().chain(more).collect::<Vec<_>>())
}

fn assert_refused(reply: &HttpReply, status: u16, challenge: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.header("WWW-Authenticate"), Some(challenge), "{reply:?}");
    assert_eq!(reply.header("Cache-Control"), Some("no-store"), "{reply:?}");
}

/// The key with its last character changed.
fn misspelt(key: &str) -> String {
    let other = if key.ends_with('0') { '1' } else { '0' };
    format!("{}{other}", &key[..key.len() - 1])
}

#[test]
fn an_api_key_calls_in_every_revision_and_nobody_calls_without() {
    let (world, server, key) = keyed();
    assert_eq!(server.call_as(&key, "seven_seven", json!({})).text(), "7");
    for version in ["2025-06-18", "2025-11-25"] {
        let mut session = server.session_as(&key, version);
        let call =
            json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": { "name": "seven_seven" } });
        let without = server.post(&call.to_string(), &session);
        assert_refused(&without, 401, CHALLENGE);
        session.push(bearer(&key));
        let called = server.post(&call.to_string(), &session).message();
        assert_eq!(called["result"]["content"][0]["text"], "7", "{called}");
    }
    assert_refused(&post(&server, &[]), 401, CHALLENGE);
    let records = world.call_records();
    assert_eq!(records.len(), 3, "{records:?}");
    assert!(records.iter().all(|record| record.to_string().contains("apikey/ci")), "{records:?}");
}

#[test]
fn every_method_is_challenged_before_anything_else_without_a_credential() {
    let (_world, server, _) = keyed();
    for method in [
        "server/discover",
        "initialize",
        "ping",
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "prompts/list",
        "prompts/get",
        "completion/complete",
        "subscriptions/listen",
        "tasks/get",
        "notifications/cancelled",
        "no/such",
    ] {
        let (_, message) = server.modern(method, json!({}));
        let reply = server.post(&message.to_string(), &headers(&message));
        assert_refused(&reply, 401, CHALLENGE);
        assert!(!reply.body.contains("jsonrpc"), "{method}: {reply:?}");
    }
    for body in ["", "{", "[]", "\u{feff}{}"] {
        assert_refused(&server.post(body, &[]), 401, CHALLENGE);
    }
    let session = ("Mcp-Session-Id".to_owned(), "none".to_owned());
    for method in ["GET", "DELETE"] {
        assert_refused(&server.http(method, "/mcp", &[], None), 401, CHALLENGE);
        assert_refused(&server.http(method, "/mcp", std::slice::from_ref(&session), None), 401, CHALLENGE);
    }
}

#[test]
fn a_challenge_comes_before_the_body_is_sent() {
    let (_world, server, _) = keyed();
    let length = ("Content-Length".to_owned(), "1000000".to_owned());
    let kind = ("Content-Type".to_owned(), "application/json".to_owned());
    let mut stream = server.open("POST", "/mcp", &[length, kind], None);
    let mut told = [0; 12];
    stream.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 401");
}

#[test]
fn metadata_and_health_are_for_everybody_and_do_not_follow_the_request() {
    let (_world, server, _) = keyed();
    let expected = json!({ "resource": "https://tools.example.com/mcp", "scopes_supported": ["tools:read"],
        "bearer_methods_supported": ["header"] });
    let forwarded = |name: &str| (name.to_owned(), "evil.example".to_owned());
    let more = [
        forwarded("X-Forwarded-Host"),
        forwarded("X-Forwarded-Server"),
        forwarded("Forwarded"),
        ("X-Forwarded-Proto".to_owned(), "http".to_owned()),
    ];
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        for more in [&[][..], &more, &[("Host".to_owned(), "tools.example.com".to_owned())]] {
            let reply = server.http("GET", path, more, None);
            assert_eq!(reply.status, 200, "{reply:?}");
            assert_eq!(serde_json::from_str::<Value>(&reply.body).unwrap(), expected);
            assert_eq!(reply.header("Access-Control-Allow-Origin"), Some("*"));
        }
        assert_eq!(server.http("GET", path, &[forwarded("Host")], None).status, 403);
        assert_eq!(server.http("POST", path, &[], Some("{}")).status, 405);
    }
    let (_, message) = server.modern("ping", json!({}));
    let reply = server.post(&message.to_string(), &[headers(&message), more.to_vec()].concat());
    assert_refused(&reply, 401, CHALLENGE);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.http("GET", path, &[], None).status, 200);
    }
    assert_eq!(server.http("GET", "/.well-known/oauth-authorization-server", &[], None).status, 404);
}

#[test]
fn a_preflight_needs_no_credential_and_a_page_may_read_the_challenge() {
    let world = seven().server("allowed_origins = [\"http://app.example:3000\"]").authenticated(ALL);
    let server = world.serve(Transport::Http);
    let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let preflight = [
        of("Origin", "http://app.example:3000"),
        of("Access-Control-Request-Method", "POST"),
        of("Access-Control-Request-Headers", "authorization,mcp-method"),
    ];
    let reply = server.http("OPTIONS", "/mcp", &preflight, None);
    assert_eq!(reply.status, 204, "{reply:?}");
    let allowed = reply.header("Access-Control-Allow-Headers").unwrap().to_ascii_lowercase();
    assert!(allowed.contains("authorization"), "{reply:?}");
    let (_, message) = server.modern("ping", json!({}));
    let reply = server.post(&message.to_string(), &[headers(&message), preflight[..1].to_vec()].concat());
    assert_refused(&reply, 401, CHALLENGE);
    let exposed = reply.header("Access-Control-Expose-Headers").unwrap().to_ascii_lowercase();
    assert!(exposed.contains("www-authenticate") && exposed.contains("retry-after"), "{reply:?}");
    let other = [of("Origin", "https://evil.example"), preflight[1].clone()];
    assert_eq!(server.http("OPTIONS", "/mcp", &other, None).status, 403);
}

#[test]
fn a_credential_counts_once_and_in_its_header_only() {
    let (world, server, key) = keyed();
    let right = format!("Bearer {key}");
    let lower = format!("bearer {key}");
    assert_eq!(post(&server, &[("Authorization", &lower)]).status, 200);
    let (_, message) = server.modern("ping", json!({}));
    let query = format!("/mcp?access_token={key}");
    for more in [vec![], vec![bearer(&key)]] {
        let sent = [headers(&message), more].concat();
        let reply = server.http("POST", &query, &sent, Some(&message.to_string()));
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.header("WWW-Authenticate").unwrap().starts_with("Bearer error=\"invalid_request\""));
    }
    let twice = post(&server, &[("Authorization", &right), ("Authorization", &right)]);
    assert_eq!(twice.status, 400, "{twice:?}");
    assert_eq!(post(&server, &[("Authorization", &format!("{right}, {right}"))]).status, 400);
    for (name, value) in [
        ("Cookie", format!("access_token={key}")),
        ("Proxy-Authorization", right.clone()),
        ("X-Api-Key", key.clone()),
    ] {
        assert_refused(&post(&server, &[(name, &value)]), 401, CHALLENGE);
    }
    for scheme in ["Basic", "Digest", "Token"] {
        let reply = post(&server, &[("Authorization", &format!("{scheme} {key}"))]);
        assert_eq!(reply.status, 401, "{reply:?}");
    }
    let told = format!("{}{:?}", server.log(), world.records());
    assert!(!told.contains(&key) && !told.contains(&key[13..]), "a key was written down");
}

#[test]
fn keys_that_are_misspelt_unknown_or_of_the_past_are_refused_alike() {
    let (world, server, key) = keyed();
    let unknown = {
        let other = seven().authenticated(ALL);
        other.write();
        other.api_key("other", &[])
    };
    let bodies = [misspelt(&key), unknown, "tgk_".to_owned()].map(|wrong| {
        let reply = post(&server, &[("Authorization", &format!("Bearer {wrong}"))]);
        assert_refused(&reply, 401, INVALID);
        reply.body
    });
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");

    let text = std::fs::read_to_string(world.path("keys.toml")).unwrap();
    let until = text.lines().find(|line| line.starts_with("not_after")).unwrap().to_owned();
    let past = text.replace(&until, "not_after = 2026-01-01T00:00:00Z");
    world.put("keys.toml", past.as_bytes(), 0o600);
    server.wait_until("the key has expired", || server.post_as(&key, "ping", json!({})).status == 401);
    let records = world.records();
    let failed: Vec<_> = records.iter().filter(|record| record["event"] == "auth-failed").collect();
    assert_eq!(failed.len(), 1, "one a minute of a source: {failed:?}");
    assert_eq!(failed[0]["source"], "127.0.0.1");
    let told = format!("{}{records:?}", server.log());
    assert!(!told.contains(&key) && !told.contains(&key[13..]), "a key was written down");
}

#[test]
fn a_revoked_key_calls_no_more_and_its_streams_end_while_those_of_others_go_on() {
    let world = seven().authenticated(ALL);
    world.write();
    let (key, other) = (world.api_key("ci", &[]), world.api_key("other", &[]));
    let server = world.serve(Transport::Http);
    let mut session = server.session_as(&key, "2025-11-25");
    session.push(bearer(&key));
    let mut stream = server.open("GET", "/mcp", &session, None);
    let mut told = [0; 12];
    stream.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 200");
    let listen = |key: &str| {
        let (_, listen) =
            server.modern("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
        let mut stream = server.open(
            "POST",
            "/mcp",
            &[headers(&listen), vec![bearer(key)]].concat(),
            Some(&listen.to_string()),
        );
        let mut told = [0; 12];
        stream.read_exact(&mut told).unwrap();
        assert_eq!(&told, b"HTTP/1.1 200");
        stream
    };
    let (mut modern, others) = (listen(&key), listen(&other));

    assert_eq!(world.run_as_is(&["apikey", "revoke", &key[4..12]]).code, 0);
    for stream in [&mut stream, &mut modern] {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("it ends");
    }
    assert_refused(&server.post_as(&key, "ping", json!({})), 401, INVALID);
    assert_eq!(server.call_as(&other, "seven_seven", json!({})).text(), "7");
    others.set_nonblocking(true).unwrap();
    let goes_on = loop {
        match (&others).read(&mut [0; 1024]) {
            Ok(0) => break false,
            Ok(_) => {}
            Err(error) => break error.kind() == std::io::ErrorKind::WouldBlock,
        }
    };
    assert!(goes_on, "the stream of another key goes on");
}

#[test]
fn twenty_failures_of_a_source_are_answered_with_a_time_to_wait() {
    let (world, server, key) = keyed();
    let wrong = misspelt(&key);
    for _ in 0..20 {
        assert_refused(&server.post_as(&wrong, "ping", json!({})), 401, INVALID);
    }
    let reply = server.post_as(&wrong, "ping", json!({}));
    assert_eq!(reply.status, 429, "{reply:?}");
    let seconds: u64 = reply.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{reply:?}");
    assert_eq!(reply.header("WWW-Authenticate"), None);
    let failed = world.records().iter().filter(|record| record["event"] == "auth-failed").count();
    assert_eq!(failed, 1);
}

#[test]
fn a_key_is_shown_once_and_never_stored() {
    let (world, _server, key) = keyed();
    let listed = world.run_as_is(&["apikey", "list"]);
    assert!(listed.stdout.contains("ci") && !listed.said().contains(&key[13..]), "{}", listed.said());
    let stored = std::fs::read_to_string(world.path("keys.toml")).unwrap();
    assert!(!stored.contains(&key[13..]), "{stored}");
}
