//! Attempts to reach an address that is not granted.

use std::net::TcpListener;

use serde_json::{Value, json};
use toolgate_tests::web::was_connected;
use toolgate_tests::{World, test_guest};

fn request(authority: &str) -> Value {
    json!({ "method": "GET", "scheme": "http", "authority": authority, "path": "/", "headers": [], "body": "" })
}

#[test]
fn no_spelling_of_this_machine_is_reached_without_a_grant_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = World::new().plugin("web", &test_guest("requesting")).grant(
        r#"http = [{ scheme = "http", host = "*.example.com" }, { scheme = "http", host = "example.org" }]"#,
    );
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "017700000001",
        "0x7f.1",
        "0177.0x0.0.01",
        "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
        "127\u{3002}0\u{3002}0\u{3002}1",
        "%31%32%37.0.0.1",
        "127.0.0.1%00.example.com",
        "127.0.0.1%2f.example.com",
        "localhost",
        "localhost.",
        "\u{24db}ocalhost",
        "LOCALHOST",
        "example.org@127.0.0.1",
        "127.0.0.1#.example.com",
        "127.0.0.1\\.example.com",
        "127.0.0.1/.example.com",
        "0",
        "0.0.0.0",
    ] {
        let reply = world.ask("web_run", &request(&format!("{host}:{port}")));
        assert!(reply.is_error(), "{host}: {reply:?}");
    }
    assert!(!was_connected(&listener));
}

#[test]
fn an_address_of_this_machine_is_not_reached_by_granting_a_name_that_leads_there() {
    // Like a resolver that changes its answer: the name is granted, and its address is still checked.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in [
        "localhost",
        "localhost.",
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "\u{24db}ocalhost",
    ] {
        let rule = format!(r#"http = [{{ scheme = "http", host = "{host}", port = {port} }}]"#);
        let world = World::new().plugin("web", &test_guest("requesting")).grant(&rule);
        let ended = world.call("web_run", &request(&format!("{host}:{port}")));
        assert!([1, 2].contains(&ended.code), "{host}: {}", ended.said());
    }
    assert!(!was_connected(&listener));
}

#[test]
fn a_header_cannot_carry_a_second_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let rule =
        format!(r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true }}]"#);
    let world = World::new().plugin("web", &test_guest("requesting")).grant(&rule);
    for headers in [
        json!([["x-a", "b\r\nHost: evil.example"]]),
        json!([["x-a\r\nHost", "evil.example"]]),
        json!([["host", "evil.example"]]),
        json!([["connection", "upgrade"]]),
        json!([["transfer-encoding", "chunked"]]),
    ] {
        let mut asked = request(&format!("127.0.0.1:{port}"));
        asked["headers"] = headers.clone();
        let reply = world.ask("web_run", &asked);
        assert!(reply.is_error(), "{headers}: {reply:?}");
    }
    assert!(!was_connected(&listener));
}
