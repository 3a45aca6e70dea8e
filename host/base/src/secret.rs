//! Secrets: their sources, and the only type that holds them. It cannot be printed or serialised; only egress reads it.

use std::path::PathBuf;

use zeroize::Zeroizing;

/// A secret value, zeroed on drop. No `Debug`, `Display` or `Serialize`, so that it cannot leak by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// A secret in the operator's configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretSpec {
    /// Name that grants use.
    pub name: String,
    /// Source of the value.
    pub source: SecretSource,
    /// Header that carries it, in lower case.
    pub header: String,
    /// Header value, with `{}` for the secret.
    pub format: String,
    /// Value, read together with the configuration.
    pub value: Secret,
}

/// Source of a secret's value. Never the configuration itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// An environment variable of the host.
    Environment(String),
    /// A systemd credential (`$CREDENTIALS_DIRECTORY/NAME`).
    Credential(String),
}

/// A text that cannot be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Empty.
    #[error("it is empty")]
    Empty,
    /// Line breaks or NUL, which could break out of a header.
    #[error("it holds a carriage return, a line feed or a NUL (one line feed at the end is cut)")]
    Lines,
    /// Characters that a header value cannot have (RFC 9110 §5.5).
    #[error("it holds characters that a header cannot: use visible ASCII and spaces")]
    Characters,
}

impl Secret {
    /// Takes a value, without one line break at its end.
    ///
    /// # Errors
    /// [`SecretError`] for a value that cannot be a header value unchanged.
    pub fn new(value: &str) -> Result<Self, SecretError> {
        let value = value.strip_suffix('\n').map_or(value, |cut| cut.strip_suffix('\r').unwrap_or(cut));
        if value.is_empty() {
            return Err(SecretError::Empty);
        }
        if value.contains(['\r', '\n', '\0']) {
            return Err(SecretError::Lines);
        }
        if !value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(SecretError::Characters);
        }
        Ok(Self(Zeroizing::new(value.to_owned())))
    }

    /// The value. For egress alone.
    pub fn open(&self) -> &str {
        &self.0
    }
}

impl SecretSpec {
    /// The complete header value. For egress alone.
    pub fn header_value(&self) -> Zeroizing<String> {
        Zeroizing::new(self.format.replacen("{}", self.value.open(), 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_final_line_break_is_cut_and_any_other_is_refused() {
        for (text, wanted) in [("s", "s"), ("s\n", "s"), ("s\r\n", "s"), ("a b", "a b")] {
            assert_eq!(
                Secret::new(text).map(|secret| secret.open().to_owned()),
                Ok(wanted.to_owned()),
                "{text:?}"
            );
        }
        for (text, why) in [
            ("", SecretError::Empty),
            ("\n", SecretError::Empty),
            ("a\nb", SecretError::Lines),
            ("a\n\n", SecretError::Lines),
            ("a\0", SecretError::Lines),
            ("é", SecretError::Characters),
        ] {
            assert_eq!(Secret::new(text).map(drop), Err(why), "{text:?}");
        }
    }
}
