//! Values of the strict reader in the form that the schema library reads, without a copy.

use std::borrow::Cow;
use std::iter::Map;
use std::slice::Iter;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json as Representation, Node, NodeIdentity, Object, cmp};
use serde_json::{Number, Value};
use toolgate_base::json::{Json, Members};

/// Values of the strict reader.
pub(in crate::load) struct Strict;

impl Representation for Strict {
    type Node<'v> = &'v Json;
    type PreparedKey = String;
    type StringBuffer = Option<Json>;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut Option<Json>, text: &str, look: impl FnOnce(&Json) -> T) -> T {
        look(buffer.insert(Json::String(text.to_owned())))
    }
}

impl<'v> Node<'v, Strict> for &'v Json {
    type Object = Members<'v>;
    type Array = &'v [Json];
    type Number = Number;

    fn as_object(&self) -> Option<Members<'v>> {
        match self {
            Json::Object(members) => Some(Members::of(members)),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<&'v [Json]> {
        match self {
            Json::Array(elements) => Some(elements),
            _ => None,
        }
    }

    fn as_string(&self) -> Option<Cow<'v, str>> {
        match self {
            Json::String(text) => Some(Cow::Borrowed(text)),
            _ => None,
        }
    }

    fn as_number(&self) -> Option<Number> {
        match (self, self.json_type()) {
            (number, JsonType::Number) => number.value().as_number().cloned(),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self {
            Json::Bool(value) => Some(*value),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Json::Null)
    }

    fn json_type(&self) -> JsonType {
        match self {
            Json::Null => JsonType::Null,
            Json::Bool(_) => JsonType::Boolean,
            Json::Integer(_) | Json::Float(_) => JsonType::Number,
            Json::String(_) => JsonType::String,
            Json::Array(_) => JsonType::Array,
            Json::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match (self, expected) {
            (Json::Array(elements), Value::Array(others)) => {
                let pairs = || elements.iter().zip(others);
                elements.len() == others.len() && pairs().all(|(element, other)| element.equals_value(other))
            }
            (Json::Object(members), Value::Object(others)) => {
                let has = |(key, value): &(String, Json)| {
                    others.get(key).is_some_and(|other| value.equals_value(other))
                };
                members.len() == others.len() && members.iter().all(has)
            }
            (Json::Array(_) | Json::Object(_), _) => false,
            (scalar, expected) => cmp::equal(&scalar.value(), expected),
        }
    }

    fn to_value(&self) -> Cow<'v, Value> {
        Cow::Owned(self.value())
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref(*self).addr()))
    }
}

impl<'v> Object<'v, Strict> for Members<'v> {
    type Node = &'v Json;
    type MemberName = &'v str;
    type MembersIter = Map<Iter<'v, (String, Json)>, fn(&'v (String, Json)) -> (&'v str, &'v Json)>;

    fn len(&self) -> usize {
        self.list.len()
    }

    fn get(&self, key: &String) -> Option<&'v Json> {
        Members::get(self, key)
    }

    fn members(&self) -> Self::MembersIter {
        self.list.iter().map(|(key, value)| (key, value))
    }
}

impl<'v> Array<'v, Strict> for &'v [Json] {
    type Node = &'v Json;
    type ElementsIter = Iter<'v, Json>;

    fn len(&self) -> usize {
        <[Json]>::len(self)
    }

    fn elements(&self) -> Iter<'v, Json> {
        self.iter()
    }
}
