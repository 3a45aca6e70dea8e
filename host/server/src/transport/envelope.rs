//! One raw message, read strictly once: size, depth, duplicate keys anywhere, no batches. The arguments of a call are taken
//! from here, so that what is checked is what was written; the protocol's library, which reads leniently and many times, gets
//! the rest.

mod identity;

use bytes::Bytes;
use serde_json::{Value, json};
use toolgate_policy::limits::wire::{ENVELOPE_BYTES_MAX, ENVELOPE_NODES_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};
use toolgate_runtime::json::{Bounds, Json, JsonError};

/// A message that may go on to the library.
pub(crate) struct Envelope {
    /// Its method, when it is a request or a notification.
    pub(crate) method: Option<String>,
    /// Whether it wants an answer.
    pub(crate) is_request: bool,
    /// Its id, if it has one.
    pub(crate) id: Value,
    /// The arguments, when it is a `tools/call`.
    pub(crate) arguments: Option<Json>,
    /// The message without them.
    pub(crate) rest: Bytes,
}

/// A message that goes nowhere.
#[derive(Debug)]
pub(crate) struct Malformed {
    code: i32,
    why: String,
    id: Value,
}

/// JSON-RPC 2.0 §5.1.
const PARSE_ERROR: i32 = -32700;
/// JSON-RPC 2.0 §5.1.
const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC 2.0 §5.1: the host cannot take it now.
const INTERNAL_ERROR: i32 = -32603;

impl Envelope {
    /// Reads a message of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`Malformed`], with the message's id where it has one.
    pub(crate) fn read(text: &[u8], bytes_max: u64) -> Result<Self, Malformed> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let bounds = Bounds { bytes_max, depth_max: JSON_DEPTH_MAX, nodes_max: JSON_NODES_MAX };
        let mut message = Json::parse(text, bounds).map_err(|error| match error {
            JsonError::Malformed(why) => {
                Malformed { code: PARSE_ERROR, why: format!("Parse error: {why}"), id: Value::Null }
            }
            JsonError::Bytes(_) | JsonError::Refused(_) => {
                let beginning = text.get(..ENVELOPE_BYTES_MAX).unwrap_or(text);
                Malformed::invalid(error.to_string(), identity::id_in(beginning))
            }
        })?;
        let id = match message.get("id") {
            Some(Json::String(id)) => json!(id),
            Some(Json::Integer(id)) => i64::try_from(*id).map_or(Value::Null, Value::from),
            _ => Value::Null,
        };
        let invalid = |why: &str| Malformed {
            code: INVALID_REQUEST,
            why: format!("Invalid Request: {why}"),
            id: id.clone(),
        };
        match &message {
            Json::Object(_) => {}
            Json::Array(_) => {
                return Err(invalid("batches were removed from MCP; send one message at a time"));
            }
            _ => return Err(invalid("a message is a JSON object")),
        }
        if message.get("jsonrpc").and_then(Json::as_str) != Some("2.0") {
            return Err(invalid("`jsonrpc` is not \"2.0\""));
        }
        let method = match message.get("method") {
            None => None,
            Some(Json::String(method)) => Some(method.clone()),
            Some(_) => return Err(invalid("`method` is no string")),
        };
        let is_request = method.is_some() && message.get("id").is_some();
        if is_request && id.is_null() {
            return Err(invalid("`id` is neither a string nor an integer"));
        }
        let arguments = (method.as_deref() == Some("tools/call")).then(|| take_arguments(&mut message));
        let rest = rest(&message).map_err(|why| invalid(&why))?;
        Ok(Self { method, is_request, id, arguments, rest })
    }
}

impl Envelope {
    /// The same, with the memory that the arguments take, in bytes.
    ///
    /// # Errors
    /// [`Malformed`].
    pub(crate) fn read_weighed(text: &[u8], bytes_max: u64) -> Result<(Self, usize), Malformed> {
        let envelope = Self::read(text, bytes_max)?;
        let held_bytes = envelope.arguments.as_ref().map_or(0, Json::held_bytes);
        Ok((envelope, held_bytes))
    }
}

/// The arguments of a call. What is no object stays where it is, for the library to refuse.
fn take_arguments(message: &mut Json) -> Json {
    let params = message.get_mut("params");
    match params.as_ref().and_then(|params| params.get("arguments")) {
        Some(Json::Object(_)) => params.and_then(|params| params.take("arguments")),
        Some(other) => Some(if *other == Json::Null { Json::Null } else { Json::Object(Vec::new()) }),
        None => None,
    }
    .unwrap_or(Json::Object(Vec::new()))
}

/// A message without a call's arguments, for the library.
fn rest(message: &Json) -> Result<Bytes, String> {
    if message.nodes() > ENVELOPE_NODES_MAX {
        return Err(format!("it has more than {ENVELOPE_NODES_MAX} values beside the arguments of a call"));
    }
    let text = message.text();
    if text.len() > ENVELOPE_BYTES_MAX {
        return Err(format!("it has more than {ENVELOPE_BYTES_MAX} bytes beside the arguments of a call"));
    }
    Ok(Bytes::from(text))
}

impl Malformed {
    /// A well-formed message of the wrong shape.
    pub(crate) fn invalid(why: impl Into<String>, id: Value) -> Self {
        Self { code: INVALID_REQUEST, why: format!("Invalid Request: {}", why.into()), id }
    }

    /// A message that is not read now. `beginning` is what came of it, in which its id may stand.
    pub(crate) fn turned_away(why: impl Into<String>, beginning: &[u8]) -> Self {
        Self { code: INTERNAL_ERROR, why: why.into(), id: identity::id_in(beginning) }
    }

    /// A message that cannot be taken now.
    pub(crate) fn busy(why: impl Into<String>, id: Value) -> Self {
        Self { code: INTERNAL_ERROR, why: why.into(), id }
    }

    /// The answer to it: a JSON-RPC error.
    pub(crate) fn reply(&self) -> Value {
        json!({ "jsonrpc": "2.0", "id": self.id, "error": { "code": self.code, "message": self.why } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Envelope, Malformed> {
        Envelope::read(text.as_bytes(), 10_000)
    }

    #[test]
    fn the_arguments_of_a_call_are_taken_as_written() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"b":1,"a":18446744073709551615}}}"#;
        let arguments = read(text).unwrap().arguments.unwrap();
        assert_eq!(arguments.text(), r#"{"b":1,"a":18446744073709551615}"#);
        let none = read(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#).unwrap();
        assert_eq!(none.arguments, Some(Json::Object(vec![])));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let values = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":[{}]}}"#,
            vec!["0"; ENVELOPE_NODES_MAX].join(",")
        );
        for (text, code) in [
            (values.as_str(), INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping"}"#, INVALID_REQUEST),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"a":1,"a":2}}}"#,
                INVALID_REQUEST,
            ),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, INVALID_REQUEST),
            (r#"{"id":1,"method":"ping"}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":["ping"]}"#, INVALID_REQUEST),
            (r#""ping""#, INVALID_REQUEST),
            ("{", PARSE_ERROR),
            ("", PARSE_ERROR),
        ] {
            assert_eq!(read(text).err().unwrap().code, code, "{text}");
        }
        let deep = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{}{}}}"#,
            "[".repeat(70),
            "]".repeat(70)
        );
        assert_eq!(read(&deep).err().unwrap().code, INVALID_REQUEST);
    }

    #[test]
    fn the_library_gets_the_message_without_the_arguments() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"b":1},"_meta":{"x":1.0}}}"#;
        let envelope = read(text).unwrap();
        assert_eq!(envelope.rest, text.replace(r#","arguments":{"b":1}"#, ""));
        let other = r#"{"jsonrpc":"2.0","id":"1","method":"x","params":{"arguments":{"b":1}}}"#;
        assert_eq!(read(other).unwrap().rest, other);
    }

    #[test]
    fn only_arguments_may_be_large() {
        let call = |name: &str, argument: usize| {
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{{"a":"{}"}}}}}}"#,
                "x".repeat(argument)
            );
            Envelope::read(text.as_bytes(), 1 << 20)
        };
        assert!(call("t", ENVELOPE_BYTES_MAX).is_ok());
        let refused = call(&"t".repeat(ENVELOPE_BYTES_MAX), 0).err().unwrap().reply();
        assert_eq!(refused.get("id"), Some(&json!(1)));
        assert!(refused.to_string().contains("beside the arguments"), "{refused}");
    }

    #[test]
    fn the_answer_carries_the_id_where_there_is_one() {
        let reply = read(r#"{"jsonrpc":"1.0","id":"x","method":"ping"}"#).err().unwrap().reply();
        assert_eq!(reply.get("id"), Some(&json!("x")));
    }
}
