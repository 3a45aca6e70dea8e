//! Shape of a message: its members and their types. The protocol library drops unreadable optional members, or mistakes
//! the message for another kind; here the error names the member.

use http::StatusCode;
use serde_json::Value;
use toolgate_base::json::Json;

use super::Malformed;

/// Kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageKind<'m> {
    /// Method of a message that expects an answer.
    Request(&'m str),
    /// Method of a message that expects no answer.
    Notification(&'m str),
    /// An answer.
    Response,
}

/// Required type of a member.
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

/// Members of one method, and whether each is required.
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

/// Member with the revision of a request without a handshake.
const REVISION: &str = "io.modelcontextprotocol/protocolVersion";

/// RFC 5424 §6.2.1, as MCP writes them.
const LOG_LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// Determines the kind of a message.
///
/// # Errors
/// A sentence with the reason why it is no message of JSON-RPC.
pub(super) fn kind(message: &Json) -> Result<MessageKind<'_>, String> {
    let wrong = |why: &str| Err(why.to_owned());
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
            return Err(format!("`method` must be a string, but it is {}", other.kind()));
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

/// Whether it is a response, even if malformed: it has `result` or `error`, and no `method`.
pub(super) fn is_answer(message: &Json) -> bool {
    message.get("method").is_none() && (message.get("result").is_some() || message.get("error").is_some())
}

/// Checks the parameters of a method, in a message with this id.
pub(super) fn check_params(method: &str, message: &Json, id: &Value) -> Result<(), Malformed> {
    let malformed = |why: String| Malformed::params(why, id.clone());
    let params = match message.get("params") {
        None | Some(Json::Null) => None,
        Some(params @ Json::Object(_)) => Some(params),
        Some(other) => {
            return Err(malformed(format!("`params` must be an object, but it is {}", other.kind())));
        }
    };
    for (path, wanted) in COMMON {
        check(params, path, wanted, false).map_err(malformed)?;
    }
    // A revision without a handshake does not have this method, whatever its parameters.
    let meta = params.and_then(|params| params.get("_meta"));
    let is_gone = method == "initialize" && meta.is_some_and(|meta| meta.get(REVISION).is_some());
    let of_method = OF_METHODS.iter().filter(|(of, ..)| *of == method && !is_gone);
    for (_, path, wanted, is_needed) in of_method {
        check(params, path, *wanted, *is_needed).map_err(|why| match method {
            "initialize" => malformed(why),
            // Like the library's answer to malformed parameters.
            _ => malformed(why).with_status(StatusCode::OK),
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

    #[test]
    fn null_is_no_member_where_none_is_needed() {
        let bounds = JsonLimits { bytes_max: 1_000, depth_max: 20, nodes_max: 100 };
        for params in ["null", r#"{"_meta":null,"cursor":null}"#] {
            let message = Json::parse(format!(r#"{{"params":{params}}}"#).as_bytes(), bounds).unwrap();
            assert!(check_params("tools/list", &message, &Value::Null).is_ok(), "{params}");
            let call = check_params("tools/call", &message, &Value::Null);
            assert!(call.is_err(), "{params}: it needs a name");
        }
    }
}
