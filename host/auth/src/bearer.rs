//! Credentials of a request: exactly one, in the `Authorization` header (RFC 6750 §2.1). The other places that RFC 6750
//! allows are not looked at; a token in a query is an error, since queries are logged.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use toolgate_policy::limits::auth::CREDENTIAL_BYTES_MAX;

use super::explain::{AuthError, AuthFailure, AuthStep};

/// A credential by its form, not yet verified. No `Debug`, so that it is not logged by accident.
pub enum Presented<'r> {
    /// An API key of this server.
    ApiKey(&'r str),
    /// A token of three parts.
    Jwt(&'r str),
}

/// Beginning of an API key.
pub const API_KEY_PREFIX: &str = "tgk_";

/// Reads the one credential of a request.
///
/// # Errors
/// [`AuthError`] if there is none, more than one, one in the query, or one of a form that is not known.
pub fn read<'r>(headers: &'r HeaderMap, query: Option<&str>) -> Result<Presented<'r>, AuthError> {
    if query.is_some_and(has_token) {
        return Err(bad_request("query", "a token in the query"));
    }
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(none("there is no Authorization header"));
    };
    if values.next().is_some() {
        return Err(bad_request("two-headers", "more than one Authorization header"));
    }
    let value = value.as_bytes();
    // Proxies join two headers by a comma, which no token has.
    if value.contains(&b',') {
        return Err(bad_request("two-headers", "a comma in the Authorization header"));
    }
    let value = std::str::from_utf8(value)
        .map_err(|_| invalid("characters", "the Authorization header has other characters than ASCII"))?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(none("the scheme of the Authorization header is not Bearer"));
    }
    classify(token)
}

/// The form of a credential.
///
/// # Errors
/// [`AuthError`] for a text that is too long, or neither an API key nor a token of three parts.
pub fn classify(token: &str) -> Result<Presented<'_>, AuthError> {
    if token.len() > CREDENTIAL_BYTES_MAX {
        return Err(invalid("too-long", format!("it has more than {CREDENTIAL_BYTES_MAX} bytes")));
    }
    if !is_b64token(token) {
        return Err(invalid(
            "characters",
            "it is empty, or has characters that no token has (RFC 6750 §2.1)",
        ));
    }
    if token.starts_with(API_KEY_PREFIX) {
        return Ok(Presented::ApiKey(token));
    }
    match token.bytes().filter(|byte| *byte == b'.').count() + 1 {
        3 => Ok(Presented::Jwt(token)),
        5 => Err(invalid("encrypted", "it has five parts: an encrypted token (JWE)")
            .with_remedy("let the issuer sign its access tokens, and not encrypt them")),
        _ => Err(invalid("opaque", "it is neither a token of three parts (JWT) nor an API key").with_remedy(
            "let the issuer give out access tokens as JWT; for Auth0, ask for this server's audience",
        )),
    }
}

/// Whether a query has a token, under any spelling of its name.
fn has_token(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name.eq_ignore_ascii_case("access_token"))
}

/// `b64token` of RFC 6750 §2.1.
fn is_b64token(token: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(is_known)
}

fn none(detail: &str) -> AuthError {
    AuthError::new(AuthFailure::NoCredentials, AuthStep::Presentation, "no-credentials", detail)
}

fn bad_request(reason: &'static str, detail: &str) -> AuthError {
    AuthError::new(AuthFailure::InvalidRequest, AuthStep::Presentation, reason, detail)
}

fn invalid(reason: &'static str, detail: impl AsRef<str>) -> AuthError {
    AuthError::invalid(AuthStep::Presentation, reason, detail)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn answer(headers: &[(&'static str, &str)], query: Option<&str>) -> Result<String, (u16, &'static str)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        match read(&map, query) {
            Ok(Presented::ApiKey(key)) => Ok(format!("key {key}")),
            Ok(Presented::Jwt(token)) => Ok(format!("jwt {token}")),
            Err(error) => Err((error.failure.status(), error.reason)),
        }
    }

    #[test]
    fn one_token_in_the_header_is_read_whatever_the_case_of_its_scheme() {
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            assert_eq!(
                answer(&[("authorization", &format!("{scheme} a.b.c"))], None),
                Ok("jwt a.b.c".into())
            );
        }
        assert_eq!(answer(&[("authorization", "Bearer tgk_x")], Some("a=b")), Ok("key tgk_x".into()));
    }

    #[test]
    fn two_credentials_or_one_in_the_query_are_a_bad_request() {
        let good = ("authorization", "Bearer a.b.c");
        assert_eq!(answer(&[good, good], None), Err((400, "two-headers")));
        assert_eq!(
            answer(&[("authorization", "Bearer a.b.c, Bearer d.e.f")], None),
            Err((400, "two-headers"))
        );
        for query in ["access_token=a.b.c", "x=y&access_token", "access%5Ftoken=", "ACCESS_TOKEN=x"] {
            assert_eq!(answer(&[good], Some(query)), Err((400, "query")), "{query}");
            assert_eq!(answer(&[], Some(query)), Err((400, "query")), "{query}");
        }
    }

    #[test]
    fn a_token_anywhere_else_is_no_credential() {
        for name in ["cookie", "proxy-authorization", "x-api-key"] {
            assert_eq!(answer(&[(name, "Bearer a.b.c")], None), Err((401, "no-credentials")), "{name}");
        }
        for value in ["Basic YTpi", "DPoP a.b.c", "", "a.b.c", "Bearera.b.c", "Bearer\ta.b.c"] {
            assert_eq!(answer(&[("authorization", value)], None), Err((401, "no-credentials")), "{value}");
        }
    }

    #[test]
    fn what_is_no_token_is_told_by_its_form_alone() {
        for (value, reason) in [
            ("Bearer", "characters"),
            ("Bearer ", "characters"),
            ("Bearer  a.b.c", "characters"),
            ("Bearer a.b.c ", "characters"),
            ("Bearer a.b\"c", "characters"),
            ("Bearer =", "characters"),
            ("Bearer a.b=.c", "characters"),
            ("Bearer opaque", "opaque"),
            ("Bearer a.b", "opaque"),
            ("Bearer a.b.c.d", "opaque"),
            ("Bearer a.b.c.d.e", "encrypted"),
        ] {
            assert_eq!(answer(&[("authorization", value)], None), Err((401, reason)), "{value}");
        }
    }

    #[test]
    fn a_token_may_have_so_many_bytes_and_not_one_more() {
        let of = |length: usize| format!("Bearer a.b.{}", "c".repeat(length - 4));
        assert!(answer(&[("authorization", &of(CREDENTIAL_BYTES_MAX))], None).is_ok());
        assert_eq!(answer(&[("authorization", &of(CREDENTIAL_BYTES_MAX + 1))], None), Err((401, "too-long")));
        assert_eq!(
            answer(&[("authorization", &format!("Bearer {}", ".".repeat(1_000_000)))], None),
            Err((401, "too-long"))
        );
    }
}
