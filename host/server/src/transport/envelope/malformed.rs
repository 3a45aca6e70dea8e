//! Messages that are refused, and the answer to each.

use http::StatusCode;
use serde_json::{Value, json};

use crate::mcp;

/// A refused message.
#[derive(Debug)]
pub(crate) struct Malformed {
    code: i32,
    why: String,
    id: Value,
    /// Status of its answer over HTTP.
    pub(crate) status: StatusCode,
    /// Whether it is a notification or a response, which JSON-RPC never answers. Over HTTP it gets a status.
    pub(crate) wants_no_answer: bool,
}

// JSON-RPC 2.0 §5.1.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
/// The host cannot take it now.
const INTERNAL_ERROR: i32 = -32603;
/// MCP 2026-07-28: headers contradict the body.
const HEADER_MISMATCH: i32 = -32020;

impl Malformed {
    fn new(code: i32, why: String, id: Value) -> Self {
        Self { code, why, id, status: StatusCode::BAD_REQUEST, wants_no_answer: false }
    }

    /// Text that is not JSON.
    pub(super) fn not_json(why: &str, id: Value) -> Self {
        Self::new(PARSE_ERROR, format!("Parse error: {why}"), id)
    }

    /// A well-formed message of the wrong shape.
    pub(crate) fn invalid(why: impl AsRef<str>, id: Value) -> Self {
        Self::new(INVALID_REQUEST, format!("Invalid Request: {}", why.as_ref()), id)
    }

    /// A request whose parameters do not fit.
    pub(crate) fn params(why: impl AsRef<str>, id: Value) -> Self {
        Self::new(INVALID_PARAMS, format!("Invalid params: {}", why.as_ref()), id)
    }

    /// A request whose headers do not fit its body.
    pub(crate) fn header(why: impl Into<String>, id: Value) -> Self {
        Self::new(HEADER_MISMATCH, why.into(), id)
    }

    /// A request of a method that is not served.
    pub(crate) fn not_found(method: &str, id: Value) -> Self {
        Self { status: StatusCode::NOT_FOUND, ..Self::new(METHOD_NOT_FOUND, mcp::not_found(method), id) }
    }

    /// A message that cannot be taken now.
    pub(crate) fn busy(why: impl Into<String>, id: Value) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..Self::new(INTERNAL_ERROR, why.into(), id) }
    }

    /// The same, answered over HTTP with this status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Marks a notification or a response: no answer is expected, and its id is not one of the sender's.
    pub(crate) fn unanswered_if(self, wants_no_answer: bool) -> Self {
        if wants_no_answer { Self { wants_no_answer, id: Value::Null, ..self } } else { self }
    }

    /// Its answer, a JSON-RPC error.
    pub(crate) fn reply(&self) -> Value {
        json!({ "jsonrpc": "2.0", "id": self.id, "error": { "code": self.code, "message": self.why } })
    }
}
