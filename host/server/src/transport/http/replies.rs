//! Answers made without the protocol library.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use toolgate_policy::limits::wire::RETRY_AFTER_S;

use crate::transport::envelope::Malformed;

/// A complete answer.
pub(super) type Reply = Response<super::Body>;

const TEXT: &str = "text/plain; charset=utf-8";

/// Text for people.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Reply {
    reply(status, TEXT, Bytes::from_static(text.as_bytes()))
}

/// The answer to a message that is not processed.
pub(super) fn malformed(malformed: &Malformed) -> Reply {
    json(malformed.status, &malformed.reply())
}

/// Sets the content type of an error text that has none.
pub(super) fn type_text(headers: &mut HeaderMap, status: StatusCode) {
    if status.is_client_error() || status.is_server_error() {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(TEXT));
    }
}

/// A JSON-RPC message.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
    reply(status, "application/json", Bytes::from(value.to_string()))
}

/// Asks the client to retry later.
pub(super) fn come_back(text: &'static str) -> Reply {
    let mut reply = plain(StatusCode::SERVICE_UNAVAILABLE, text);
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    reply
}

/// The same, with the id of a message that was read.
pub(super) fn come_back_to(id: &serde_json::Value, text: &str) -> Reply {
    let mut reply = malformed(&Malformed::busy(text.trim_end(), id.clone()));
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    reply
}

/// Refuses other methods than `methods`.
pub(super) fn not_allowed(methods: &'static str, text: &'static str) -> Reply {
    let mut reply = plain(StatusCode::METHOD_NOT_ALLOWED, text);
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    reply
}

pub(super) fn reply(status: StatusCode, kind: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body).boxed());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
