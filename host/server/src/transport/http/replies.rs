//! Answers that the library has no part in.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use toolgate_policy::limits::wire::RETRY_AFTER_S;

/// An answer.
pub(super) type Reply = Response<super::Body>;

/// Text for people.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Reply {
    reply(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

/// A JSON-RPC message.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
    reply(status, "application/json", Bytes::from(value.to_string()))
}

/// The client is told to come back.
pub(super) fn come_back(text: &'static str) -> Reply {
    let mut reply = plain(StatusCode::SERVICE_UNAVAILABLE, text);
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    reply
}

/// A probe is read.
pub(super) fn not_get() -> Reply {
    let mut reply = plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    reply
}

fn reply(status: StatusCode, kind: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body).boxed());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
