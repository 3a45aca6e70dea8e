//! Names of rules.

use std::fmt;
use std::sync::Arc;

use crate::InvalidValueError;

/// Name of a rule, as the operator gave it; it appears in records and messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(Arc<str>);

impl RuleId {
    /// Most characters of a name.
    const CHARS_MAX: usize = 64;

    /// A name of 1 to 64 letters, digits, hyphens and underscores.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(name: &str) -> Result<Self, InvalidValueError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=Self::CHARS_MAX).contains(&name.len()) && name.bytes().all(fits) {
            return Ok(Self(name.into()));
        }
        let why = "a rule's id has 1 to 64 letters, digits, hyphens and underscores";
        Err(InvalidValueError::new(why))
    }

    /// The name of a rule of the host's own.
    pub(super) fn built_in(name: &'static str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
