//! `http`: requests that may share a connection, and those that never do.

use std::io::Write;

use serde_json::{Value, json};
use toolgate_tests::process::{connections_to, wait_until};
use toolgate_tests::web::{Web, respond};
use toolgate_tests::{Server, Transport, World, apart, test_guest};

fn answer(to: &mut dyn Write, body: &str) {
    drop(to.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()));
}

fn small(heard: &str, to: &mut dyn Write) {
    if heard.starts_with("HEAD") {
        drop(to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"));
    } else {
        answer(to, "hello");
    }
}

/// A rule for paths with a prefix.
fn rule(web: &Web, paths: &str) -> String {
    format!(
        r#"{{ scheme = "http", host = "127.0.0.1", port = {}, private = true, paths = ["{paths}"], methods = ["GET", "HEAD"] }}"#,
        web.address.port()
    )
}

fn requesting(web: &Web) -> World {
    World::new().plugin("web", &test_guest("requesting")).grant(&format!("http = [{}]", rule(web, "/*")))
}

fn request(web: &Web, path: &str, times: u32) -> Value {
    json!({ "method": "GET", "scheme": "http", "authority": web.address.to_string(), "path": path, "headers": [], "body": "", "times": times })
}

fn fetch(server: &Server, tool: &str, args: Value) -> String {
    let reply = server.call(tool, args);
    assert!(!reply.is_error(), "{reply:?}");
    reply.structured()["result"]["body"].as_str().or(reply.structured()["body"].as_str()).unwrap().to_owned()
}

#[test]
fn requests_of_a_call_and_of_the_next_share_a_connection() {
    let web = Web::lasting(small);
    let server = requesting(&web).serve(Transport::Http);
    for _ in 0..3 {
        assert_eq!(fetch(&server, "web_run", request(&web, "/", 3)), "hello");
    }
    assert_eq!((web.heard().len(), web.connections()), (9, 1));
    // A HEAD request reuses the connection, but nothing follows it there, since a server may wrongly send a body.
    let mut head = request(&web, "/", 1);
    head["method"] = json!("HEAD");
    assert!(!server.call("web_run", head).is_error());
    assert_eq!((web.heard().len(), web.connections()), (10, 1));
    assert_eq!(fetch(&server, "web_run", request(&web, "/", 1)), "hello");
    assert_eq!((web.heard().len(), web.connections()), (11, 2));
}

/// A world with TLS, with the certificates in `ca.pem`, and a request.
fn over_tls(web: &Web) -> (World, Value) {
    let port = web.address.port();
    let rule = format!(r#"http = [{{ host = "localhost", port = {port}, private = true, ca = "ca.pem" }}]"#);
    let world = World::new().plugin("web", &test_guest("requesting")).grant(&rule).file("ca.pem", &web.ca);
    let mut asked = request(web, "/", 1);
    (asked["scheme"], asked["authority"]) = (json!("https"), json!(format!("localhost:{port}")));
    (world, asked)
}

#[test]
fn a_session_of_tls_ends_with_its_connection() {
    let web = Web::tls(|_, to| respond(to, "200 OK", &[], "hello"));
    let (world, asked) = over_tls(&web);
    let server = world.serve(Transport::Http);
    for _ in 0..4 {
        assert_eq!(fetch(&server, "web_run", asked.clone()), "hello");
    }
    drop(server);
    assert_eq!((web.connections(), web.resumed()), (4, 0));
}

#[test]
fn a_certificate_authority_that_is_taken_out_of_its_file_counts_no_longer() {
    let (web, other) = (Web::tls(small), Web::tls(small));
    let (world, asked) = over_tls(&web);
    let server = world.serve(Transport::Http);
    for _ in 0..2 {
        assert_eq!(fetch(&server, "web_run", asked.clone()), "hello");
    }
    assert_eq!(web.connections(), 1);
    // Neither for new connections nor for the idle one.
    world.put("ca.pem", other.ca.as_bytes(), 0o644);
    let reply = server.call("web_run", asked.clone());
    assert!(reply.text().contains("Tls"), "{reply:?}");
    world.put("ca.pem", b"none", 0o644);
    assert!(server.call("web_run", asked.clone()).text().contains("Tls"));
    std::fs::remove_file(world.path("ca.pem")).unwrap();
    assert!(server.call("web_run", asked.clone()).text().contains("Tls"));
    world.put("ca.pem", format!("{}{}", other.ca, web.ca).as_bytes(), 0o644);
    assert_eq!(fetch(&server, "web_run", asked), "hello");
    assert_eq!(web.heard().len(), 3);
}

#[test]
fn plugins_and_rules_share_no_connection() {
    let web = Web::lasting(small);
    let rules = format!("http = [{}, {}]", rule(&web, "/a/*"), rule(&web, "/b/*"));
    let world = World::new()
        .plugin("one", &test_guest("requesting"))
        .grant(&rules)
        .plugin("two", &test_guest("requesting"))
        .grant(&rules);
    let server = world.serve(Transport::Http);
    for (count, tool, path) in
        [(1, "one_run", "/a/x"), (2, "one_run", "/b/x"), (3, "two_run", "/a/x"), (4, "two_run", "/b/x")]
    {
        assert_eq!(fetch(&server, tool, request(&web, path, 2)), "hello");
        assert_eq!(web.connections(), count, "{tool} {path}");
    }
    assert_eq!(fetch(&server, "one_run", request(&web, "/a/y", 1)), "hello");
    assert_eq!(web.connections(), 4, "and each finds its own again");
}

#[test]
fn a_connection_whose_answer_was_not_read_to_its_end_is_not_used_again() {
    let web = Web::lasting(|heard, to| {
        if heard.starts_with("GET /large") { answer(to, &"x".repeat(1_000_000)) } else { answer(to, "hello") }
    });
    let server = requesting(&web).limit("http_bytes_max = 100_000").serve(Transport::Http);
    assert_eq!(fetch(&server, "web_run", request(&web, "/", 1)), "hello");
    let reply = server.call("web_run", request(&web, "/large", 1));
    assert!(reply.text().contains("http_bytes_max"), "{reply:?}");
    assert_eq!(web.connections(), 1);
    assert_eq!(fetch(&server, "web_run", request(&web, "/", 1)), "hello");
    assert_eq!(web.connections(), 2);
}

#[test]
fn a_server_that_hangs_up_after_its_answer_is_connected_to_again() {
    // The server does not announce that it will close.
    let web = Web::plain(small);
    let server = requesting(&web).serve(Transport::Http);
    for _ in 0..5 {
        assert_eq!(fetch(&server, "web_run", request(&web, "/", 1)), "hello");
        wait_until("it has seen that", || connections_to(web.address.port()) == 0);
    }
    assert_eq!(web.heard().len(), 5);
}

#[test]
fn what_a_server_says_unasked_answers_no_request() {
    let web = Web::lasting(|_, to| {
        let one = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        drop(to.write_all(format!("{one}hello{one}forged").as_bytes()));
    });
    let server = requesting(&web).serve(Transport::Http);
    for _ in 0..5 {
        assert_eq!(fetch(&server, "web_run", request(&web, "/", 1)), "hello");
    }
    assert_eq!(web.connections(), 5);
}

#[test]
fn what_a_server_says_unasked_over_tls_answers_no_request() {
    // Long enough that its end, and not its start, shares a TLS record with the bytes after it.
    const LONG: usize = 40_000;
    let web = Web::tls(|_, to| {
        let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let body = "x".repeat(LONG);
        drop(to.write_all(format!("{}{body}{}forged", head(LONG), head(6)).as_bytes()));
    });
    let (world, asked) = over_tls(&web);
    let server = world.serve(Transport::Http);
    for _ in 0..5 {
        assert_eq!(fetch(&server, "web_run", asked.clone()).len(), LONG);
    }
    assert_eq!(web.connections(), 5);
}

#[test]
fn plugins_in_workers_share_connections_as_others_do() {
    apart(&[
        requests_of_a_call_and_of_the_next_share_a_connection,
        a_connection_whose_answer_was_not_read_to_its_end_is_not_used_again,
    ]);
}
