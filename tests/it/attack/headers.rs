//! Header fields and paths that a grant and a server would interpret differently.

use serde_json::{Value, json};
use toolgate_tests::raw::Raw;
use toolgate_tests::{Transport, World, apart, test_guest};

/// Guests of WASI 0.2 and 0.3.
const GUESTS: [(&str, &str); 2] = [("requesting", ""), ("fetching", "engine = \"async\"")];

fn answering() -> Raw {
    Raw::serve(|peer| while peer.head().is_some() && peer.answer("own") {})
}

fn world((guest, engine): (&str, &str), raw: &Raw, more: &str) -> World {
    let port = raw.address.port();
    World::new()
        .plugin("web", &test_guest(guest))
        .with(engine)
        .grant(&format!(
            r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true{more} }}]"#
        ))
        .limit("faults_max = 1000000")
}

fn with_secret(world: World) -> World {
    world
        .secret_file("secrets/token", "s3cr3t-t0ken")
        .more("\n[[secret]]\nname = \"token\"\nfile = \"secrets/token\"\nheader = \"X-Api-Key\"\n")
}

fn request(raw: &Raw, path: &str, headers: &Value) -> Value {
    json!({ "method": "GET", "scheme": "http", "authority": raw.address.to_string(), "path": path, "headers": headers, "body": "" })
}

/// Headers that change the meaning of a request.
const MEANING: [&str; 26] = [
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-Original-URL",
    "X-Original-Host",
    "X-Rewrite-URL",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Prefix",
    "X-Forwarded",
    "X_Forwarded_For",
    "X.Forwarded.For",
    "x_original_url",
    "X-Real-IP",
    "X_Real_IP",
    "True-Client-IP",
    "Cookie",
    "Via",
    "Content-Encoding",
    "Proxy",
    "Proxy-Features",
    "Destination",
    "X-Amz-Copy-Source",
    "X-Middleware-Subrequest",
    "X-Remote-User",
];

/// Headers that no rule allows.
const NEVER: [&str; 14] = [
    "TE",
    "Trailer",
    "Expect",
    "Host",
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authorization",
    "Transfer-Encoding",
    "Transfer_Encoding",
    "Content_Length",
    "Upgrade",
    "X-Api-Key",
    "X_Api_Key",
];

#[test]
fn a_header_that_makes_a_request_mean_another_one_is_sent_only_where_the_rule_names_it() {
    for guest in GUESTS {
        for secret in [false, true] {
            let raw = answering();
            let world = match secret {
                true => with_secret(world(guest, &raw, r#", secret = "token""#)),
                false => world(guest, &raw, ""),
            };
            let server = world.serve(Transport::Http);
            for name in MEANING {
                let reply = server.call("web_run", request(&raw, "/v1/a", &json!([[name, "/admin"]])));
                assert!(reply.text().contains("HttpRequestDenied"), "{guest:?} {name}: {reply:?}");
                let record = world.call_records().pop().unwrap();
                let told = &record["requests"][0];
                assert_eq!(told["header"], name.to_ascii_lowercase(), "{guest:?} {name}: {record}");
                assert_eq!(
                    (&told["refused"], told["method"].as_str()),
                    (&json!(true), Some("GET")),
                    "{record}"
                );
            }
            let never = NEVER.iter().filter(|name| secret || !name.starts_with("X"));
            for name in never {
                let reply = server.call("web_run", request(&raw, "/v1/a", &json!([[name, "trailers"]])));
                assert!(reply.is_error(), "{guest:?} {name}: {reply:?}");
            }
            drop(server);
            assert_eq!(raw.connections(), 0, "{guest:?}");
        }
    }
}

#[test]
fn a_header_that_is_named_is_sent_and_no_other() {
    for guest in GUESTS {
        let raw = answering();
        let world =
            with_secret(world(guest, &raw, r#", secret = "token", headers = ["cookie", "x-forwarded-for"]"#));
        let server = world.serve(Transport::Http);
        let named = json!([["Cookie", "a=b"], ["X_Forwarded_For", "192.0.2.1"], ["Accept", "text/plain"]]);
        let reply = server.call("web_run", request(&raw, "/v1/a", &named));
        assert!(!reply.is_error(), "{guest:?}: {reply:?}");
        for name in ["X-Forwarded-Host", "X-Api-Key", "Via", "Transfer-Encoding"] {
            let asked = request(&raw, "/v1/a", &json!([["Cookie", "a=b"], [name, "x"]]));
            assert!(server.call("web_run", asked).is_error(), "{guest:?} {name}");
        }
        drop(server);
        let arrived = raw.requests().concat();
        assert_eq!(arrived.len(), 1, "{guest:?}: {arrived:?}");
        assert_eq!(arrived[0].header("cookie"), Some("a=b"));
        assert_eq!(arrived[0].header("x_forwarded_for"), Some("192.0.2.1"));
        assert_eq!(arrived[0].header("x-api-key"), Some("Bearer s3cr3t-t0ken"));
    }
}

#[test]
fn with_a_secret_no_packed_partial_or_recoded_answer_can_be_asked_for() {
    for guest in GUESTS {
        let raw = answering();
        let server = with_secret(world(guest, &raw, r#", secret = "token""#)).serve(Transport::Http);
        let wants = json!([
            ["Accept-Encoding", "gzip"],
            ["Range", "bytes=0-3"],
            ["Request-Range", "bytes=0-3"],
            ["A-IM", "gzip"],
            ["Accept-Charset", "utf-16"]
        ]);
        let reply = server.call("web_run", request(&raw, "/v1/a", &wants));
        assert!(!reply.is_error(), "{guest:?}: {reply:?}");
        drop(server);
        let arrived = raw.requests().concat();
        assert_eq!(arrived[0].header("accept-encoding"), Some("identity"));
        for name in ["range", "request-range", "a-im", "accept-charset"] {
            assert_eq!(arrived[0].header(name), None, "{guest:?} {name}");
        }
    }
}

#[test]
fn a_secret_in_a_header_that_would_change_the_form_of_an_answer_is_a_mistake_in_the_configuration() {
    let raw = answering();
    for header in ["Accept-Encoding", "accept_encoding", "Range", "Request-Range", "A-IM", "Accept-Charset"] {
        let world = world(GUESTS[0], &raw, r#", secret = "token""#)
            .secret_file("secrets/token", "s3cr3t-t0ken")
            .more(&format!(
                "\n[[secret]]\nname = \"token\"\nfile = \"secrets/token\"\nheader = \"{header}\"\n"
            ));
        let check = world.run(&["check"]);
        let told = "would have a server answer in another form";
        assert!(check.code == 2 && check.stderr.contains(told), "{header}: {}", check.said());
    }
}

#[test]
fn a_rule_that_names_what_can_never_pass_or_passes_anyway_is_refused() {
    let raw = answering();
    for (name, why) in [
        ("host", "set by the host"),
        ("content-length", "set by the host"),
        ("te", "set by the host"),
        ("Cookie", "in lower case"),
        ("co okie", "in lower case"),
        ("", "in lower case"),
        ("accept", "passes without being named"),
        ("x-api-key", "passes without being named"),
    ] {
        let check = world(GUESTS[0], &raw, &format!(r#", headers = ["{name}"]"#)).run(&["check"]);
        assert_eq!(check.code, 2, "{name}: {}", check.said());
        assert!(check.stderr.contains(why), "{name}: {}", check.stderr);
    }
    // Not the header of the rule's own secret.
    let named = with_secret(world(GUESTS[0], &raw, r#", secret = "token", headers = ["x-real-ip"]"#));
    let named = named.more("").run(&["check"]);
    assert_eq!(named.code, 0, "{}", named.said());
    let own = world(GUESTS[0], &raw, r#", secret = "token", headers = ["x-real-ip"]"#)
        .secret_file("secrets/token", "s3cr3t-t0ken")
        .more("\n[[secret]]\nname = \"token\"\nfile = \"secrets/token\"\nheader = \"X_Real_IP\"\n")
        .run(&["check"]);
    assert_ne!(own.code, 0, "{}", own.said());
    assert!(own.said().contains("the secret goes into it"), "{}", own.said());
}

#[test]
fn what_a_rule_names_is_shown_and_learned() {
    let raw = answering();
    let world = world(GUESTS[0], &raw, r#", headers = ["via"]"#);
    let shown = world.run(&["explain", "web"]);
    assert!(shown.stdout.contains("sets the headers via"), "{}", shown.said());
    let url = format!("http://{}/v1/a", raw.address);
    let shown = world.run(&["explain", "web", "http", &url]);
    assert!(shown.stdout.contains(r#"headers = ["via"]"#), "{}", shown.said());
    let args = request(&raw, "/v1/a", &json!([["cookie", "a"], ["forwarded", "b"]])).to_string();
    let learned = world.run(&["learn", "web", "web_run", "--args", &args]);
    assert!(learned.stdout.contains(r#"headers = ["via", "cookie", "forwarded"]"#), "{}", learned.said());
}

#[test]
fn a_path_that_a_server_could_read_as_another_is_not_sent() {
    for guest in GUESTS {
        let raw = answering();
        let server = world(guest, &raw, r#", paths = ["/v1/*"]"#).serve(Transport::Http);
        for path in [
            "/v1/%c0%ae%c0%ae/admin",
            "/v1/%ef%bc%8e%ef%bc%8e/admin",
            "/v1/%e3%80%82%e3%80%82/admin",
            "/v1/..%20/admin",
            "/v1/..%09/admin",
            "/v1/%2e%2e%20/admin",
            "/v1/..%e2%80%8b/admin",
            "/v1/..%ef%bc%8fadmin",
            "/v1/..%3b/admin",
            "/v1/a%0d%0ab",
        ] {
            let reply = server.call("web_run", request(&raw, path, &json!([])));
            assert!(reply.text().contains("HttpRequestDenied"), "{guest:?} {path}: {reply:?}");
        }
        drop(server);
        assert_eq!(raw.connections(), 0, "{guest:?}");
    }
}

#[test]
fn in_a_worker_a_header_that_makes_a_request_mean_another_one_is_not_sent() {
    apart(&[a_header_that_makes_a_request_mean_another_one_is_sent_only_where_the_rule_names_it]);
}
