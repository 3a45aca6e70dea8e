//! Incremental scan of a message that is not parsed in full. It finds the id anywhere, whether an answer is expected,
//! and the message without the arguments of a call. Only strings and brackets are told apart; results are parsed later.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;
use toolgate_policy::limits::wire::{ENVELOPE_BYTES_MAX, ID_BYTES_MAX};

/// State of a scan.
#[derive(Debug, Default)]
pub(crate) struct Skim {
    position: usize,
    depth: usize,
    /// The message has ended: later bytes are not part of it.
    has_ended: bool,
    in_string: bool,
    is_escaped: bool,
    /// Last string, with its quotes, up to the length of a key.
    string: Vec<u8>,
    /// Key whose value is being read, in the message and in its `params`.
    key: Key,
    key_in_params: Key,
    /// Text of the value of `id`.
    id: Vec<u8>,
    ids: Ids,
    has_id: bool,
    has_method: bool,
    has_outcome: bool,
    /// Message with `{}` in place of each value of `params.arguments`.
    rest: Vec<u8>,
    is_too_long: bool,
    /// Range of the arguments of a call.
    pub(super) arguments: Option<Range<usize>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Key {
    #[default]
    None,
    Id,
    Method,
    /// `result` or `error`
    Outcome,
    Params,
    Arguments,
}

#[derive(Debug, Default, PartialEq)]
enum Ids {
    #[default]
    None,
    One(Value),
    /// They differ, or cannot be returned exactly as written, so the message has no id.
    Unusable,
}

impl Skim {
    /// Scans a whole message.
    pub(crate) fn over(text: &[u8]) -> Self {
        let mut skim = Self::default();
        skim.read(text);
        skim
    }

    /// Scans the next bytes.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.step(*byte));
    }

    /// Id of the message, if complete; else `null`.
    pub(crate) fn id(&self) -> Value {
        if self.is_answer() {
            // Its id is, or seems to be, that of a request of the host.
            return Value::Null;
        }
        let unfinished = (self.key == Key::Id && !self.in_string).then(|| to_id(&self.id)).flatten();
        match (&self.ids, unfinished) {
            (Ids::One(id), None) => id.clone(),
            // A number that is cut off is a different number.
            (Ids::None, Some(id)) if id.is_string() => id,
            _ => Value::Null,
        }
    }

    /// Whether it is a response, even if malformed.
    fn is_answer(&self) -> bool {
        self.has_outcome && !self.has_method
    }

    /// Whether it expects no answer, if this was all of it: it is a response or a notification.
    pub(crate) fn wants_no_answer(&self) -> bool {
        self.is_answer() || (self.has_method && !self.has_id)
    }

    /// Message without the arguments of a call, if it had any and the rest is not too long.
    pub(super) fn rest(&self) -> Option<&[u8]> {
        (self.arguments.is_some() && !self.is_too_long).then_some(&self.rest)
    }

    fn step(&mut self, byte: u8) {
        let mut begins = Key::None;
        if self.has_ended {
            // Bytes after the end are ignored.
        } else if self.in_string {
            self.step_in_string(byte);
        } else {
            match byte {
                b'"' => {
                    self.in_string = true;
                    self.string.clear();
                    self.string.push(byte);
                }
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b',' => self.end_value(),
                b'}' | b']' => {
                    self.end_value();
                    self.has_ended = self.depth == 1;
                    self.depth = self.depth.saturating_sub(1);
                }
                b':' => begins = self.begin_value(),
                _ => {}
            }
        }
        self.hold(byte, begins);
        self.position = self.position.saturating_add(1);
    }

    fn step_in_string(&mut self, byte: u8) {
        if self.string.len() < KEY_BYTES {
            self.string.push(byte);
        }
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
    }

    /// Begins a value after a colon. Returns its key, if that is one of interest.
    fn begin_value(&mut self) -> Key {
        let key = match self.depth {
            1 => match &*to_key(&self.string) {
                b"id" => Key::Id,
                b"method" => Key::Method,
                b"result" | b"error" => Key::Outcome,
                b"params" => Key::Params,
                _ => Key::None,
            },
            2 if self.key == Key::Params && *to_key(&self.string) == *b"arguments" => Key::Arguments,
            _ => Key::None,
        };
        self.has_id |= key == Key::Id;
        self.has_method |= key == Key::Method;
        self.has_outcome |= key == Key::Outcome;
        match self.depth {
            1 => (self.key, self.key_in_params) = (key, Key::None),
            2 => self.key_in_params = key,
            _ => {}
        }
        if key == Key::Id {
            self.id.clear();
        }
        key
    }

    fn end_value(&mut self) {
        match self.depth {
            1 => {
                if self.key == Key::Id {
                    self.found(to_id(&self.id));
                }
                (self.key, self.key_in_params) = (Key::None, Key::None);
            }
            2 => {
                if self.key_in_params == Key::Arguments
                    && let Some(arguments) = &mut self.arguments
                {
                    arguments.end = self.position;
                }
                self.key_in_params = Key::None;
            }
            _ => {}
        }
    }

    fn found(&mut self, id: Option<Value>) {
        self.ids = match (std::mem::take(&mut self.ids), id) {
            (Ids::None, Some(id)) => Ids::One(id),
            (Ids::One(one), Some(id)) if one == id => Ids::One(id),
            _ => Ids::Unusable,
        };
    }

    fn hold(&mut self, byte: u8, begins: Key) {
        if self.key == Key::Id && begins != Key::Id && self.id.len() < ID_BYTES_MAX {
            self.id.push(byte);
        }
        if begins == Key::Arguments {
            let begin = self.position.saturating_add(1);
            self.arguments = Some(begin..begin);
            self.hold_rest(b":{}");
        } else if self.key_in_params != Key::Arguments {
            self.hold_rest(&[byte]);
        }
    }

    fn hold_rest(&mut self, bytes: &[u8]) {
        if self.rest.len().saturating_add(bytes.len()) > ENVELOPE_BYTES_MAX {
            self.is_too_long = true;
        } else {
            self.rest.extend_from_slice(bytes);
        }
    }
}

/// Maximum length of a key of interest, with its quotes and every character escaped.
const KEY_BYTES: usize = 64;

/// Decodes a key, which may have escapes.
fn to_key(string: &[u8]) -> Cow<'_, [u8]> {
    let inner = string.strip_prefix(b"\"").and_then(|string| string.strip_suffix(b"\"")).unwrap_or_default();
    if inner.contains(&b'\\') {
        Cow::Owned(serde_json::from_slice::<String>(string).unwrap_or_else(|_| String::new()).into_bytes())
    } else {
        Cow::Borrowed(inner)
    }
}

/// Parses an id: a string, or a number that is serialised exactly as written.
fn to_id(text: &[u8]) -> Option<Value> {
    match serde_json::from_slice::<Value>(text) {
        Ok(id @ Value::String(_)) => Some(id),
        Ok(Value::Number(id)) if id.to_string().as_bytes() == text.trim_ascii() => Some(Value::Number(id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_id_is_found_in_the_outermost_object_wherever_it_stands() {
        for (text, id) in [
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"a"#, json!(7)),
            (r#" { "id" : "x\"y" , "params": ["#, json!("x\"y")),
            (r#"{"params":{"id":1},"id":-2,"#, json!(-2)),
            (r#"{"params":{"arguments":{"a":"x \ud83d"}},"id":3}"#, json!(3)),
            (r#"{"params":{"a":[[[[{"id":1,"b":"}]"}]]]]},"id":"late"}"#, json!("late")),
            (r#"{"params":[{"id":1}],"method":"id","#, Value::Null),
            (r#"{"method":"id","id":3}"#, json!(3)),
            (r#"{"id":7"#, Value::Null),
            (r#"{"id":"abc"#, Value::Null),
            (r#"{"id":"abc""#, json!("abc")),
            (r#"{"id":null,"a":1"#, Value::Null),
            (r#"{"id":1.5,"#, json!(1.5)),
            (r#"{"id":18446744073709551615,"#, json!(u64::MAX)),
            (r#"{"id":{"id":1},"#, Value::Null),
            (r#"[{"id":1}]"#, Value::Null),
            // Which of them would be meant?
            (r#"{"id":1,"id":2}"#, Value::Null),
            (r#"{"id":1,"id":{}}"#, Value::Null),
            (r#"{"id":1,"id":1}"#, json!(1)),
            (r#"{"id":{},"id":1}"#, Value::Null),
            (r#"{"\u0069d":1,"id":2}"#, Value::Null),
            (r#"{"\u0069\u0064":1}"#, json!(1)),
            // It would be another one.
            (r#"{"id":123456789012345678901234567890}"#, Value::Null),
            (r#"{"id":-0}"#, Value::Null),
            (r#"{"id":-0,"id":1}"#, Value::Null),
            (r#"{"id":1e2}"#, Value::Null),
            (r#"{"id": 1.50 }"#, Value::Null),
            // The id of a response is not one of its sender's requests.
            (r#"{"id":5,"result":{}}"#, Value::Null),
            (r#"{"error":5,"id":5}"#, Value::Null),
            (r#"{"id":5,"\u0072esult":{"method":"x"}}"#, Value::Null),
            (r#"{"id":5,"method":"x","params":{"result":1}}"#, json!(5)),
            // What follows is another message, if it is one.
            (r#"{"id":1,"method":"ping"}{"id":2}"#, json!(1)),
            (r#"{"method":"ping"} {"id":2}"#, Value::Null),
            ("", Value::Null),
            ("\"", Value::Null),
            ("]]]]", Value::Null),
        ] {
            assert_eq!(Skim::over(text.as_bytes()).id(), id, "{text}");
        }
        let mut bytes = b"{\"x\":\"\xff\xfe\",\"id\":4}".to_vec();
        assert_eq!(Skim::over(&bytes).id(), json!(4));
        bytes.splice(..0, format!("{{\"id\":\"{}\",\"y\":", "x".repeat(ID_BYTES_MAX)).into_bytes());
        assert_eq!(Skim::over(&bytes).id(), Value::Null, "longer than an id");
    }

    #[test]
    fn the_message_is_held_without_the_arguments_of_a_call() {
        let rest = |text: &str| {
            let mut skim = Skim::default();
            text.as_bytes().chunks(3).for_each(|chunk| skim.read(chunk));
            let arguments = skim.arguments.clone().map(|range| text.get(range).unwrap().to_owned());
            (skim.rest().map(|rest| String::from_utf8(rest.to_vec()).unwrap()), arguments)
        };
        for (text, without, arguments) in [
            (
                r#"{"params":{"arguments":{"a":["]"]},"b":1},"id":1}"#,
                r#"{"params":{"arguments":{},"b":1},"id":1}"#,
                r#"{"a":["]"]}"#,
            ),
            (r#"{"params":{"arguments": "x,}\"" }}"#, r#"{"params":{"arguments":{}}}"#, r#" "x,}\"" "#),
            (
                r#"{"params":{"a":{"arguments":1},"arguments":2}}"#,
                r#"{"params":{"a":{"arguments":1},"arguments":{}}}"#,
                "2",
            ),
            // Both stay, for the strict reader to see that there are two.
            (
                r#"{"params":{"arguments":1,"arguments":2}}"#,
                r#"{"params":{"arguments":{},"arguments":{}}}"#,
                "2",
            ),
        ] {
            assert_eq!(rest(text), (Some(without.to_owned()), Some(arguments.to_owned())), "{text}");
        }
        assert_eq!(rest(r#"{"arguments":1,"params":{"a":2}}"#), (None, None));
        let long = format!(r#"{{"params":{{"arguments":1,"b":"{}"}}}}"#, "x".repeat(ENVELOPE_BYTES_MAX));
        assert_eq!(rest(&long).0, None, "what is held has a bound");
        let long = format!(r#"{{"params":{{"arguments":"{}"}}}}"#, "x".repeat(ENVELOPE_BYTES_MAX));
        assert_eq!(rest(&long).0.unwrap(), r#"{"params":{"arguments":{}}}"#);
    }
}
