//! Strict reader of JSON from outside: bounded in size, depth and number of values. Duplicate keys are refused
//! everywhere, since two readers could otherwise see two messages (RFC 8259 §4). Values are not converted here.

mod canonical;
mod members;

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;
use toolgate_policy::limits::wire::{JSON_KEY_BYTES_MAX, JSON_KEYS_MAX};

pub use members::Members;

/// A JSON value as written. Keys are in their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number without fraction or exponent that fits in 64 bits.
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

/// Bounds of what is read.
#[derive(Debug, Clone, Copy)]
pub struct JsonLimits {
    /// Bytes of text.
    pub bytes_max: usize,
    /// Levels of arrays and objects.
    pub depth_max: usize,
    /// Keys, elements and scalars together.
    pub nodes_max: usize,
}

/// Reasons to refuse a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Too long.
    #[error("the text has more than {0} bytes")]
    Bytes(usize),
    /// Valid JSON that breaks one of our rules.
    #[error("{0}")]
    Refused(String),
    /// Not JSON.
    #[error("it is not JSON: {0}")]
    Malformed(String),
}

impl Json {
    /// Reads one value and nothing after it.
    ///
    /// # Errors
    /// [`JsonError`] for the first fault.
    pub fn parse(text: &[u8], bounds: JsonLimits) -> Result<Self, JsonError> {
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

    /// Whether text is JSON by its grammar, even if this reader refuses it. Memory use depends only on its depth.
    pub fn is_json(text: &[u8]) -> bool {
        let is_value = |text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        std::str::from_utf8(text).is_ok_and(is_value)
    }

    /// Value under `key`, if this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Mutable value under `key`.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match self {
            Self::Object(members) => members.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Removes and returns the value under `key`.
    pub fn take(&mut self, key: &str) -> Option<Self> {
        match self {
            Self::Object(members) => {
                let at = members.iter().position(|(name, _)| name == key)?;
                Some(members.remove(at).1)
            }
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Kind of this value, for messages.
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

    /// The value as compact JSON, its keys in their order.
    pub fn text(&self) -> String {
        // Only a writer can fail, and memory does not.
        serde_json::to_string(self).unwrap_or_else(|_| self.value().to_string())
    }

    /// Number of values: keys, elements and scalars together.
    pub fn nodes(&self) -> usize {
        match self {
            Self::Array(elements) => 1 + elements.iter().map(Self::nodes).sum::<usize>(),
            Self::Object(members) => 1 + members.iter().map(|(_, value)| 1 + value.nodes()).sum::<usize>(),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Float(_) | Self::String(_) => 1,
        }
    }

    /// Memory that it takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.outside_bytes()
    }

    /// Heap memory, in bytes.
    fn outside_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Float(_) => 0,
            Self::String(text) => text.capacity(),
            Self::Array(elements) => {
                let own = elements.capacity() * size_of::<Self>();
                own + elements.iter().map(Self::outside_bytes).sum::<usize>()
            }
            Self::Object(members) => {
                let own = members.capacity() * size_of::<(String, Self)>();
                let each = |(key, value): &(String, Self)| key.capacity() + value.outside_bytes();
                own + members.iter().map(each).sum::<usize>()
            }
        }
    }

    /// The same value as a [`serde_json::Value`]: a second tree.
    pub fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::from(*value),
            Self::Integer(value) => u64::try_from(*value)
                .map(Value::from)
                .or_else(|_| i64::try_from(*value).map(Value::from))
                // As in readers without wider integers; never another value.
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
    bounds: JsonLimits,
}

impl Reader<'_> {
    /// Stores the reason, and stops the parser with an error that is dropped.
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
        // Spare capacity of many small lists would add up.
        array.shrink_to_fit();
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut object: Vec<(String, Json)> = Vec::new();
        let mut keys = std::collections::HashSet::new();
        while let Some(key) = members.next_key::<String>()? {
            self.count()?;
            if key.len() > JSON_KEY_BYTES_MAX {
                return Err(self.refuse(format!("it has a key of more than {JSON_KEY_BYTES_MAX} bytes")));
            }
            if object.len() >= JSON_KEYS_MAX {
                return Err(self.refuse(format!("it has an object with more than {JSON_KEYS_MAX} keys")));
            }
            let stands_twice = if object.len() < FEW_KEYS {
                object.iter().any(|(other, _)| *other == key)
            } else {
                if keys.is_empty() {
                    keys.extend(object.iter().map(|(other, _)| other.clone()));
                }
                !keys.insert(key.clone())
            };
            if stands_twice {
                let shown = toolgate_policy::redact::printable(&key, 100);
                return Err(self.refuse(format!("the key `{shown}` appears twice in one object")));
            }
            let value = members.next_value_seed(inner)?;
            object.push((key, value));
        }
        object.shrink_to_fit();
        Ok(Json::Object(object))
    }
}

/// Up to this number keys are compared one by one; beyond it they are hashed.
const FEW_KEYS: usize = 8;

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => serializer.serialize_u64(value),
                (Err(_), Ok(value)) => serializer.serialize_i64(value),
                (Err(_), Err(_)) => serializer.serialize_i128(*value),
            },
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::String(value) => serializer.serialize_str(value),
            Self::Array(elements) => serializer.collect_seq(elements),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
