//! Cross-origin requests of browsers: preflights, and headers that let a page read an answer (WHATWG Fetch, "CORS
//! protocol"). Origins were checked before.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::replies::{Reply, reply};
use crate::transport::guard::Source;

/// Headers that a page may send. Others are refused, as are credentials stored in the browser.
const REQUEST_HEADERS: [&str; 11] = [
    "content-type",
    "accept",
    "authorization",
    "dpop",
    "last-event-id",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "mcp-session-id",
    "traceparent",
    "tracestate",
];

/// Prefix of headers that repeat arguments of a call; a page may send them as well.
const PARAM_PREFIX: &str = "mcp-param-";

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");

/// Headers of an answer that a page may read.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("WWW-Authenticate, Mcp-Session-Id, DPoP-Nonce, Retry-After");

/// Time for which a browser may cache a preflight, in seconds.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("600");

/// Answer to a preflight request for a page of a configured origin; `None` for any other request.
pub(super) fn preflight(method: &Method, headers: &HeaderMap, source: &Source) -> Option<Reply> {
    let is_one = *method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if !is_one || !matches!(source, Source::Named(_)) {
        return None;
    }
    let mut answer = reply(StatusCode::NO_CONTENT, "", Bytes::new());
    let given = answer.headers_mut();
    given.remove(CONTENT_TYPE);
    given.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    given.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
    let allowed = allowed_headers(headers);
    if !allowed.is_empty()
        && let Ok(allowed) = HeaderValue::try_from(allowed.join(", "))
    {
        given.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    given.append(VARY, HeaderValue::from_name(ACCESS_CONTROL_REQUEST_HEADERS));
    Some(answer)
}

/// Requested headers that a page may send.
fn allowed_headers(headers: &HeaderMap) -> Vec<String> {
    let asked =
        headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|value| value.to_str().ok());
    let names = asked.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
    let may_send = |name: &String| {
        // Only valid header names are sent back.
        HeaderName::from_bytes(name.as_bytes()).is_ok()
            && (REQUEST_HEADERS.contains(&name.as_str()) || name.starts_with(PARAM_PREFIX))
    };
    names.filter(may_send).collect()
}

/// Lets a page of a configured origin read an answer.
pub(super) fn let_read(headers: &mut HeaderMap, source: &Source) {
    if let Source::Named(origin) = source {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// Marks answers as varying by origin, for caches; before any other `Vary` value.
pub(super) fn vary(headers: &mut HeaderMap) {
    let others = headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<&str> = std::iter::once("Origin").chain(others).collect();
    if let Ok(all) = HeaderValue::try_from(all.join(", ")) {
        headers.insert(VARY, all);
    }
}
