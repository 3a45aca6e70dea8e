//! Errors in a value an operator wrote, with the place below the key being checked. The reader of the file adds file
//! and line.

use std::fmt;

/// An error in an operator's value: a key path relative to the checked value, and a sentence with the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidValueError {
    /// For example `[0].paths[1]`; empty when the value as a whole is meant.
    pub at: String,
    /// For example `` `GTE` is not an HTTP method; write one such as "GET" ``.
    pub why: String,
}

impl InvalidValueError {
    /// A problem with the value as a whole.
    pub fn new(why: impl Into<String>) -> Self {
        Self { at: String::new(), why: why.into() }
    }

    /// A problem with the part named `at`.
    pub fn at(at: impl Into<String>, why: impl Into<String>) -> Self {
        Self { at: at.into(), why: why.into() }
    }

    /// The same error with the path extended by the enclosing key.
    #[must_use]
    pub fn under(mut self, outer: &str) -> Self {
        let dot = if self.at.is_empty() || self.at.starts_with('[') || outer.is_empty() { "" } else { "." };
        self.at = format!("{outer}{dot}{}", self.at);
        self
    }
}

impl fmt::Display for InvalidValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.is_empty() { f.write_str(&self.why) } else { write!(f, "{}: {}", self.at, self.why) }
    }
}

impl std::error::Error for InvalidValueError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_join_as_they_are_written_in_toml() {
        let one = InvalidValueError::at("paths[1]", "x").under("[0]").under("http");
        assert_eq!(one.at, "http[0].paths[1]");
        assert_eq!(InvalidValueError::new("x").under("http").at, "http");
    }
}
