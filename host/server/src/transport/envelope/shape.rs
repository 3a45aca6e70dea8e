//! The shape of a message: which members it has and of which kind they are. The protocol's library drops optional members that it
//! cannot read, or takes the whole for something else; here the member is named.

use toolgate_base::json::Json;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageKind<'m> {
    /// It wants an answer.
    Request(&'m str),
    /// It wants none.
    Notification(&'m str),
    /// It is an answer.
    Response,
}

/// Why a message has none of these shapes, or its parameters do not fit its method.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ShapeError {
    /// It is no message of JSON-RPC.
    #[error("{0}")]
    Request(String),
    /// Its parameters are none that any method has.
    #[error("{0}")]
    Params(String),
    /// Its parameters do not fit its method.
    #[error("{0}")]
    Method(String),
}

/// What a member must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Text,
    Object,
    TextOrInteger,
    LogLevel,
}

/// Members that every request and notification may have.
const COMMON: [(&[&str], Wanted); 3] = [
    (&["_meta"], Wanted::Object),
    (&["_meta", "progressToken"], Wanted::TextOrInteger),
    (&["_meta", "io.modelcontextprotocol/logLevel"], Wanted::LogLevel),
];

/// Members of one method, and whether it cannot do without.
const OF_METHODS: [(&str, &[&str], Wanted, bool); 10] = [
    ("initialize", &["protocolVersion"], Wanted::Text, true),
    ("initialize", &["capabilities"], Wanted::Object, true),
    ("initialize", &["clientInfo"], Wanted::Object, true),
    ("initialize", &["clientInfo", "name"], Wanted::Text, true),
    ("initialize", &["clientInfo", "version"], Wanted::Text, true),
    ("notifications/cancelled", &["requestId"], Wanted::TextOrInteger, false),
    ("subscriptions/listen", &["notifications"], Wanted::Object, false),
    ("tools/call", &["name"], Wanted::Text, true),
    ("tools/call", &["arguments"], Wanted::Object, false),
    ("tools/list", &["cursor"], Wanted::Text, false),
];

/// By which a request says its revision where there is no handshake.
const REVISION: &str = "io.modelcontextprotocol/protocolVersion";

/// RFC 5424 §6.2.1, as MCP writes them.
const LOG_LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// What a message is.
///
/// # Errors
/// [`ShapeError::Request`].
pub(super) fn kind(message: &Json) -> Result<MessageKind<'_>, ShapeError> {
    let wrong = |why: &str| Err(ShapeError::Request(why.to_owned()));
    match message {
        Json::Object(_) => {}
        Json::Array(_) => return wrong("batches were removed from MCP; send one message at a time"),
        _ => return wrong("a message is a JSON object"),
    }
    if message.get("jsonrpc").and_then(Json::as_str) != Some("2.0") {
        return wrong("`jsonrpc` is not \"2.0\"");
    }
    let method = match (message.get("method"), message.get("result"), message.get("error")) {
        (_, Some(_), Some(_)) => return wrong("it has both `result` and `error`"),
        (Some(_), Some(_), None) => return wrong("it has both `method` and `result`"),
        (Some(_), None, Some(_)) => return wrong("it has both `method` and `error`"),
        (Some(Json::String(method)), None, None) => method,
        (Some(other), None, None) => {
            return Err(ShapeError::Request(format!(
                "`method` must be a string, but it is {}",
                other.kind()
            )));
        }
        (None, None, None) => return wrong("it has neither `method` nor `result` nor `error`"),
        (None, _, Some(error)) => {
            let has_code =
                matches!(error.get("code"), Some(Json::Integer(code)) if i32::try_from(*code).is_ok());
            if !has_code || error.get("message").and_then(Json::as_str).is_none() {
                return wrong("`error` must be an object with an integer `code` and a string `message`");
            }
            return Ok(MessageKind::Response);
        }
        (None, Some(_), None) => return Ok(MessageKind::Response),
    };
    match message.get("id") {
        None => Ok(MessageKind::Notification(method)),
        Some(Json::String(_)) => Ok(MessageKind::Request(method)),
        Some(Json::Integer(id)) if i64::try_from(*id).is_ok() => Ok(MessageKind::Request(method)),
        Some(_) => wrong("`id` is neither a string nor an integer of 64 bits"),
    }
}

/// Whether it is an answer, or would be one: it has `result` or `error`, and no `method`.
pub(super) fn is_answer(message: &Json) -> bool {
    message.get("method").is_none() && (message.get("result").is_some() || message.get("error").is_some())
}

/// Holds the parameters of a method to what it takes.
///
/// # Errors
/// [`ShapeError::Params`], [`ShapeError::Method`].
pub(super) fn check_params(method: &str, message: &Json) -> Result<(), ShapeError> {
    let params = match message.get("params") {
        None | Some(Json::Null) => None,
        Some(params @ Json::Object(_)) => Some(params),
        Some(other) => {
            return Err(ShapeError::Params(format!(
                "`params` must be an object, but it is {}",
                other.kind()
            )));
        }
    };
    for (path, wanted) in COMMON {
        check(params, path, wanted, false).map_err(ShapeError::Params)?;
    }
    // A revision without a handshake has no such method, whatever its parameters.
    let meta = params.and_then(|params| params.get("_meta"));
    let is_gone = method == "initialize" && meta.is_some_and(|meta| meta.get(REVISION).is_some());
    let of_method = OF_METHODS.iter().filter(|(of, ..)| *of == method && !is_gone);
    for (_, path, wanted, is_needed) in of_method {
        check(params, path, *wanted, *is_needed).map_err(match method {
            "initialize" => ShapeError::Params,
            _ => ShapeError::Method,
        })?;
    }
    Ok(())
}

fn check(params: Option<&Json>, path: &[&str], wanted: Wanted, is_needed: bool) -> Result<(), String> {
    let value = path.iter().try_fold(params, |value, key| match value {
        Some(value @ Json::Object(_)) => Some(value.get(key)),
        _ => None,
    });
    let shown = || format!("`params.{}`", path.join("."));
    let value = match value.flatten() {
        Some(Json::Null) | None if !is_needed => return Ok(()),
        None => return Err(format!("{} is missing", shown())),
        Some(value) => value,
    };
    let (fits, wanted) = match wanted {
        Wanted::Text => (matches!(value, Json::String(_)), "a string"),
        Wanted::Object => (matches!(value, Json::Object(_)), "an object"),
        Wanted::TextOrInteger => {
            let is_small = matches!(value, Json::Integer(number) if i64::try_from(*number).is_ok());
            (is_small || matches!(value, Json::String(_)), "a string or an integer of 64 bits")
        }
        Wanted::LogLevel => {
            if let Some(level) = value.as_str()
                && !LOG_LEVELS.contains(&level)
            {
                let levels = LOG_LEVELS.join(", ");
                return Err(format!("{} is none of {levels}", shown()));
            }
            (matches!(value, Json::String(_)), "a string")
        }
    };
    if fits { Ok(()) } else { Err(format!("{} must be {wanted}, but it is {}", shown(), value.kind())) }
}

#[cfg(test)]
mod tests {
    use toolgate_base::json::JsonLimits;

    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes(), JsonLimits { bytes_max: 10_000, depth_max: 20, nodes_max: 1_000 })
            .unwrap()
    }

    fn params(method: &str, params: &str) -> Result<(), ShapeError> {
        check_params(method, &json(&format!(r#"{{"params":{params}}}"#)))
    }

    #[test]
    fn a_message_is_a_request_a_notification_or_a_response() {
        for (text, is) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#, MessageKind::Request("x")),
            (r#"{"jsonrpc":"2.0","id":"","method":"x"}"#, MessageKind::Request("x")),
            (r#"{"jsonrpc":"2.0","method":"x"}"#, MessageKind::Notification("x")),
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, MessageKind::Response),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":""}}"#, MessageKind::Response),
        ] {
            assert_eq!(kind(&json(text)), Ok(is), "{text}");
        }
        for (text, words) in [
            (r#"{"jsonrpc":"2.0","id":1}"#, "neither `method`"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#, "both `method` and `result`"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","error":{}}"#, "both `method` and `error`"),
            (r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#, "both `result` and `error`"),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":""}}"#, "integer `code`"),
            (r#"{"jsonrpc":"2.0","id":1,"method":["x"]}"#, "`method` must be a string, but it is an array"),
            (r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"x"}"#, "`id`"),
            (r#"{"id":1,"method":"x"}"#, "`jsonrpc`"),
            ("[]", "batches"),
            ("1", "object"),
        ] {
            let why = kind(&json(text)).unwrap_err().to_string();
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn the_member_that_does_not_fit_is_named() {
        for (method, text, member) in [
            ("x", "[1]", "`params` must be an object, but it is an array"),
            ("x", "\"x\"", "`params` must be"),
            ("x", r#"{"_meta":"x"}"#, "`params._meta` must be an object, but it is a string"),
            ("x", r#"{"_meta":{"progressToken":1.5}}"#, "`params._meta.progressToken`"),
            ("x", r#"{"_meta":{"io.modelcontextprotocol/logLevel":"loud"}}"#, "logLevel` is none of debug"),
            ("x", r#"{"_meta":{"io.modelcontextprotocol/logLevel":3}}"#, "logLevel` must be a string"),
            ("tools/call", "{}", "`params.name` is missing"),
            ("tools/call", "null", "`params.name` is missing"),
            ("tools/call", r#"{"name":null}"#, "`params.name` must be a string, but it is null"),
            (
                "tools/call",
                r#"{"name":"x","arguments":"{}"}"#,
                "`params.arguments` must be an object, but it is a string",
            ),
            ("tools/list", r#"{"cursor":5}"#, "`params.cursor` must be a string, but it is an integer"),
            ("initialize", "{}", "`params.protocolVersion` is missing"),
            (
                "initialize",
                r#"{"protocolVersion":"1","capabilities":{},"clientInfo":5}"#,
                "`params.clientInfo` must",
            ),
            (
                "initialize",
                r#"{"protocolVersion":"1","capabilities":{},"clientInfo":{"name":"x"}}"#,
                "clientInfo.version` is missing",
            ),
            ("notifications/cancelled", r#"{"requestId":[]}"#, "`params.requestId`"),
        ] {
            let why = params(method, text).unwrap_err().to_string();
            assert!(why.contains(member), "{method} {text}: {why}");
        }
        for (method, text) in [
            ("x", "null"),
            ("x", r#"{"_meta":null}"#),
            ("tools/call", r#"{"name":"x","arguments":null}"#),
            (
                "tools/list",
                r#"{"cursor":null,"_meta":{"progressToken":1,"io.modelcontextprotocol/logLevel":"info"}}"#,
            ),
        ] {
            assert_eq!(params(method, text), Ok(()), "{method} {text}");
        }
    }
}
