//! Browser pages: whose requests are answered, and which pages may read the answers.

use serde_json::json;
use toolgate_tests::{HttpReply, Server, Transport, World};

use super::seven;

const NAMED: &str = "https://app.example.com";

fn open() -> World {
    seven().server("allowed_origins = [\"https://app.example.com:*\", \"http://localhost:3000\"]")
}

fn list(server: &Server, more: &[(&str, &str)]) -> HttpReply {
    let (_, message) = server.modern("tools/list", json!({}));
    let mut headers = toolgate_tests::client::headers(&message);
    headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    server.post(&message.to_string(), &headers)
}

fn ask_before(server: &Server, more: &[(&str, &str)]) -> HttpReply {
    let headers: Vec<_> =
        more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    server.http("OPTIONS", "/mcp", &headers, None)
}

#[test]
fn a_page_in_a_browser_may_not_call_unless_its_origin_is_named() {
    let server = seven().serve(Transport::Http);
    assert_eq!(list(&server, &[]).status, 200);
    for origin in ["https://evil.example", "null", "http://localhost:3000", "file://", ""] {
        assert_eq!(list(&server, &[("Origin", origin)]).status, 403, "{origin}");
    }
    let server = open().serve(Transport::Http);
    for origin in [NAMED, "https://app.example.com:8443", "HTTPS://APP.example.com", "http://localhost:3000"]
    {
        assert_eq!(list(&server, &[("Origin", origin)]).status, 200, "{origin}");
    }
    for origin in [
        "https://app.example.com.evil.org",
        "https://app.example.com@evil.org",
        "https://app.example.com:x",
        "http://app.example.com",
        "null",
        "http://localhost:3001",
        "http://localhost",
    ] {
        let reply = list(&server, &[("Origin", origin)]);
        assert_eq!(reply.status, 403, "{origin}");
        assert_eq!(reply.header("Access-Control-Allow-Origin"), None, "{reply:?}");
    }
    assert_eq!(list(&server, &[("Origin", NAMED), ("Origin", NAMED)]).status, 403);
}

#[test]
fn a_page_of_the_servers_own_origin_may_call_and_none_of_another_port_or_name() {
    let server = seven().serve(Transport::Http);
    let port = server.address().port();
    for name in ["127.0.0.1", "localhost", "LOCALHOST"] {
        let (host, origin) = (format!("{name}:{port}"), format!("http://{name}:{port}").to_lowercase());
        let reply = list(&server, &[("Host", &host), ("Origin", &origin)]);
        assert_eq!(reply.status, 200, "{host} {origin}: {reply:?}");
    }
    let own = format!("127.0.0.1:{port}");
    for (host, origin) in [
        (own.clone(), format!("http://localhost:{port}")),
        (own.clone(), format!("http://127.0.0.1:{}", port ^ 1)),
        (own.clone(), format!("https://127.0.0.1:{port}")),
        (own.clone(), format!("http://[::1]:{port}")),
        (own.clone(), "http://127.0.0.1".to_owned()),
        (format!("127.0.0.1:{}", port ^ 1), format!("http://127.0.0.1:{}", port ^ 1)),
        (format!("[::1]:{port}"), format!("http://[::1]:{port}")),
        // DNS rebinding: a foreign name that resolves to this machine.
        (format!("evil.example:{port}"), format!("http://evil.example:{port}")),
        (own, format!("http://evil.example:{port}")),
    ] {
        assert_eq!(list(&server, &[("Host", &host), ("Origin", &origin)]).status, 403, "{host} {origin}");
    }
}

#[test]
fn a_page_of_a_named_origin_may_read_what_it_is_answered_also_where_it_is_refused() {
    let server = open().serve(Transport::Http);
    for (more, status) in [
        (vec![("Origin", NAMED)], 200),
        (vec![("Origin", "https://APP.example.com:8443")], 200),
        (vec![("Origin", NAMED), ("Accept", "text/html")], 406),
        (vec![("Origin", NAMED), ("Mcp-Method", "tools/call")], 400),
    ] {
        let reply = list(&server, &more);
        assert_eq!(reply.status, status, "{reply:?}");
        assert_eq!(
            reply.header("Access-Control-Allow-Origin"),
            Some(more[0].1),
            "as it was written: {reply:?}"
        );
        assert_eq!(
            reply.header("Access-Control-Expose-Headers"),
            Some("WWW-Authenticate, Mcp-Session-Id, DPoP-Nonce, Retry-After")
        );
        assert_eq!(reply.header("Vary"), Some("Origin"));
        assert_eq!(reply.header("Access-Control-Allow-Credentials"), None);
    }
    // A request without `Origin` is not from a page; `Vary` keeps caches from serving its response to one.
    let reply = list(&server, &[]);
    assert_eq!((reply.header("Access-Control-Allow-Origin"), reply.header("Vary")), (None, Some("Origin")));
    let own = format!("http://{}", server.address());
    assert_eq!(list(&server, &[("Origin", &own)]).header("Access-Control-Allow-Origin"), None);
}

#[test]
fn a_browser_that_asks_first_is_told_what_a_page_of_a_named_origin_may_send() {
    let server = open().serve(Transport::Http);
    let reply = ask_before(
        &server,
        &[
            ("Origin", NAMED),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "Content-Type,mcp-method, mcp-param-region ,x-evil,cookie"),
            ("Access-Control-Request-Headers", "Mcp-Param-A b, authorization"),
        ],
    );
    assert_eq!((reply.status, reply.body.as_str()), (204, ""), "{reply:?}");
    for (name, value) in [
        ("Access-Control-Allow-Origin", Some(NAMED)),
        ("Access-Control-Allow-Methods", Some("GET, POST, DELETE")),
        ("Access-Control-Allow-Headers", Some("content-type, mcp-method, mcp-param-region, authorization")),
        ("Content-Type", None),
        ("Access-Control-Max-Age", Some("600")),
        ("Access-Control-Allow-Credentials", None),
    ] {
        assert_eq!(reply.header(name), value, "{reply:?}");
    }
    assert_eq!(
        reply.header("Vary").map(str::to_lowercase).as_deref(),
        Some("origin, access-control-request-headers")
    );
    // Other origins get no headers.
    let method = ("Access-Control-Request-Method", "POST");
    for (more, status) in [
        (vec![("Origin", "https://evil.example"), method], 403),
        (vec![("Origin", "null"), method], 403),
        (vec![("Origin", NAMED), method, ("Host", "evil.example")], 403),
        (vec![("Origin", NAMED)], 405),
        (vec![method], 405),
    ] {
        let reply = ask_before(&server, &more);
        assert_eq!(reply.status, status, "{more:?}: {reply:?}");
        assert_eq!(reply.header("Access-Control-Allow-Methods"), None, "{more:?}: {reply:?}");
    }
    let closed = seven().serve(Transport::Http);
    assert_eq!(ask_before(&closed, &[("Origin", NAMED), method]).status, 403);
}

#[test]
fn a_target_that_names_another_host_than_the_header_is_refused() {
    let server = seven().serve(Transport::Http);
    let address = server.address().to_string();
    let get = |target: &str, host: &str| {
        server.http("GET", target, &[("Host".to_owned(), host.to_owned())], None).status
    };
    assert_eq!(get(&format!("http://{address}/healthz"), &address), 200);
    assert_eq!(get("http://evil.example/healthz", &address), 400);
    assert_eq!(get("http://localhost/healthz", &address), 400);
    assert_eq!(get("http://evil.example/healthz", "evil.example"), 403);
    assert_eq!(get(&format!("http://{address}/healthz"), "evil.example"), 400);
}
