//! Tests of challenges and metadata: exact forms, and nothing that could break out of them.

use serde_json::Value;

use super::*;
use crate::AuthStep;

fn resource() -> ProtectedResource {
    ProtectedResource::new("https://t.example", vec!["tools:read".to_owned()], None, None).unwrap()
}

fn answer(failure: AuthFailure) -> (u16, Option<String>, Option<u64>, Value) {
    let error = AuthError::new(failure, AuthStep::Form, "reason", "detail \"\r\nX: y");
    let answer = resource().answer(&error);
    let body = serde_json::from_slice(&answer.body).unwrap();
    (answer.status, answer.www_authenticate, answer.retry_after_s, body)
}

const METADATA: &str = r#"resource_metadata="https://t.example/.well-known/oauth-protected-resource/mcp""#;

#[test]
fn each_refusal_has_its_exact_form() {
    let (status, challenge, retry, body) = answer(AuthFailure::NoCredentials);
    assert_eq!((status, retry), (401, None));
    assert_eq!(challenge.unwrap(), format!(r#"Bearer {METADATA}, scope="tools:read""#));
    assert_eq!(body["error"], "unauthorized");
    let (status, challenge, _, body) = answer(AuthFailure::InvalidToken);
    assert_eq!(status, 401);
    assert_eq!(
        challenge.unwrap(),
        format!(
            r#"Bearer error="invalid_token", error_description="the token is not valid here", {METADATA}, scope="tools:read""#
        )
    );
    assert_eq!(body, json!({ "error": "invalid_token", "error_description": "the token is not valid here" }));
    let (status, challenge, _, _) = answer(AuthFailure::Expired);
    assert_eq!(status, 401);
    assert_eq!(
        challenge.unwrap(),
        format!(
            r#"Bearer error="invalid_token", error_description="the token has expired", {METADATA}, scope="tools:read""#
        )
    );
    let (status, challenge, _, body) = answer(AuthFailure::InvalidRequest);
    assert!(challenge.unwrap().starts_with(r#"Bearer error="invalid_request", "#));
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    let (status, challenge, retry, _) = answer(AuthFailure::Unavailable);
    assert_eq!((status, challenge, retry), (503, None, Some(10)));
    let (status, challenge, retry, _) = answer(AuthFailure::TooMany { retry_after_s: 7 });
    assert_eq!((status, challenge, retry), (429, None, Some(7)));
}

#[test]
fn all_lacking_scopes_are_named_at_once() {
    let answer =
        resource().insufficient_scope(&["payments:write".to_owned(), "tools:write".to_owned()]).unwrap();
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.www_authenticate.unwrap(),
        format!(
            r#"Bearer error="insufficient_scope", scope="payments:write tools:write", {METADATA}, error_description="the token lacks a scope that this tool needs""#
        )
    );
    for scopes in
        [vec![], vec!["a\"b".to_owned()], vec!["a\r\nb".to_owned()], vec!["offline_access".to_owned()]]
    {
        assert!(resource().insufficient_scope(&scopes).is_err(), "{scopes:?}");
    }
}

#[test]
fn the_metadata_names_the_endpoint_and_leaves_out_what_is_empty() {
    let metadata: Value = serde_json::from_slice(&resource().metadata(["https://id.example"])).unwrap();
    assert_eq!(
        metadata,
        json!({
            "resource": "https://t.example/mcp",
            "authorization_servers": ["https://id.example"],
            "scopes_supported": ["tools:read"],
            "bearer_methods_supported": ["header"],
        })
    );
    let documentation = Some("https://docs.example/x".parse().unwrap());
    let named = ProtectedResource::new(
        "https://T.example:8443/",
        Vec::new(),
        Some("Tools".to_owned()),
        documentation,
    );
    let metadata: Value = serde_json::from_slice(&named.unwrap().metadata([])).unwrap();
    assert_eq!(
        metadata,
        json!({
            "resource": "https://t.example:8443/mcp",
            "bearer_methods_supported": ["header"],
            "resource_name": "Tools",
            "resource_documentation": "https://docs.example/x",
        })
    );
}

#[test]
fn an_address_that_is_not_an_origin_is_refused() {
    for url in ["https://t.example", "http://127.0.0.1:7411", "http://localhost", "http://[::1]:80/"] {
        assert!(ProtectedResource::new(url, Vec::new(), None, None).is_ok(), "{url}");
    }
    for url in [
        "http://t.example",
        "https://t.example/x",
        "https://t.example/?x",
        "https://t.example/#x",
        "https://a@t.example",
        "ftp://t.example",
        "t.example",
        "",
    ] {
        assert!(ProtectedResource::new(url, Vec::new(), None, None).is_err(), "{url}");
    }
    for scope in ["offline_access", "a b", "a\"b", "a\nb"] {
        assert!(ProtectedResource::new("https://t.example", vec![scope.to_owned()], None, None).is_err());
    }
    let name = Some("a\nb".to_owned());
    assert!(ProtectedResource::new("https://t.example", Vec::new(), name, None).is_err());
}

#[test]
fn row_33_whatever_the_text_a_parameter_is_one_quoted_string_of_ascii() {
    let mut state = 1_u64;
    for _ in 0..2_000 {
        let text: String = (0..20)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let all = ['"', '\\', '\r', '\n', '\0', ' ', 'a', ',', '=', 'é', '\u{7f}', '\u{202e}', '\t'];
                all[usize::try_from(state >> 60).unwrap() % all.len()]
            })
            .collect();
        let parameter = parameter("x", &text);
        let inner = parameter.strip_prefix("x=\"").unwrap().strip_suffix('"').unwrap();
        let unescaped = inner.replace("\\\\", "").replace("\\\"", "");
        assert!(!unescaped.contains(['"', '\\']), "{parameter:?}");
        assert!(parameter.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert!(http::HeaderValue::from_str(&parameter).is_ok());
    }
}
