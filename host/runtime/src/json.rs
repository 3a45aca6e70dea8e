//! The strict reader of JSON that came from outside: bounded in size, depth and number of values, duplicate keys refused
//! anywhere (RFC 8259 §4 leaves open what they mean, so that two readers of one message may see two messages). Values
//! are read here and nowhere turned into anything else.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// A JSON value as it was written. Keys keep their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number without fraction or exponent, as far as 64 bits hold it.
    Integer(i128),
    /// Any other number: the nearest double.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    Array(Vec<Json>),
    /// Keys are distinct.
    Object(Vec<(String, Json)>),
}

/// How much is read.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of text.
    pub bytes_max: usize,
    /// Levels of arrays and objects.
    pub depth_max: usize,
    /// Keys, elements and scalars together.
    pub nodes_max: usize,
}

/// Why text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Too long.
    #[error("the text has more than {0} bytes")]
    Bytes(usize),
    /// It is JSON, and breaks a rule of ours.
    #[error("{0}")]
    Refused(String),
    /// It is no JSON.
    #[error("it is not JSON: {0}")]
    Malformed(String),
}

impl Json {
    /// Reads one value and nothing after it.
    ///
    /// # Errors
    /// [`JsonError`]; the first thing that is wrong.
    pub fn parse(text: &[u8], bounds: Bounds) -> Result<Self, JsonError> {
        if text.len() > bounds.bytes_max {
            return Err(JsonError::Bytes(bounds.bytes_max));
        }
        let refused = Cell::new(None);
        let nodes = Cell::new(0);
        let reader = Reader { depth: 0, nodes: &nodes, refused: &refused, bounds };
        let mut json = serde_json::Deserializer::from_slice(text);
        let value = reader.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
        match (refused.take(), value) {
            (Some(why), _) => Err(JsonError::Refused(why)),
            (None, Ok(value)) => Ok(value),
            (None, Err(error)) => Err(JsonError::Malformed(error.to_string())),
        }
    }

    /// The value under `key`, when this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Takes the value under `key` out.
    pub fn take(&mut self, key: &str) -> Option<Self> {
        match self {
            Self::Object(members) => {
                let at = members.iter().position(|(name, _)| name == key)?;
                Some(members.remove(at).1)
            }
            _ => None,
        }
    }

    /// The text, when this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of value this is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The value as compact JSON. Equal values give equal text.
    pub fn text(&self) -> String {
        self.value().to_string()
    }

    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::from(*value),
            Self::Integer(value) => u64::try_from(*value)
                .map(Value::from)
                .or_else(|_| i64::try_from(*value).map(Value::from))
                // As every reader has it that knows no wider integers; never as another value.
                .unwrap_or_else(|_| Value::from(*value as f64)),
            Self::Float(value) => Value::from(*value),
            Self::String(value) => Value::from(value.as_str()),
            Self::Array(elements) => elements.iter().map(Self::value).collect(),
            Self::Object(members) => {
                members.iter().map(|(key, value)| (key.clone(), value.value())).collect()
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    depth: usize,
    nodes: &'a Cell<usize>,
    refused: &'a Cell<Option<String>>,
    bounds: Bounds,
}

impl Reader<'_> {
    /// Notes why, and stops the parser with an error that nobody reads.
    fn refuse<E: serde::de::Error>(&self, why: String) -> E {
        self.refused.set(Some(why));
        E::custom("refused")
    }

    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        let nodes = self.nodes.get() + 1;
        self.nodes.set(nodes);
        if nodes > self.bounds.nodes_max {
            return Err(self.refuse(format!("it has more than {} values", self.bounds.nodes_max)));
        }
        Ok(())
    }

    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth >= self.bounds.depth_max {
            return Err(self.refuse(format!("it nests deeper than {} levels", self.bounds.depth_max)));
        }
        Ok(Self { depth: self.depth + 1, ..*self })
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            array.push(element);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut object: Vec<(String, Json)> = Vec::new();
        let mut keys = std::collections::HashSet::new();
        while let Some(key) = members.next_key::<String>()? {
            self.count()?;
            if !keys.insert(key.clone()) {
                let shown = toolgate_policy::redact::printable(&key, 100);
                return Err(self.refuse(format!("the key `{shown}` stands twice in one object")));
            }
            let value = members.next_value_seed(inner)?;
            object.push((key, value));
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
