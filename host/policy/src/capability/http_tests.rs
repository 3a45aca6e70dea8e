//! Tables for the `http` grant: normal forms of requests, and the rule that covers each.

use super::*;

fn rule(host: &str) -> RuleText {
    RuleText { host: host.to_owned(), ..RuleText::default() }
}

fn grant(rules: Vec<RuleText>) -> Grant {
    Grant::new(rules).unwrap()
}

fn get(url: &str) -> Result<RequestTarget, PathError> {
    RequestTarget::from_url("GET", url)
}

#[test]
fn a_rule_covers_its_scheme_host_port_method_and_path_and_nothing_else() {
    let api = RuleText { paths: Some(vec!["/v1/*".into()]), ..rule("api.example.com") };
    let grant = grant(vec![api]);
    for (url, covered) in [
        ("https://api.example.com/v1/a", true),
        ("https://API.EXAMPLE.COM./v1/a?x=1", true),
        ("https://api.example.com:443/v1/a/b", true),
        ("https://api.example.com/v1/", true),
        ("https://api.example.com/v2/a", false),
        ("https://api.example.com/v1", false),
        ("https://api.example.com/", false),
        ("https://api.example.com:8443/v1/a", false),
        ("http://api.example.com/v1/a", false),
        ("https://example.com/v1/a", false),
        ("https://api.example.com.evil.org/v1/a", false),
    ] {
        assert_eq!(grant.allow(get(url).unwrap()).is_ok(), covered, "{url}");
    }
    let post = RequestTarget::parse("POST", "https", "api.example.com", "/v1/a").unwrap();
    assert!(matches!(grant.allow(post), Err(HttpDeniedError::NotGranted(_))));
}

#[test]
fn an_empty_grant_covers_nothing() {
    assert!(Grant::default().allow(get("https://example.com/").unwrap()).is_err());
    assert_eq!(Grant::default().effects(), Effects::default());
}

#[test]
fn what_servers_read_differently_is_no_request() {
    for url in [
        "https://api.example.com/v1/../admin",
        "https://api.example.com/v1/..;/admin",
        "https://api.example.com/v1/.;x/admin",
        "https://api.example.com/v1/./a",
        "https://api.example.com/v1/..",
        "https://api.example.com/v1//a",
        "https://api.example.com//v1/a",
        "https://api.example.com/v1/%2e%2e/admin",
        "https://api.example.com/v1/%2E%2E/admin",
        "https://api.example.com/v1/a%2fb",
        "https://api.example.com/v1/a%5cb",
        "https://api.example.com/v1/a\\b",
        "https://api.example.com/v1/a%00",
        "https://api.example.com/v1/a%252e",
        "https://api.example.com/v1/a%zz",
        "https://api.example.com/v1/a%2",
        "https://api.example.com/v1/a#b",
        "https://api.example.com/v1/a b",
        "https://api.example.com/v1/a\r\nHost: evil",
        "https://api.example.com/v1/\u{e9}",
        "https://api.example.com/v1/a?x=\r\n",
        "https://user@api.example.com/v1/a",
        "https://user:pw@api.example.com/v1/a",
        "https://api.example.com:0/v1/a",
        "https://api.example.com:99999/v1/a",
        "https://api.example.com:+443/v1/a",
        "https://api.example.com:/v1/a",
        "https://api example.com/v1/a",
        "https://api.example.com%00.evil.org/v1/a",
        "ftp://api.example.com/v1/a",
    ] {
        assert!(get(url).is_err(), "{url:?}");
    }
    for method in ["CONNECT", "TRACE", "get", "", "GET /", "G\r\nX: y"] {
        assert!(RequestTarget::parse(method, "https", "a.example", "/").is_err(), "{method:?}");
    }
}

#[test]
fn the_normal_form_is_what_is_sent() {
    let target = get("https://BÜCHER.example.:443?q=1").unwrap();
    assert_eq!(
        (target.authority().as_str(), target.path_and_query().as_str()),
        ("xn--bcher-kva.example", "/?q=1")
    );
    assert_eq!(get("http://[::1]:8080/a").unwrap().authority(), "[::1]:8080");
    assert_eq!(get("http://0x7f.1/a").unwrap().authority(), "127.0.0.1");
}

#[test]
fn a_star_spans_slashes_and_the_rest_is_literal() {
    for (pattern, path, matches) in [
        ("/*", "/a/b", true),
        ("/a", "/a", true),
        ("/a", "/a/b", false),
        ("/a*", "/ab/c", true),
        ("/*/b", "/x/y/b", true),
        ("/*/b", "/b", false),
        ("/a*c*e", "/abcde", true),
        ("/a*c*e", "/ace", true),
        ("/a*c*e", "/ae", false),
        ("/a*a", "/a", false),
        ("/a.c", "/abc", false),
    ] {
        assert_eq!(path_matches(pattern, path), matches, "{pattern} {path}");
    }
}

#[test]
fn a_secret_goes_to_one_host_over_tls() {
    let secret = |text: RuleText| Grant::new(vec![RuleText { secret: Some("token".into()), ..text }]);
    assert!(secret(rule("api.example.com")).is_ok());
    assert!(secret(RuleText { scheme: Some("http".into()), ..rule("127.0.0.1") }).is_ok());
    assert!(secret(RuleText { scheme: Some("http".into()), ..rule("api.example.com") }).is_err());
    assert!(secret(rule("*.example.com")).is_err());
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let text = RuleText {
        scheme: Some("gopher".into()),
        host: "*".into(),
        port: Some(0),
        methods: Some(vec!["GET".into(), "get".into()]),
        paths: Some(vec!["v1".into()]),
        headers: Some(vec![
            "cookie".into(),
            "Cookie".into(),
            "host".into(),
            "accept".into(),
            "cookie".into(),
        ]),
        ..RuleText::default()
    };
    let places: Vec<String> =
        Grant::new(vec![rule("a.example"), text]).unwrap_err().into_iter().map(|p| p.at).collect();
    let headers = ["[1].headers[1]", "[1].headers[2]", "[1].headers[3]", "[1].headers[4]"];
    let others = ["[1].scheme", "[1].port", "[1].methods[1]", "[1].paths[0]"];
    assert_eq!(places, [&others[..], &headers[..], &["[1].host"]].concat());
}

#[test]
fn the_first_rule_that_covers_counts() {
    let grant = grant(vec![
        RuleText { paths: Some(vec!["/open/*".into()]), ..rule("a.example") },
        RuleText { secret: Some("token".into()), ..rule("a.example") },
    ]);
    assert_eq!(grant.allow(get("https://a.example/open/x").unwrap()).unwrap().index(), 0);
    assert_eq!(
        grant.allow(get("https://a.example/closed").unwrap()).unwrap().rule().secret.as_deref(),
        Some("token")
    );
}

#[test]
fn a_rule_without_headers_is_written_as_before_there_were_such() {
    let plain = grant(vec![rule("a.example")]);
    assert_eq!(plain.written(), r#"[{ host = "a.example", methods = ["GET", "HEAD"], paths = ["/*"] }]"#);
    let named = grant(vec![RuleText { headers: Some(vec!["cookie".into()]), ..rule("a.example") }]);
    assert!(named.written().contains(r#"headers = ["cookie"]"#), "{}", named.written());
    assert_ne!(plain.written(), named.written());
    let pass = named.allow(get("https://a.example/").unwrap()).unwrap();
    assert_eq!(pass.rule().may_set("Cookie", None), Ok(()));
    assert_eq!(pass.rule().may_set("via", None), Err(ForbiddenHeaderError::NotNamed));
}
