//! Length of a value as JSON, and memory of the tree built from it: both are computed before anything is built.

use serde_json::Value;
use wasmtime::component::Val;

use super::cost::chunk;
use super::lift_error::LiftError;
use super::scalar::{float, integer};
use super::shape::{Case, Field, Shape};

/// Answer being lifted: its counted length, and the callback that reserves memory for it.
pub(super) struct LiftCost<'h> {
    pub(super) length: Length,
    pub(super) hold: &'h mut dyn FnMut(u64) -> bool,
}

impl LiftCost<'_> {
    /// Reserves memory for everything counted so far.
    pub(super) fn hold(&mut self) -> Result<(), LiftError> {
        if (self.hold)(self.length.memory()) { Ok(()) } else { Err(LiftError::NoMemory) }
    }
}

/// Bytes left for an answer, and what has been counted so far.
pub(super) struct Length {
    left: u64,
    bytes_max: u64,
    json: u64,
    tree: u64,
}

/// Form in which JSON is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goes {
    /// As JSON.
    AsIs,
    /// As JSON inside a JSON string.
    AsText,
    /// In both forms.
    Twice,
}

/// Inline size of an element of a tree.
const NODE: u64 = size_of::<Value>() as u64;

impl Length {
    /// Counter for an answer of at most this many bytes.
    pub(super) fn within(bytes_max: u64) -> Self {
        Self { left: bytes_max, bytes_max, json: 0, tree: NODE }
    }

    /// Bytes of JSON so far.
    pub(super) fn json(&self) -> u64 {
        self.json
    }

    /// Bytes of memory counted, for the tree and the JSON.
    pub(super) fn memory(&self) -> u64 {
        self.tree.saturating_add(self.json)
    }

    /// Counts a value sent in this form.
    ///
    /// # Errors
    /// [`LiftError::Large`], or [`LiftError::Mistyped`] if it does not match the shape.
    pub(super) fn value(&mut self, val: &Val, shape: &Shape, goes: Goes) -> Result<(), LiftError> {
        Counting { length: self, goes }.value(val, shape)
    }

    /// Counts a text sent as a member of an object, with its quotes.
    ///
    /// # Errors
    /// [`LiftError::Large`].
    pub(super) fn text(&mut self, text: &str) -> Result<(), LiftError> {
        Counting { length: self, goes: Goes::AsIs }.text(text)
    }

    /// Counts bytes that are sent once.
    ///
    /// # Errors
    /// [`LiftError::Large`].
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), LiftError> {
        self.left = self.left.checked_sub(bytes).ok_or(LiftError::Large(self.bytes_max))?;
        Ok(())
    }

    /// Counts memory.
    pub(super) fn hold(&mut self, bytes: u64) {
        self.tree = self.tree.saturating_add(bytes);
    }
}

struct Counting<'l> {
    length: &'l mut Length,
    goes: Goes,
}

impl Counting<'_> {
    /// Counts JSON: `bytes` as it is, `as_text` inside a JSON string.
    fn say(&mut self, bytes: u64, as_text: u64) -> Result<(), LiftError> {
        self.length.json = self.length.json.saturating_add(bytes);
        self.length.spend(match self.goes {
            Goes::AsIs => bytes,
            Goes::AsText => as_text,
            Goes::Twice => bytes.saturating_add(as_text),
        })
    }

    fn hold(&mut self, bytes: u64) {
        self.length.hold(bytes);
    }

    /// Counts punctuation and numbers, which need no escaping.
    fn plain(&mut self, bytes: u64) -> Result<(), LiftError> {
        self.say(bytes, bytes)
    }

    /// Counts a text with its quotes.
    fn text(&mut self, text: &str) -> Result<(), LiftError> {
        self.hold(chunk(text.len() as u64));
        let (once, twice) = escaped(text);
        self.say(once + 2, twice + 4)
    }

    /// Counts the name of a member, with quotes and colon. WIT names need no escaping.
    fn name(&mut self, name: &str) -> Result<(), LiftError> {
        let len = name.len() as u64;
        self.hold(chunk(len));
        self.say(len + 3, len + 5)
    }

    /// Counts an object with this many members.
    fn object(&mut self, members: u64) -> Result<(), LiftError> {
        /// Per member beside its value: hash, name, and index entry (a number and a byte) with spare capacity.
        const MEMBER: u64 = 8 + size_of::<String>() as u64 + 2 * 9;
        /// Two allocations at their smallest capacity.
        const OBJECT: u64 = 128;
        self.hold(OBJECT + members * (NODE + MEMBER));
        self.plain(2 + members.saturating_sub(1))
    }

    /// Counts a list with this many elements.
    fn list(&mut self, elements: u64) -> Result<(), LiftError> {
        self.hold(chunk(elements.saturating_mul(NODE)));
        self.plain(2 + elements.saturating_sub(1))
    }

    fn value(&mut self, val: &Val, shape: &Shape) -> Result<(), LiftError> {
        match (shape, val) {
            (Shape::Bool, Val::Bool(value)) => self.plain(if *value { 4 } else { 5 }),
            (Shape::Integer(_), val) => self.scalar(&integer(val).ok_or(LiftError::Mistyped)?),
            (Shape::F32, Val::Float32(value)) => self.scalar(&float(f64::from(*value), || value.to_string())),
            (Shape::F64, Val::Float64(value)) => self.scalar(&float(*value, || value.to_string())),
            (Shape::Char, Val::Char(c)) => self.text(c.encode_utf8(&mut [0; 4])),
            (Shape::String, Val::String(text)) => self.text(text),
            (Shape::Bytes, Val::List(list)) => self.base64(base64_len(list.len() as u64)),
            // Drained from a stream or future, as base64 already.
            (Shape::Bytes, Val::String(base64)) => self.base64(base64.len() as u64),
            (Shape::List(element), Val::List(list)) => {
                self.list(list.len() as u64)?;
                list.iter().try_for_each(|val| self.value(val, element))
            }
            (Shape::Tuple(shapes), Val::Tuple(vals)) if shapes.len() == vals.len() => {
                self.list(vals.len() as u64)?;
                vals.iter().zip(shapes).try_for_each(|(val, shape)| self.value(val, shape))
            }
            (Shape::Record(fields), Val::Record(vals)) if fields.len() == vals.len() => {
                self.record(fields, vals)
            }
            (Shape::Option(_), Val::Option(None)) => self.plain(4),
            (Shape::Option(inner), Val::Option(Some(val))) => {
                if inner.is_nullable() {
                    self.object(1)?;
                    self.name("some")?;
                }
                self.value(val, inner)
            }
            (Shape::Result(ok, err), Val::Result(side)) => {
                self.object(1)?;
                let (name, val, shape) = match side {
                    Ok(val) => ("ok", val, ok),
                    Err(val) => ("err", val, err),
                };
                self.name(name)?;
                match (val, shape) {
                    (None, None) => self.plain(4),
                    (Some(val), Some(shape)) => self.value(val, shape),
                    (None, Some(_)) | (Some(_), None) => Err(LiftError::Mistyped),
                }
            }
            (Shape::Variant(cases), Val::Variant(name, payload)) => {
                self.variant(cases, name, payload.as_deref())
            }
            (Shape::Enum(_), Val::Enum(name)) => self.text(name),
            (Shape::Flags(names), Val::Flags(set)) => {
                let set = || names.iter().filter(|name| set.contains(name));
                self.list(set().count() as u64)?;
                set().try_for_each(|name| self.text(name))
            }
            _ => Err(LiftError::Mistyped),
        }
    }

    fn base64(&mut self, len: u64) -> Result<(), LiftError> {
        self.hold(chunk(len));
        self.say(len + 2, len + 4)
    }

    fn scalar(&mut self, value: &Value) -> Result<(), LiftError> {
        match value {
            Value::String(text) => self.text(text),
            value => self.plain(value.to_string().len() as u64),
        }
    }

    /// Omits options that are `none`.
    fn record(&mut self, fields: &[Field], vals: &[(String, Val)]) -> Result<(), LiftError> {
        let is_there = |(field, (_, val)): &(&Field, &(String, Val))| {
            !matches!((&field.shape, val), (Shape::Option(_), Val::Option(None)))
        };
        let there = || fields.iter().zip(vals).filter(is_there);
        self.object(there().count() as u64)?;
        there().try_for_each(|(field, (name, val))| {
            self.name(name)?;
            self.value(val, &field.shape)
        })
    }

    fn variant(&mut self, cases: &[Case], name: &str, payload: Option<&Val>) -> Result<(), LiftError> {
        let case = cases.iter().find(|case| case.name == name).ok_or(LiftError::Mistyped)?;
        self.object(if payload.is_some() { 2 } else { 1 })?;
        self.name("tag")?;
        self.text(name)?;
        match (&case.payload, payload) {
            (None, None) => Ok(()),
            (Some(shape), Some(val)) => {
                self.name("val")?;
                self.value(val, shape)
            }
            (None, Some(_)) | (Some(_), None) => Err(LiftError::Mistyped),
        }
    }
}

/// Length of this many bytes as base64.
pub(super) const fn base64_len(bytes: u64) -> u64 {
    bytes.div_ceil(3).saturating_mul(4)
}

/// Bytes of a text as JSON without its quotes, and of that escaped once more inside a JSON string.
pub(super) fn escaped(text: &str) -> (u64, u64) {
    text.bytes().fold((0, 0), |(once, twice), byte| match byte {
        b'"' | b'\\' => (once + 2, twice + 4),
        0x08 | 0x09 | 0x0a | 0x0c | 0x0d => (once + 2, twice + 3),
        0..0x20 => (once + 6, twice + 7),
        _ => (once + 1, twice + 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_long_as_it_is_written_once_and_twice() {
        let all: String = (0..=0x17f).filter_map(char::from_u32).collect();
        for text in ["", "plain", "\"\\\n\u{1}\u{7f}é", all.as_str()] {
            let once = Value::from(text).to_string();
            let twice = Value::from(once.as_str()).to_string();
            let (a, b) = escaped(text);
            assert_eq!((a + 2, b + 6), (once.len() as u64, twice.len() as u64), "{text}");
        }
    }

    #[test]
    fn base64_is_as_long_as_it_is_written() {
        for len in 0..10 {
            let written = super::super::scalar::encode(&vec![0; len]);
            assert_eq!(base64_len(len as u64), written.len() as u64);
        }
    }
}
