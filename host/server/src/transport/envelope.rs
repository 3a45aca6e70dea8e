//! One raw message, parsed strictly once: size, depth, duplicate keys, no batches. The arguments of a call are taken
//! from here, so that the checked bytes are those that were written. The protocol library, which parses leniently and
//! repeatedly, gets the rest. A message that cannot be parsed in full is answered by the id found in it.

mod malformed;
mod shape;
mod skim;

use bytes::Bytes;
use serde_json::{Value, json};
use toolgate_base::json::{Json, JsonError, JsonLimits};
use toolgate_policy::limits::wire::{ENVELOPE_BYTES_MAX, ENVELOPE_NODES_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};
use toolgate_runtime::call::request::Arguments;
use toolgate_runtime::large::LargeMessage;
use toolgate_runtime::quota::QuotaError;

use crate::mcp::MessageError;
pub(crate) use malformed::Malformed;
use shape::MessageKind;
pub(crate) use skim::Skim;

/// A message that may be passed to the library.
pub(crate) struct Envelope {
    /// Method of a request or a notification.
    pub(crate) method: Option<String>,
    /// Whether it expects an answer.
    pub(crate) is_request: bool,
    /// Id, if it has one.
    pub(crate) id: Value,
    /// Name of the tool in a `tools/call`.
    pub(crate) tool: Option<String>,
    /// Arguments of a `tools/call`, or the reason why they cannot be read.
    pub(crate) arguments: Option<Result<Json, String>>,
    /// Message without the arguments.
    pub(crate) rest: Bytes,
}

/// Removes the byte order mark that some writers put before JSON (RFC 8259 §8.1 lets readers ignore it).
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf".as_slice()).unwrap_or(text)
}

impl Envelope {
    /// Reads a message of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`Malformed`], with the message's id where it has one.
    pub(crate) fn read(text: &[u8], bytes_max: u64) -> Result<Self, Malformed> {
        let text = without_mark(text);
        match Json::parse(text, bounds(bytes_max)) {
            Ok(message) => Self::of(message, text),
            Err(error) => Self::without_arguments(text, &error),
        }
    }

    /// Like [`Self::read`], with the memory that the arguments take, in bytes.
    pub(crate) fn read_weighed(text: &[u8], bytes_max: u64) -> Result<(Self, usize), Malformed> {
        let envelope = Self::read(text, bytes_max)?;
        let arguments = envelope.arguments.as_ref().and_then(|arguments| arguments.as_ref().ok());
        let held_bytes = arguments.map_or(0, Json::memory_bytes);
        Ok((envelope, held_bytes))
    }

    /// Makes the result for a message of more than `bytes_max` bytes, skimmed only in part. It is a call with
    /// unreadable arguments, if the rest can be read.
    pub(crate) fn too_large(skim: &Skim, bytes_max: u64) -> Result<Self, Malformed> {
        let why = format!("the message has more than {bytes_max} bytes ([server.limits] body_bytes_max)");
        Self::call(skim, &format!("{why}; make the arguments shorter"))
            .ok_or_else(|| Malformed::invalid(why, skim.id()).unanswered_if(skim.wants_no_answer()))
    }

    /// Makes the result for a message that cannot be parsed: if it is JSON and only the arguments are at fault, a call
    /// with unreadable arguments. Text that is not JSON gets an error (JSON-RPC §5.1), since its meaning is unknown.
    fn without_arguments(text: &[u8], error: &JsonError) -> Result<Self, Malformed> {
        let skim = Skim::over(text);
        if !Json::is_json(text) {
            return Err(Malformed::not_json(&error.to_string(), skim.id()));
        }
        // The limits that apply to arguments inside a message: they are two levels deep.
        let inner = JsonLimits { depth_max: JSON_DEPTH_MAX - 2, ..bounds(u64::MAX) };
        let arguments = skim.arguments.clone().and_then(|range| text.get(range));
        let own = arguments.and_then(|arguments| Json::parse(arguments, inner).err());
        Self::call(&skim, &plain(own.as_ref().unwrap_or(error)))
            .ok_or_else(|| Malformed::invalid(plain(error), skim.id()).unanswered_if(skim.wants_no_answer()))
    }

    /// Makes a call with unreadable arguments, if the skimmed message is one.
    fn call(skim: &Skim, why: &str) -> Option<Self> {
        let rest = skim.rest()?;
        let rest = without_mark(rest);
        let mut envelope = Self::of(Json::parse(rest, bounds(u64::MAX)).ok()?, rest).ok()?;
        if !envelope.is_request {
            return None;
        }
        *envelope.arguments.as_mut()? = Err(format!("the arguments cannot be read: {why}"));
        Some(envelope)
    }

    /// Makes the result for a parsed message; `text` is the whole of it.
    fn of(mut message: Json, text: &[u8]) -> Result<Self, Malformed> {
        let id = match message.get("id") {
            // Exactly as written, or not at all.
            Some(Json::Float(_)) => Skim::over(text).id(),
            id => to_value(id),
        };
        let kind = shape::kind(&message)
            .map_err(|why| Malformed::invalid(why, id.clone()).unanswered_if(shape::is_answer(&message)))?;
        let (method, is_request) = match kind {
            MessageKind::Request(method) => (Some(method.to_owned()), true),
            MessageKind::Notification(method) => (Some(method.to_owned()), false),
            MessageKind::Response => (None, false),
        };
        if let Some(method) = &method {
            let checked = shape::check_params(method, &message, &id);
            checked.map_err(|error| error.unanswered_if(!is_request))?;
        }
        let is_call = method.as_deref() == Some("tools/call");
        let tool = message.get("params").and_then(|params| params.get("name")).and_then(Json::as_str);
        let tool = tool.filter(|_| is_call).map(str::to_owned);
        let arguments = is_call.then(|| Ok(take_arguments(&mut message)));
        let rest = rest(&message);
        let rest = rest.map_err(|why| Malformed::invalid(why, id.clone()).unanswered_if(!is_request))?;
        Ok(Self { method, is_request, id, tool, arguments, rest })
    }

    /// Makes the answer to a message that the protocol library refuses.
    pub(crate) fn refused(&self, error: &MessageError) -> Malformed {
        let refused = match error {
            MessageError::Shape => Malformed::invalid(error.to_string(), self.id.clone()),
            MessageError::Params(why) => Malformed::params(why, self.id.clone()),
        };
        refused.unanswered_if(!self.is_request)
    }

    /// Takes the arguments for the call. Those of a large message keep its quota.
    ///
    /// # Errors
    /// [`QuotaError`] if their present size exceeds the quota.
    pub(crate) fn take_arguments(
        &mut self,
        held_bytes: usize,
        admitted: Option<LargeMessage>,
    ) -> Result<Option<Arguments>, QuotaError> {
        Ok(match (self.arguments.take(), admitted) {
            (None, _) => None,
            (Some(Err(why)), _) => Some(Arguments::unreadable(why)),
            (Some(Ok(arguments)), None) => Some(Arguments::from(arguments)),
            (Some(Ok(arguments)), Some(admitted)) => Some(Arguments::large(arguments, held_bytes, admitted)?),
        })
    }
}

fn bounds(bytes_max: u64) -> JsonLimits {
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    JsonLimits { bytes_max, depth_max: JSON_DEPTH_MAX, nodes_max: JSON_NODES_MAX }
}

/// Message for JSON text that is refused.
fn plain(error: &JsonError) -> String {
    match error {
        // Valid by the grammar (RFC 8259 §8.2), but not a character.
        JsonError::Malformed(why) if why.contains("hex escape") => {
            "a string has half of a surrogate pair, such as \\ud83d alone; write the whole character"
                .to_owned()
        }
        JsonError::Malformed(why) | JsonError::Refused(why) => why.clone(),
        JsonError::Bytes(_) => error.to_string(),
    }
}

/// Converts an id for the answer.
fn to_value(id: Option<&Json>) -> Value {
    match id {
        Some(Json::String(id)) => json!(id),
        Some(Json::Integer(id)) => i64::try_from(*id)
            .map(Value::from)
            .or_else(|_| u64::try_from(*id).map(Value::from))
            .unwrap_or(Value::Null),
        _ => Value::Null,
    }
}

/// Takes the arguments of a call. Some clients write `null` for none.
fn take_arguments(message: &mut Json) -> Json {
    match message.get_mut("params").and_then(|params| params.take("arguments")) {
        Some(arguments @ Json::Object(_)) => arguments,
        _ => Json::Object(Vec::new()),
    }
}

/// Serialises a message without a call's arguments, for the library.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Envelope, Malformed> {
        Envelope::read(text.as_bytes(), 10_000)
    }

    fn call(arguments: &str) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","method":"tools/call","params":{{"name":"t","arguments":{arguments}}},"id":7}}"#
        )
    }

    #[test]
    fn the_arguments_of_a_call_are_taken_as_written() {
        let arguments = |text: &str| read(text).unwrap().arguments.unwrap().unwrap().text();
        assert_eq!(
            arguments(&call(r#"{"b":1,"a":18446744073709551615}"#)),
            r#"{"b":1,"a":18446744073709551615}"#
        );
        let none = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;
        assert_eq!(arguments(none), "{}");
    }

    #[test]
    fn what_stands_twice_or_too_often_beside_the_arguments_is_refused() {
        let values = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":[{}]}}}}"#,
            vec!["0"; ENVELOPE_NODES_MAX].join(",")
        );
        let twice = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b","arguments":{"a":1,"a":2}}}"#;
        for text in [&values, twice] {
            assert_eq!(read(text).err().unwrap().reply()["error"]["code"], -32600, "{text}");
        }
    }

    #[test]
    fn of_a_message_that_is_cut_off_nothing_is_a_call() {
        let text = call(&format!(r#"{{"a":"{}"}}"#, "x".repeat(ENVELOPE_BYTES_MAX)));
        let half = Skim::over(text.as_bytes().get(..text.len() / 2).unwrap());
        assert!(Envelope::too_large(&half, 5).is_err(), "nobody knows what else it says");
    }

    #[test]
    fn the_library_gets_the_message_without_the_arguments() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"b":1},"_meta":{"x":1.0}}}"#;
        let envelope = read(text).unwrap();
        assert_eq!(envelope.rest, text.replace(r#","arguments":{"b":1}"#, ""));
        let other = r#"{"jsonrpc":"2.0","id":"1","method":"x","params":{"arguments":{"b":1}}}"#;
        assert_eq!(read(other).unwrap().rest, other);
    }
}
