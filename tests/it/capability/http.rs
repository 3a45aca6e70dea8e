//! `http`: requests to granted hosts, by granted methods and paths, with a secret that the guest never sees.

use std::io::Write;
use std::net::TcpListener;

use serde_json::{Value, json};
use toolgate_tests::web::{Web, dead_port, respond, was_connected};
use toolgate_tests::{World, apart, plugin, test_guest};

use super::{answer, assert_misconfigured, error, value};

fn requesting() -> World {
    World::new().plugin("web", &test_guest("requesting"))
}

fn request(authority: &str, path: &str) -> Value {
    json!({ "method": "GET", "scheme": "http", "authority": authority, "path": path, "headers": [], "body": "" })
}

fn with(mut request: Value, key: &str, value: Value) -> Value {
    request[key] = value;
    request
}

fn hello(_: &str, to: &mut dyn Write) {
    respond(to, "200 OK", &[("X-Answer", "yes")], "hello");
}

/// Grants the local server, with further settings.
fn rule(port: u16, more: &str) -> String {
    format!(r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true{more} }}]"#)
}

#[test]
fn granted_a_request_goes_out_and_the_answer_comes_in() {
    let web = Web::plain(hello);
    let port = web.address.port();
    let world = requesting().grant(&rule(port, r#", methods = ["GET", "POST"]"#));
    let got = value(&world, "web_run", &request(&format!("127.0.0.1:{port}"), "/a?b=c"));
    assert_eq!((got["status"].as_u64(), got["body"].as_str()), (Some(200), Some("hello")));
    assert!(got["headers"].to_string().contains("x-answer"), "{got}");
    assert!(web.heard()[0].starts_with("GET /a?b=c HTTP/1.1\r\n"), "{:?}", web.heard());

    let post = with(request(&format!("127.0.0.1:{port}"), "/a"), "method", json!("POST"));
    let body = "x".repeat(10_000);
    value(&world, "web_run", &with(post, "body", json!(body)));
    assert!(web.heard()[1].ends_with(&body) || web.heard()[1].matches('x').count() == body.len());
    let record = &world.call_records()[0];
    assert!(record["hosts"].to_string().contains(&format!("127.0.0.1:{port}")), "{record}");
}

#[test]
fn an_authority_that_is_a_pipe_a_device_or_a_folder_refuses_its_plugin_and_nothing_waits_for_it() {
    for ca in ["pipe", "folder", "/dev/zero", "link"] {
        let rule = format!(r#"http = [{{ host = "localhost", port = 443, private = true, ca = "{ca}" }}]"#);
        let world = requesting().grant(&rule).folder("folder");
        let pipe = world.path("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        std::os::unix::fs::symlink("pipe", world.path("link")).unwrap();
        let check = world.run(&["check"]);
        assert!(
            check.code == 3 && check.stderr.contains("it is not a regular file"),
            "{ca}: {}",
            check.said()
        );
    }
}

#[test]
fn granted_over_tls_the_certificate_is_checked_against_the_granted_authority() {
    let web = Web::tls(hello);
    let port = web.address.port();
    let rule = |ca: &str| format!(r#"http = [{{ host = "localhost", port = {port}, private = true{ca} }}]"#);
    let asked = with(request(&format!("localhost:{port}"), "/"), "scheme", json!("https"));
    let world = requesting().file("ca.pem", &web.ca).grant(&rule(r#", ca = "ca.pem""#));
    assert_eq!(value(&world, "web_run", &asked)["body"], "hello");

    let world = requesting().grant(&rule(""));
    let told = error(&world, "web_run", &asked);
    assert!(told.contains("Tls"), "{told}");
    assert_eq!(web.heard().len(), 1, "nothing was said to a server that could not show who it is");

    // Unencrypted, although the grant requires https.
    error(&world, "web_run", &with(asked, "scheme", json!("http")));
}

#[test]
fn denied_it_does_not_load_and_an_empty_grant_refuses_every_request() {
    let check = requesting().run(&["check"]);
    assert_eq!(check.code, 3);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let world = requesting().grant("http = []");
    let told = error(&world, "web_run", &request(&listener.local_addr().unwrap().to_string(), "/"));
    assert!(told.contains("Denied"), "{told}");
    assert!(!was_connected(&listener));
}

#[test]
fn narrowed_to_a_host_a_port_a_method_and_a_path_nothing_else_goes_out() {
    let web = Web::plain(hello);
    let port = web.address.port();
    let here = format!("127.0.0.1:{port}");
    let world = requesting().grant(&rule(port, r#", methods = ["GET"], paths = ["/v1/*"]"#));
    value(&world, "web_run", &request(&here, "/v1/things"));
    value(&world, "web_run", &request(&here, "/v1/a/b?x=/../.."));
    let granted = web.heard().len();
    for refused in [
        request(&here, "/"),
        request(&here, "/v2/things"),
        request(&here, "/v1"),
        request(&here, "/v1/../v2/things"),
        request(&here, "/v1/%2e%2e/v2"),
        request(&here, "/v1/..%2fv2"),
        request(&here, "/v1//v2"),
        request(&here, "/v1/..\\v2"),
        request(&format!("localhost:{port}"), "/v1/x"),
        request(&format!("127.0.0.1:{}", dead_port()), "/v1/x"),
        request("127.0.0.1", "/v1/x"),
        request(&format!("user:pass@{here}"), "/v1/x"),
        with(request(&here, "/v1/x"), "method", json!("POST")),
        with(request(&here, "/v1/x"), "method", json!("DELETE")),
        with(request(&here, "/v1/x"), "method", json!("CONNECT")),
        with(request(&here, "/v1/x"), "method", json!("get")),
        with(request(&here, "/v1/x"), "scheme", json!("https")),
        with(request(&here, "/v1/x"), "scheme", json!("file")),
    ] {
        error(&world, "web_run", &refused);
    }
    assert_eq!(web.heard().len(), granted, "{:?}", web.heard());
}

#[test]
fn an_address_of_this_network_needs_private_in_the_grant() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost"] {
        let world =
            requesting().grant(&format!(r#"http = [{{ scheme = "http", host = "{host}", port = {port} }}]"#));
        let told = error(&world, "web_run", &request(&format!("{host}:{port}"), "/"));
        assert!(told.contains("Prohibited"), "{told}");
    }
    assert!(!was_connected(&listener));
}

#[test]
fn the_addresses_where_clouds_keep_credentials_are_never_reached() {
    for host in ["169.254.169.254", "metadata.google.internal", "[fd00:ec2::254]"] {
        let world = requesting()
            .grant(&format!(r#"http = [{{ scheme = "http", host = "{host}", private = true }}]"#));
        let check = world.run(&["check"]);
        if check.code == 0 {
            let told = error(&world, "web_run", &request(host, "/latest/meta-data/"));
            assert!(told.contains("Prohibited") || told.contains("Denied"), "{told}");
        } else {
            assert_eq!(check.code, 2, "{}", check.said());
        }
    }
}

#[test]
fn a_redirect_is_an_answer_and_is_not_followed() {
    let web = Web::plain(|_, to| respond(to, "302 Found", &[("Location", "http://169.254.169.254/")], ""));
    let port = web.address.port();
    let got =
        value(&requesting().grant(&rule(port, "")), "web_run", &request(&format!("127.0.0.1:{port}"), "/"));
    assert_eq!(got["status"], 302);
    assert_eq!(web.heard().len(), 1);
}

const SECRET: &str = "s3cr3t/t0ken+x";

fn with_secret(port: u16) -> World {
    requesting()
        .secret_file("secrets/token", &format!("{SECRET}\n"))
        .grant(&rule(port, r#", secret = "token", methods = ["GET", "HEAD"]"#))
        .more("\n[[secret]]\nname = \"token\"\nfile = \"secrets/token\"\nheader = \"Authorization\"\nformat = \"Bearer {}\"\n")
}

#[test]
fn a_secret_is_put_in_by_the_host_and_taken_out_of_what_comes_back() {
    // A server that returns everything it received, in the head and in pieces in the body.
    let web = Web::plain(|heard, to| {
        let given =
            heard.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or("nothing");
        let percent = given.replace('/', "%2F").replace('+', "%2B");
        let (one, two) = given.split_at(given.len() / 2);
        drop(write!(to, "HTTP/1.1 200 OK\r\nX-Echo: {given}\r\nTransfer-Encoding: chunked\r\n\r\n"));
        for piece in ["<", one, two, ">", &percent] {
            drop(write!(to, "{:x}\r\n{piece}\r\n", piece.len()));
            drop(to.flush());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        drop(write!(to, "0\r\n\r\n"));
    });
    let port = web.address.port();
    let world = with_secret(port);
    let told = answer(&world, "web_run", &request(&format!("127.0.0.1:{port}"), "/"));
    assert!(web.heard()[0].to_lowercase().contains("authorization: bearer "), "{:?}", web.heard());
    assert!(web.heard()[0].contains(SECRET), "the server was given it");
    assert!(!told.contains(SECRET) && !told.contains("s3cr3t"), "{told}");
    assert!(told.contains("<[secret]>[secret]"), "{told}");
    assert!(!std::fs::read_to_string(world.path("state/audit.jsonl")).unwrap().contains("s3cr3t"));
}

#[test]
fn a_guest_that_sets_the_secrets_header_itself_is_refused() {
    let web = Web::plain(hello);
    let port = web.address.port();
    let asked = with(
        request(&format!("127.0.0.1:{port}"), "/"),
        "headers",
        json!([["authorization", "Bearer mine"]]),
    );
    error(&with_secret(port), "web_run", &asked);
    assert!(web.heard().is_empty());
}

#[test]
fn a_secret_goes_to_its_one_host_over_tls_or_not_at_all() {
    let world = |rule: &str| {
        requesting()
            .secret_file("secrets/token", SECRET)
            .grant(&format!("http = [{{ {rule}, secret = \"token\" }}]"))
            .more("\n[[secret]]\nname = \"token\"\nfile = \"secrets/token\"\nheader = \"Authorization\"\n")
    };
    assert_misconfigured(&world(r#"scheme = "http", host = "api.example.com""#), "https");
    assert_misconfigured(&world(r#"host = "*.example.com""#), "secret");
    assert_eq!(world(r#"host = "api.example.com""#).run(&["check"]).code, 0);
    let unknown = requesting().grant(r#"http = [{ host = "api.example.com", secret = "nobody" }]"#);
    assert_misconfigured(&unknown, "nobody");
}

#[test]
fn a_secret_that_others_can_read_or_that_holds_a_line_break_is_refused() {
    let world = with_secret(80).file("secrets/token", SECRET);
    assert_misconfigured(&world, "others can read it");
    let world = with_secret(80).secret_file("secrets/token", "one\r\nX-Other: two");
    assert_misconfigured(&world, "secret");
    let world = with_secret(80).secret_file("secrets/token", "");
    assert_misconfigured(&world, "secret");
}

#[test]
fn the_example_plugin_fetches_with_a_token_that_it_never_sees() {
    let web = Web::plain(|heard, to| {
        let known = heard.to_lowercase().contains(&format!("authorization: bearer {SECRET}"));
        respond(to, "200 OK", &[("Content-Type", "text/plain")], if known { "known" } else { "unknown" });
    });
    let port = web.address.port();
    let world = World::new()
        .plugin("fetch", &plugin("fetch"))
        .secret_file("secrets/token", SECRET)
        .grant(&rule(port, r#", secret = "token""#))
        .more("\n[[secret]]\nname = \"token\"\nfile = \"secrets/token\"\nheader = \"Authorization\"\nformat = \"Bearer {}\"\n");
    let got = value(&world, "fetch_get", &json!({ "url": format!("http://127.0.0.1:{port}/") }));
    assert_eq!(got["text"], "known");
    error(&world, "fetch_get", &json!({ "url": format!("http://127.0.0.1:{}/", dead_port()) }));
}

#[test]
fn in_a_worker_a_plugin_sends_what_it_sends_on_a_thread() {
    apart(&[
        granted_a_request_goes_out_and_the_answer_comes_in,
        a_secret_is_put_in_by_the_host_and_taken_out_of_what_comes_back,
    ]);
}
