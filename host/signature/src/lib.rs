//! Signatures over a plugin's bytes: parsing, verification and creation. Each format implements [`Signature`] and is
//! selected by its file ending. Policy decides whom to trust.

// A number that another type cannot hold is not cut short unseen.
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

pub mod anchor;
pub mod bundle;
pub mod certificate;
pub mod choose;
pub mod constant_time;
mod envelope;
pub mod jws;
pub mod key;
pub mod key_file;
pub mod keyless;
pub mod keyless_signer;
pub mod mac;
pub mod minisign;
pub mod minisign_key;
pub mod name;
pub mod random;
pub mod sign;
pub mod ssh;
pub mod trust;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toolgate_base::artifact::Artifact;
use toolgate_base::outcome::with_causes;
use toolgate_policy::limits::load::{ATTACHED_BYTES_MAX, ATTACHED_MAX};
use toolgate_policy::load::signer::{Claim, Format, VerifiedSignature};
use toolgate_policy::redact::printable;

use anchor::Anchor;
pub use name::{places, tail};

/// A signature file, not yet parsed.
#[derive(Clone)]
pub struct SignatureFile {
    /// File name, for display.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// A file or attachment beside a component that was not read as a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Name, for display.
    pub name: String,
    /// Reason.
    pub why: String,
}

impl Unread {
    /// Skipped because of an error.
    pub fn because(name: &str, error: &dyn std::error::Error) -> Self {
        Self { name: name.to_owned(), why: printable(&with_causes(error), 400) }
    }

    /// Skipped for its declared type.
    pub fn of_type(name: &str, kind: &str) -> Self {
        Self { name: name.to_owned(), why: format!("it is of type {}", printable(kind, 200)) }
    }

    /// Skipped because the limits are used up.
    pub fn beyond(name: &str) -> Self {
        let why = format!(
            "it is not looked at: before it there were {ATTACHED_MAX} others, or {ATTACHED_BYTES_MAX} bytes of them"
        );
        Self { name: name.to_owned(), why }
    }
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", printable(&self.name, 200), self.why)
    }
}

/// A parsed signature, not yet verified.
pub trait Signature {
    /// Signature format.
    fn format(&self) -> Format;

    /// Signer that the signature names, unverified.
    fn claim(&self) -> Claim;

    /// Verifies the signature over an artifact against a signer's anchor. Fails whenever it is not a genuine signature
    /// by this signer over exactly these bytes.
    fn verify(&self, artifact: &Artifact, signer: &Anchor) -> Result<VerifiedSignature, SignatureError>;
}

/// A signature that does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The file does not have the format that its name promises.
    #[error("{file} is not a signature that Toolgate accepts: {why}")]
    Unreadable {
        /// File name.
        file: String,
        /// Reason.
        why: String,
    },
    /// A statement about something else, such as those by vendors, mirrors and scanners.
    #[error("{file} is about something else: {what}")]
    Other {
        /// File name.
        file: String,
        /// Subject of the statement.
        what: String,
    },
    /// A signature over other bytes.
    #[error("{0} is a signature over other bytes")]
    OtherBytes(String),
    /// The signer's identity is not proved.
    #[error("{file} is not proved to be by whom it names: {why}")]
    Unproved {
        /// File name.
        file: String,
        /// Reason.
        why: String,
    },
    /// The cryptographic check fails.
    #[error("{0} is not a genuine signature over these bytes by the key it names")]
    Forged(String),
}

/// Parses a signature file by the format that its name promises.
pub fn read(file: &SignatureFile) -> Result<Box<dyn Signature>, SignatureError> {
    Ok(match name::form(&file.name) {
        Some((Format::Bundle | Format::Keyless, _)) => bundle::read(file)?,
        Some((Format::Ssh, _)) => Box::new(ssh::Ssh::read(file)?),
        Some((Format::Minisign, _)) => Box::new(minisign::Minisign::read(file)?),
        None => return Err(unreadable(file, "the ending of its name is none of a signature's")),
    })
}

/// Decodes padded standard base64, canonical form only: one spelling for one value.
fn canonical_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty() && STANDARD.encode(bytes) == text)
}

/// A text with each of its bits turned, one at a time, and which one it is.
#[cfg(test)]
fn turned(text: &str) -> impl Iterator<Item = (Vec<u8>, String)> {
    (0..text.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))).map(|(at, bit)| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1 << bit;
        (bytes, format!("bit {bit} of byte {at}"))
    })
}

fn unreadable(file: &SignatureFile, why: impl Into<String>) -> SignatureError {
    // A library's error may quote the file.
    SignatureError::Unreadable { file: printable(&file.name, 200), why: printable(&why.into(), 400) }
}
