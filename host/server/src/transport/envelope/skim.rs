//! A walk over the bytes of a message that is not read in full, as they come: finds its id, wherever it stands, and holds the
//! message without the arguments of a call. Only strings and brackets are told apart; what is held is read strictly later.

use std::ops::Range;

use serde_json::Value;
use toolgate_policy::limits::wire::{ENVELOPE_BYTES_MAX, ID_BYTES_MAX};

/// What has been seen of a message so far.
#[derive(Debug, Default)]
pub(crate) struct Skim {
    position: usize,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// The last string, with its quotes, as far as it could be a key.
    string: Vec<u8>,
    /// The key whose value is being read, in the message and in its `params`.
    key: Key,
    key_in_params: Key,
    /// The text of the value of `id`.
    id: Vec<u8>,
    ids: Ids,
    /// The message, with `{}` in place of each value of `params.arguments`.
    rest: Vec<u8>,
    is_too_long: bool,
    arguments: Option<Range<usize>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Key {
    #[default]
    None,
    Id,
    Params,
    Arguments,
}

#[derive(Debug, Default, PartialEq)]
enum Ids {
    #[default]
    None,
    One(Value),
    /// They differ, so none of them is the message's.
    Several,
}

impl Skim {
    /// Walks over the whole of a message.
    pub(crate) fn over(text: &[u8]) -> Self {
        let mut skim = Self::default();
        skim.read(text);
        skim
    }

    /// Walks over the next bytes.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.step(*byte));
    }

    /// The id of the message, if it was there and complete; else `null`.
    pub(crate) fn id(&self) -> Value {
        let unfinished = (self.key == Key::Id && !self.in_string).then(|| to_id(&self.id)).flatten();
        match (&self.ids, unfinished) {
            (Ids::One(id), None) => id.clone(),
            // A number that is cut off is another number.
            (Ids::None, Some(id)) if id.is_string() => id,
            _ => Value::Null,
        }
    }

    /// The message without the arguments of a call, if it had any and the rest is not too long.
    pub(super) fn rest(&self) -> Option<&[u8]> {
        (self.arguments.is_some() && !self.is_too_long).then_some(&self.rest)
    }

    /// Where the arguments of a call stood.
    pub(super) fn arguments(&self) -> Option<Range<usize>> {
        self.arguments.clone()
    }

    fn step(&mut self, byte: u8) {
        let mut begins = Key::None;
        if self.in_string {
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

    /// A value begins after a colon. The key that it belongs to, where that is one of those that are looked for.
    fn begin_value(&mut self) -> Key {
        let key = match (self.depth, self.string.as_slice()) {
            (1, b"\"id\"") => Key::Id,
            (1, b"\"params\"") => Key::Params,
            (2, b"\"arguments\"") if self.key == Key::Params => Key::Arguments,
            _ => Key::None,
        };
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
            (Ids::None, None) => Ids::None,
            _ => Ids::Several,
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

/// No key that is looked for is longer.
const KEY_BYTES: usize = 16;

/// An id: a string or a number.
fn to_id(text: &[u8]) -> Option<Value> {
    match serde_json::from_slice::<Value>(text) {
        Ok(id @ (Value::String(_) | Value::Number(_))) => Some(id),
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
            let arguments = skim.arguments().map(|range| text.get(range).unwrap().to_owned());
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
