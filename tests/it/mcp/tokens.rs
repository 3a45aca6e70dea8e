//! Tokens of an issuer over HTTP: which are taken, and the sessions and streams of those who hold them.

use std::io::Read as _;

use serde_json::{Value, json};
use toolgate_tests::client::headers;
use toolgate_tests::identity::{ISSUER, Issuer, PUBLIC_URL, bearer, now_s};
use toolgate_tests::{HttpReply, Server, Transport, World};

use super::auth::ALL;
use super::seven;

/// A world whose issuer has `more` in its section; `rules` follow.
fn issued(world: World, issuer: &Issuer, more: &str, rules: &str) -> World {
    world.authenticated(&format!("{}{rules}", Issuer::section(more))).file("jwks.json", &issuer.jwks())
}

fn serve(more: &str) -> (World, Issuer, Server) {
    let issuer = Issuer::new();
    let world = issued(seven(), &issuer, more, ALL);
    let server = world.serve(Transport::Http);
    (world, issuer, server)
}

fn ping(server: &Server, token: &str) -> HttpReply {
    server.post_as(token, "tools/list", json!({}))
}

fn call(id: u32) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "seven_seven" } })
        .to_string()
}

#[test]
fn a_token_for_this_server_calls_in_every_revision_and_is_named_in_the_record() {
    let (world, issuer, server) = serve("");
    let token = issuer.token("alice", json!({}));
    assert_eq!(server.call_as(&token, "seven_seven", json!({})).text(), "7");
    for version in ["2025-06-18", "2025-11-25"] {
        let mut session = server.session_as(&token, version);
        session.push(bearer(&token));
        assert_eq!(server.post(&call(3), &session).message()["result"]["content"][0]["text"], "7");
    }
    let many =
        issuer.token("alice", json!({ "aud": ["https://other.example", format!("{PUBLIC_URL}/mcp")] }));
    assert_eq!(ping(&server, &many).status, 200);
    let records = world.call_records();
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|record| record.to_string().contains("corp/alice")), "{records:?}");
    let told = format!("{}{:?}", server.log(), world.records());
    assert!(!token.split('.').any(|part| told.contains(part)), "a part of a token was written down");
}

#[test]
fn tokens_that_are_not_for_this_server_and_now_are_refused_and_only_expiry_is_told_apart() {
    let (world, issuer, server) = serve("");
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k" });
    let with = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        issuer.sign(&header, &Issuer::claims("alice", json!({})))
    };
    let good = issuer.token("alice", json!({}));
    let unsigned = {
        let none = with("alg", json!("none"));
        format!("{}.", none.rsplit_once('.').unwrap().0)
    };
    let wrong = [
        ("audience", issuer.token("alice", json!({ "aud": "https://other.example/mcp" }))),
        ("audience with a slash", issuer.token("alice", json!({ "aud": format!("{PUBLIC_URL}/mcp/") }))),
        ("no audience", issuer.token("alice", json!({ "aud": [] }))),
        ("issuer", issuer.token("alice", json!({ "iss": "https://evil.example" }))),
        ("issuer with a slash", issuer.token("alice", json!({ "iss": format!("{ISSUER}/") }))),
        ("key", Issuer::new().token("alice", json!({}))),
        ("none", with("alg", json!("none"))),
        ("unsigned", unsigned),
        ("HS256", with("alg", json!("HS256"))),
        ("id_token", with("typ", json!("JWT"))),
        ("key in the header", with("jwk", json!({ "kty": "EC" }))),
        ("critical", with("crit", json!(["b64"]))),
        ("later", issuer.token("alice", json!({ "nbf": now_s() + 120 }))),
        ("no end", issuer.token("alice", json!({ "exp": null }))),
        ("end as a text", issuer.token("alice", json!({ "exp": "9999999999" }))),
    ];
    let mut bodies = wrong.map(|(what, token)| {
        let reply = ping(&server, &token);
        assert_eq!(reply.status, 401, "{what}: {reply:?}");
        reply.body
    });
    bodies.sort();
    assert_eq!(bodies.first(), bodies.last());
    assert!(bodies[0].contains("the token is not valid here"), "{}", bodies[0]);
    let expired = ping(&server, &issuer.token("alice", json!({ "exp": now_s() - 31 })));
    assert!(expired.status == 401 && expired.body.contains("the token has expired"), "{expired:?}");
    assert_eq!(ping(&server, &good).status, 200);
    assert!(world.call_records().is_empty());
}

#[test]
fn a_session_is_its_partys_and_a_refreshed_token_keeps_it() {
    let (_world, issuer, server) = serve("");
    let token = |subject: &str, client: &str| {
        issuer.token(subject, json!({ "client_id": client, "jti": format!("{subject}{client}{}", now_s()) }))
    };
    for version in ["2025-06-18", "2025-11-25"] {
        let session = server.session_as(&token("alice", "client"), version);
        let with = |token: String| [session.clone(), vec![bearer(&token)]].concat();
        for other in [with(token("bob", "client")), with(token("alice", "other"))] {
            let refused = server.post(&call(1), &other);
            assert_eq!(refused.status, 404, "{refused:?}");
            let unknown =
                [other[1..].to_vec(), vec![("Mcp-Session-Id".to_owned(), "none".to_owned())]].concat();
            assert_eq!(server.post(&call(1), &unknown).body, refused.body);
            for method in ["GET", "DELETE"] {
                let refused = server.http(method, "/mcp", &other, None);
                assert_eq!(refused.status, 404, "{method}: {refused:?}");
                assert_eq!(server.http(method, "/mcp", &unknown, None).body, refused.body);
            }
        }
        let refreshed = issuer.token("alice", json!({ "jti": "refreshed", "exp": now_s() + 600 }));
        let called = server.post(&call(2), &with(refreshed.clone())).message();
        assert_eq!(called["result"]["content"][0]["text"], "7", "{called}");
        assert_eq!(server.http("DELETE", "/mcp", &with(refreshed), None).status, 204);
    }
}

#[test]
fn a_stream_ends_when_its_token_does() {
    let (_world, issuer, server) = serve("clock_skew_s = 0");
    let token = issuer.token("alice", json!({ "exp": now_s() + 4 }));
    let mut session = server.session_as(&token, "2025-11-25");
    session.push(bearer(&token));
    let (_, listen) =
        server.modern("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let modern = [headers(&listen), vec![bearer(&token)]].concat();
    let streams = [
        server.open("GET", "/mcp", &session, None),
        server.open("POST", "/mcp", &modern, Some(&listen.to_string())),
    ];
    for mut stream in streams {
        let mut told = Vec::new();
        stream.read_to_end(&mut told).expect("it ends");
        assert!(told.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&told));
        assert!(told.ends_with(b"0\r\n\r\n"), "in order: {}", String::from_utf8_lossy(&told));
    }
    let refused = ping(&server, &token);
    assert!(refused.status == 401 && refused.body.contains("has expired"), "{refused:?}");
}
