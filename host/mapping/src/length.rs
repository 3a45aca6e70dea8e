//! Length of a value as JSON, and memory of the tree built from it: both are computed before the tree or the text is built.

use std::cell::Cell;
use std::io;

use serde::Serialize;
use wasmtime::component::Val;

use super::as_json::{AsJson, NODE};
use super::cost::chunk;
use super::lift_error::LiftError;
use super::shape::Shape;

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
    AsIs,
    /// As JSON inside a JSON string.
    AsText,
    Twice,
}

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

    /// Counts a value sent in this form: [`LiftError::Mistyped`] if it does not match the shape.
    pub(super) fn value(&mut self, val: &Val, shape: &Shape, goes: Goes) -> Result<(), LiftError> {
        let tree = Cell::new(0);
        self.count(&AsJson { val, shape, tree: &tree }, goes)?;
        self.hold(tree.get());
        Ok(())
    }

    /// Counts a text sent as a member of an object, with its quotes.
    pub(super) fn text(&mut self, text: &str) -> Result<(), LiftError> {
        self.hold(chunk(text.len() as u64));
        self.count(text, Goes::AsIs)
    }

    /// Counts bytes that are sent once.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), LiftError> {
        self.left = self.left.checked_sub(bytes).ok_or(LiftError::Large(self.bytes_max))?;
        Ok(())
    }

    pub(super) fn hold(&mut self, bytes: u64) {
        self.tree = self.tree.saturating_add(bytes);
    }

    /// Counts JSON sent in this form.
    pub(super) fn count(&mut self, value: &(impl Serialize + ?Sized), goes: Goes) -> Result<(), LiftError> {
        let counted = serde_json::to_writer(Counter { length: self, goes }, value);
        // The only error of this writer is that of the limit.
        counted.map_err(
            |error| if error.is_io() { LiftError::Large(self.bytes_max) } else { LiftError::Mistyped },
        )
    }
}

/// Counts JSON that is written to it, and ends at the limit.
struct Counter<'l> {
    length: &'l mut Length,
    goes: Goes,
}

impl io::Write for Counter<'_> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        let bytes = json.len() as u64;
        self.length.json = self.length.json.saturating_add(bytes);
        // JSON has no control characters: inside a string only these are escaped.
        let as_text = || bytes + json.iter().filter(|byte| b"\"\\".contains(byte)).count() as u64;
        let sent = match self.goes {
            Goes::AsIs => bytes,
            Goes::AsText => as_text(),
            Goes::Twice => bytes.saturating_add(as_text()),
        };
        self.length.spend(sent).map_err(io::Error::other)?;
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Length of this many bytes as base64.
pub(super) const fn base64_len(bytes: u64) -> u64 {
    bytes.div_ceil(3).saturating_mul(4)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_text_is_as_long_as_it_is_written_once_and_twice() {
        let all: String = (0..=0x17f).filter_map(char::from_u32).collect();
        for text in ["", "plain", "\"\\\n\u{1}\u{7f}é", all.as_str()] {
            let once = Value::from(text).to_string().len() as u64;
            let twice = Value::from(Value::from(text).to_string()).to_string().len() as u64;
            // The quotes around a text of JSON are not part of it.
            for (goes, sent) in
                [(Goes::AsIs, once), (Goes::AsText, twice - 2), (Goes::Twice, once + twice - 2)]
            {
                let mut length = Length::within(sent);
                assert_eq!(length.count(text, goes), Ok(()), "{text}");
                assert_eq!((length.left, length.json), (0, once), "{text}");
                assert_eq!(
                    Length::within(sent - 1).count(text, goes),
                    Err(LiftError::Large(sent - 1)),
                    "{text}"
                );
            }
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
