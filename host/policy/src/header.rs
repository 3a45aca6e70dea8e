//! Header fields a plugin may set on a request. Most pass. Fields that can change the meaning of a request need the
//! rule to name them; fields that frame a message never pass.

use crate::InvalidValueError;

/// Treatment of a header field that a plugin sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Passes.
    Pass,
    /// Passes if the rule names it.
    IfNamed,
    /// Never passes: only the host may set it.
    Never,
}

/// Reason why a header field is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenHeaderError {
    /// It belongs to the host, or changes the framing of the message.
    #[error("no plugin may set it")]
    Never,
    /// The host puts the rule's secret into it.
    #[error("the host puts the rule's secret into it")]
    Secret,
    /// It can change the meaning of the request, and the rule does not name it.
    #[error("the rule does not name it under `headers`")]
    NotNamed,
}

/// Fields that belong to the connection or to the framing of the message (RFC 9110, sections 7.6.1 and 10.1, RFC 9112).
const NEVER: [&str; 15] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

/// Fields that make a server or proxy assume another method, path, host, client, user or body than the request shows.
/// RFC 9110 for `via` and `content-encoding`, RFC 7239, RFC 6265, RFC 4918 (`destination`), the rest by use.
const IF_NAMED: [&str; 33] = [
    "base-url",
    "client-ip",
    "content-encoding",
    "cookie",
    "cookie2",
    "destination",
    "forwarded",
    "front-end-https",
    "iv-creds",
    "iv-groups",
    "iv-user",
    "proxy",
    "remote-addr",
    "remote-user",
    "sm-user",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-host",
    "x-matched-path",
    "x-nf-client-connection-ip",
    "x-now-route-matches",
    "x-originating-ip",
    "x-override-url",
    "x-path",
    "x-real-host",
    "x-real-ip",
    "x-scheme",
    "x-true-client-ip",
    "x-url-scheme",
    "x-userinfo",
    "x-vercel-ip",
];

/// Prefixes of such fields.
const IF_NAMED_PREFIXES: [&str; 45] = [
    "cf-",
    "client-cert",
    "fastly-",
    "oidc-",
    "proxy-",
    "remote-",
    "ssl-client-",
    "tailscale-user",
    "wl-proxy-",
    "x-accel-",
    "x-amzn-oidc-",
    "x-apigateway-api-userinfo",
    "x-appengine-",
    "x-arr-",
    "x-auth-request-",
    "x-authenticated-",
    "x-authentik-",
    "x-azure-",
    "x-client-cert",
    "x-client-verify",
    "x-consumer-",
    "x-copy-from",
    "x-endpoint-api-userinfo",
    "x-envoy-",
    "x-forward",
    "x-goog-authenticated-user",
    "x-goog-iap-",
    "x-http-",
    "x-invoke-",
    "x-jwt-",
    "x-middleware-",
    "x-ms-client-principal",
    "x-ms-token-",
    "x-nginx-",
    "x-original",
    "x-pomerium-",
    "x-proxy-",
    "x-remote-",
    "x-rewrite",
    "x-sendfile",
    "x-ssl-client",
    "x-vercel-forwarded",
    "x-vercel-proxied",
    "x-waws-",
    "x-webauth-",
];

/// Parts of such fields: method overrides with any prefix, and the copy sources of storage servers.
const IF_NAMED_PARTS: [&str; 4] = ["method-override", "copy-source", "rename-source", "url-override"];

/// Fields that make a server answer in another form, or in part.
const CHANGES_ANSWER: [&str; 5] = ["accept-encoding", "range", "request-range", "a-im", "accept-charset"];

/// Length limit of a name, in bytes. No rule can name a longer one, so it never passes.
const NAME_BYTES_MAX: usize = 64;

/// Treatment of a header field. Gateways to CGI-like programs map every character but letters and digits to one, so
/// `X_Forwarded_For` and `X.Forwarded.For` count as `x-forwarded-for`.
pub fn treatment(name: &str) -> Treatment {
    if name.len() > NAME_BYTES_MAX {
        return Treatment::IfNamed;
    }
    let name: String = name.bytes().map(|b| char::from(plain(b))).collect();
    if NEVER.contains(&name.as_str()) {
        Treatment::Never
    } else if IF_NAMED.contains(&name.as_str())
        || IF_NAMED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || IF_NAMED_PARTS.iter().any(|part| name.contains(part))
    {
        Treatment::IfNamed
    } else {
        Treatment::Pass
    }
}

/// Checks that a plugin may set this header field under a rule that names `named` and puts a secret into `secret`.
pub fn may_set(name: &str, named: &[String], secret: Option<&str>) -> Result<(), ForbiddenHeaderError> {
    if secret.is_some_and(|secret| is_same(name, secret)) {
        return Err(ForbiddenHeaderError::Secret);
    }
    match treatment(name) {
        Treatment::Pass => Ok(()),
        Treatment::IfNamed if named.iter().any(|named| is_same(name, named)) => Ok(()),
        Treatment::IfNamed => Err(ForbiddenHeaderError::NotNamed),
        Treatment::Never => Err(ForbiddenHeaderError::Never),
    }
}

/// Whether this field can make a server answer in another form or in part. It is not sent where the host searches the
/// answer for a secret.
pub fn changes_answer(name: &str) -> bool {
    CHANGES_ANSWER.iter().any(|changes| is_same(name, changes))
}

/// Whether a gateway cannot tell two names apart.
pub fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().map(plain).eq(other.bytes().map(plain))
}

/// Checks one name of a rule's `headers`. Refuses a name that is not lower case, or can never pass. Also one that
/// always passes: such an entry suggests that `headers` lists everything that passes.
pub fn check_named(name: &str) -> Result<(), InvalidValueError> {
    let is_token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_token) {
        return Err(InvalidValueError::new(format!(
            r#"`{name}` is not the name of a header field in lower case; write one such as "cookie""#
        )));
    }
    match treatment(name) {
        Treatment::IfNamed => Ok(()),
        Treatment::Never => Err(InvalidValueError::new(format!(
            "`{name}` is set by the host or by nobody, whatever a rule names; leave it out"
        ))),
        Treatment::Pass => Err(InvalidValueError::new(format!(
            "`{name}` passes without being named; `headers` is for those that are refused otherwise"
        ))),
    }
}

/// A byte of a name as gateways normalise it.
fn plain(b: u8) -> u8 {
    if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() } else { b'-' }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_makes_a_request_mean_another_one_passes_only_when_it_is_named() {
        for name in [
            "cookie",
            "Cookie",
            "via",
            "forwarded",
            "content-encoding",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded",
            "x-original-url",
            "x-original-host",
            "x-rewrite-url",
            "x-real-ip",
            "x-http-method",
            "x-http-method-override",
            "x-method-override",
            "method-override",
            "proxy",
            "proxy-features",
            "destination",
            "x-amz-copy-source",
            "client-cert",
            "client_cert_chain",
            "remote-groups",
            "x-amzn-oidc-identity",
            "tailscale-user-login",
            "wl-proxy-client-ip",
            "x-middleware-subrequest",
            "X_Forwarded_For",
            "x.forwarded.for",
            "X_HTTP_Method_Override",
        ] {
            assert_eq!(may_set(name, &[], None), Err(ForbiddenHeaderError::NotNamed), "{name}");
            let dashed = name.to_lowercase().replace(['_', '.'], "-");
            assert_eq!(check_named(&dashed), Ok(()), "{name}");
            assert_eq!(may_set(name, &named(&[&dashed]), None), Ok(()), "{name}");
            assert!(may_set(name, &named(&["x-forwarded-proto"]), None).is_err(), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_longer_than_what_is_looked_at_is_refused() {
        let name = format!("x-{}-method-override", "a".repeat(NAME_BYTES_MAX));
        assert_eq!(may_set(&name, &[], None), Err(ForbiddenHeaderError::NotNamed));
        assert!(check_named(&name).is_err());
    }

    #[test]
    fn what_frames_a_message_never_passes() {
        for name in [
            "host",
            "Host",
            "connection",
            "transfer-encoding",
            "Transfer_Encoding",
            "content_length",
            "te",
            "trailer",
            "expect",
            "upgrade",
            "keep-alive",
            "proxy-connection",
            "proxy-authorization",
            "http2-settings",
        ] {
            let all = named(&[&name.to_lowercase(), "cookie"]);
            assert_eq!(may_set(name, &all, None), Err(ForbiddenHeaderError::Never), "{name}");
            assert!(check_named(&name.to_lowercase()).is_err(), "{name}");
        }
    }

    #[test]
    fn the_header_of_the_secret_never_passes_in_any_spelling() {
        for name in ["x-api-key", "X-Api-Key", "X_API_KEY", "x.api-key"] {
            assert_eq!(
                may_set(name, &named(&["x-api-key"]), Some("x-api-key")),
                Err(ForbiddenHeaderError::Secret),
                "{name}"
            );
        }
        assert_eq!(may_set("x-api-key", &[], Some("authorization")), Ok(()));
    }

    #[test]
    fn ordinary_headers_pass_and_cannot_be_named() {
        for name in
            ["accept", "authorization", "content-type", "if-none-match", "user-agent", "x-amz-date", "range"]
        {
            assert_eq!(may_set(name, &[], None), Ok(()), "{name}");
            assert!(check_named(name).is_err(), "{name}");
        }
        for name in ["", "Cookie", "co okie", "cookie:", "cookié", &"x-forwarded-".repeat(6)] {
            assert!(check_named(name).is_err(), "{name}");
        }
    }
}
