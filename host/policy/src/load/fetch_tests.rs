//! Destinations and credentials of the host's own requests.

use super::*;

fn to(url: &str) -> FetchPermit {
    FetchPermit::new("GET", url, false).unwrap()
}

fn led(from: &str, location: &str, follow: Follow) -> Result<(String, bool, Reach), FetchPermitError> {
    let led = to(from).led_to("GET", location, follow)?;
    Ok((led.target().url(), led.takes_credentials(), led.reach()))
}

#[test]
fn plain_http_goes_to_this_machine_only() {
    for (url, sent) in [
        ("https://example.com/a.wasm", true),
        ("http://127.0.0.1:5000/a.wasm", true),
        ("http://localhost/a.wasm", true),
        ("http://[::1]/a.wasm", true),
        ("http://example.com/a.wasm", false),
        ("http://10.0.0.1/a.wasm", false),
        ("http://127.0.0.1.example.com/", false),
        ("ftp://example.com/", false),
        ("https://user:password@example.com/", false),
        ("https://example.com/a/../b", false),
    ] {
        assert_eq!(FetchPermit::new("GET", url, false).is_ok(), sent, "{url}");
    }
}

#[test]
fn only_this_machine_or_what_was_opened_is_reached_in_a_private_network() {
    assert_eq!(to("https://example.com/").reach(), Reach::Global);
    assert_eq!(to("https://10.0.0.1/").reach(), Reach::Global);
    assert_eq!(to("http://127.0.0.1:5000/").reach(), Reach::Private);
    assert_eq!(FetchPermit::new("GET", "https://10.0.0.1/", true).unwrap().reach(), Reach::Private);
}

#[test]
fn a_redirect_keeps_credentials_at_home_and_loses_them_anywhere_else() {
    let home = "https://example.com/a";
    let at_home = |path: &str| Ok((format!("https://example.com{path}"), true, Reach::Global));
    assert_eq!(led(home, "/b", Follow::Home), at_home("/b"));
    assert_eq!(led(home, "https://EXAMPLE.com:443/b", Follow::Home), at_home("/b"));
    for other in ["https://example.com:8443/b", "https://other.example/b", "https://10.0.0.1/b"] {
        assert_eq!(led(home, other, Follow::Elsewhere), Ok((other.to_owned(), false, Reach::Global)));
        assert_eq!(led(home, other, Follow::Home), Err(FetchPermitError::Elsewhere(other.to_owned())));
    }
    for never in ["http://example.com/b", "//other.example/b", "file:///etc/passwd", "b", ""] {
        assert!(led(home, never, Follow::Elsewhere).is_err(), "{never}");
    }
}

#[test]
fn another_port_of_this_machine_is_elsewhere_and_not_reached() {
    let (_, credentials, reach) =
        led("http://127.0.0.1:5000/", "http://127.0.0.1:6000/", Follow::Elsewhere).unwrap();
    assert_eq!((credentials, reach), (false, Reach::Global));
}

#[test]
fn whoever_left_comes_home_without_credentials() {
    let away = to("https://example.com/a").led_to("GET", "https://other.example/", Follow::Elsewhere);
    let back = away.unwrap().led_to("GET", "https://example.com/a", Follow::Elsewhere).unwrap();
    assert!(!back.takes_credentials());
}

#[test]
fn redirects_come_to_an_end() {
    let mut permit = to("https://example.com/a");
    for _ in 0..REDIRECTS_MAX {
        permit = permit.led_to("GET", "/a", Follow::Home).unwrap();
    }
    assert!(matches!(permit.led_to("GET", "/a", Follow::Home), Err(FetchPermitError::TooMany(_))));
}

/// Token URL for a registry, and whether the registry's credentials go with it.
fn token(
    registry: &str,
    realm: &str,
    service: Option<&str>,
    named: Option<(&str, Option<&str>)>,
) -> Result<(String, bool), FetchPermitError> {
    let named = named.map(|(realm, service)| TokenService::new(realm, service.map(str::to_owned)).unwrap());
    let permit = to(registry).for_token(realm, service, named.as_ref(), "repository:a/b:pull")?;
    assert!(permit.led_to("GET", "/further", Follow::Never).is_err());
    let asked = format!(
        "{}{}",
        permit.target().at_root().url().trim_end_matches('/'),
        permit.target().path_and_query()
    );
    Ok((asked, permit.takes_credentials()))
}

const SCOPE: &str = "?scope=repository%3Aa%2Fb%3Apull";

#[test]
fn credentials_go_to_the_registrys_own_origin_and_to_no_other_port_scheme_or_name() {
    let registry = "https://registry.example.com:5000/v2/";
    let ours = |service: &str| Ok((format!("https://registry.example.com:5000/token{SCOPE}{service}"), true));
    for realm in ["https://registry.example.com:5000/token", "https://REGISTRY.example.com.:5000/token"] {
        assert_eq!(token(registry, realm, None, None), ours(""), "{realm}");
        assert_eq!(token(registry, realm, Some("a b&x"), None), ours("&service=a%20b%26x"), "{realm}");
    }
    for realm in [
        "https://registry.example.com/token",
        "https://registry.example.com:5001/token",
        "https://example.com:5000/token",
        "https://sub.registry.example.com:5000/token",
        "https://registry.example.com.evil.example:5000/token",
        "https://xn--bcher-kva.example/token",
        "https://bücher.example/token",
        "https://192.0.2.1:5000/token",
        "https://[2001:db8::1]:5000/token",
        "http://localhost:5000/token",
    ] {
        let (asked, credentials) = token(registry, realm, Some("x"), None).unwrap();
        assert!(!credentials, "{realm}: {asked}");
        assert!(asked.ends_with(&format!("/token{SCOPE}&service=x")), "{realm}: {asked}");
    }
    // The scheme's default port may be written or not; two notations of one address are equal.
    assert!(token("https://example.com/", "https://example.com:443/t", None, None).unwrap().1);
    assert!(token("https://[::1]:5000/", "https://[0:0::1]:5000/t", None, None).unwrap().1);
    assert!(!token("http://127.0.0.1/", "https://127.0.0.1:80/t", None, None).unwrap().1);
    assert!(token("https://bücher.example/", "https://XN--BCHER-KVA.example/t", None, None).unwrap().1);
}

#[test]
fn a_realm_with_a_user_a_query_or_in_the_clear_is_not_asked() {
    let registry = "https://example.com/v2/";
    for realm in [
        "https://me:hunter2@example.com/token",
        "https://example.com/token?scope=repository:other:pull,push",
        "https://example.com/token?",
        "http://example.com/token",
        "http://auth.example.com/token",
        "//example.com/token",
        "/token",
        "https://example.com/a/../token",
        "https://example.com/token#x",
        "",
    ] {
        let refused = token(registry, realm, None, None).unwrap_err().to_string();
        assert!(!refused.contains("hunter2") && !refused.contains("other"), "{refused}");
    }
    for realm in ["https://me:hunter2@example.com/token", "https://example.com/t?x", "http://example.com/t"] {
        let refused = TokenService::new(realm, None).unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn a_service_that_the_operator_named_gets_credentials_by_its_whole_url_and_for_the_named_service_alone() {
    let registry = "https://registry.example.com/v2/";
    let realm = "https://auth.example.com/jwt/auth";
    let asked = |service: &str| Ok((format!("{realm}{SCOPE}{service}"), true));
    assert_eq!(token(registry, realm, None, Some((realm, None))), asked(""));
    let by_host = Some("registry.example.com");
    assert_eq!(token(registry, realm, by_host, Some((realm, None))), asked("&service=registry.example.com"));
    assert_eq!(token(registry, realm, Some("a"), Some((realm, Some("a")))), asked("&service=a"));
    assert_eq!(token(registry, realm, None, Some((realm, Some("a")))), asked("&service=a"));
    for (said, named) in
        [("other.example.com", None), ("other", Some("a")), ("registry.example.com", Some("a"))]
    {
        let refused = token(registry, realm, Some(said), Some((realm, named)));
        assert!(matches!(refused, Err(FetchPermitError::Service { .. })), "{said}: {refused:?}");
    }
    for other in ["https://auth.example.com/other", "https://auth.example.com:444/jwt/auth"] {
        assert!(!token(registry, other, None, Some((realm, None))).unwrap().1, "{other}");
    }
    // A service on this machine is reachable if the operator wrote it, not if a registry names it.
    let named = TokenService::new("http://127.0.0.1:6000/t", None).unwrap();
    let reach = |named| to(registry).for_token("http://127.0.0.1:6000/t", None, named, "x").unwrap().reach();
    assert_eq!((reach(Some(&named)), reach(None)), (Reach::Private, Reach::Global));
}

#[test]
fn public_registries_whose_tokens_come_from_elsewhere_are_known_and_nobody_else_is_them() {
    for (registry, realm, service) in PUBLIC_SERVICES {
        let asked = token(registry, realm, Some(service), None).unwrap();
        assert_eq!(asked, (format!("{realm}{SCOPE}&service={service}"), true));
        assert!(token(registry, realm, Some("other"), None).is_err(), "{registry}");
        for other in ["https://evil.example", &format!("{registry}:444"), &format!("{registry}.evil.example")]
        {
            assert!(!token(other, realm, Some(service), None).unwrap().1, "{other}");
        }
    }
}
