//! Identifier of a public key.

use std::fmt;

use crate::Digest;
use crate::digest::DigestError;

/// SHA-256 of a public key's SubjectPublicKeyInfo in DER (RFC 5280 §4.1), whatever format its file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Digest);

impl KeyId {
    /// The id of the key with this SubjectPublicKeyInfo in DER.
    pub fn of_spki(der: &[u8]) -> Self {
        Self(Digest::of(der))
    }

    /// An id for a signer without a key.
    pub(super) fn of_digest(digest: Digest) -> Self {
        Self(digest)
    }

    /// The 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.hex()
    }

    /// Reads the 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, DigestError> {
        Digest::from_hex(text).map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.short(16))
    }
}
