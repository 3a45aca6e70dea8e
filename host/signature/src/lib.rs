//! Signatures over a plugin's bytes: reading them, checking them, making them. Each format is a [`Signature`], known by the
//! ending of its file's name. Whom to trust is the policy's.

// A number that another type cannot hold is not cut short unseen.
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

pub mod anchor;
pub mod bundle;
pub mod choose;
mod envelope;
pub mod key;
pub mod key_file;
pub mod keyless;
pub mod keyless_signer;
pub mod mac;
pub mod minisign;
pub mod minisign_key;
pub mod name;
pub mod sign;
pub mod ssh;
pub mod trust;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toolgate_base::artifact::Artifact;
use toolgate_policy::limits::load::{ATTACHED_BYTES_MAX, ATTACHED_MAX};
use toolgate_policy::load::signer::{Claim, Format, VerifiedSignature};
use toolgate_policy::redact::printable;

use anchor::Anchor;
pub use name::{places, tail};

/// A signature file as it was found.
#[derive(Clone)]
pub struct SignatureFile {
    /// Its name, for people.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Something beside a component that was seen and not taken for a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Its name, for people.
    pub name: String,
    /// Why not.
    pub why: String,
}

impl Unread {
    /// It cannot be read.
    pub fn because(name: &str, error: &dyn std::error::Error) -> Self {
        let mut why = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            why.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self { name: name.to_owned(), why: printable(&why, 400) }
    }

    /// It says that it is something else.
    pub fn of_type(name: &str, kind: &str) -> Self {
        Self { name: name.to_owned(), why: format!("it is of type {}", printable(kind, 200)) }
    }

    /// There was enough before it.
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

/// A signature that could be read. Nothing is believed about it yet.
pub trait Signature {
    /// Its format.
    fn format(&self) -> Format;

    /// Whom it says that it is by.
    fn claim(&self) -> Claim;

    /// Checks it over these bytes against what a signer is known by.
    ///
    /// # Errors
    /// [`SignatureError`] whenever it is not a genuine signature by this signer over exactly these bytes.
    fn verify(&self, artifact: &Artifact, signer: &Anchor) -> Result<VerifiedSignature, SignatureError>;
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is not of the form that its name promises.
    #[error("{file} is not a signature that Toolgate accepts: {why}")]
    Unreadable {
        /// Which.
        file: String,
        /// Why.
        why: String,
    },
    /// It is a statement about something else, as vendors, mirrors and scanners make them.
    #[error("{file} is about something else: {what}")]
    Other {
        /// Which.
        file: String,
        /// What it is about.
        what: String,
    },
    /// It is over something else.
    #[error("{0} is a signature over other bytes")]
    OtherBytes(String),
    /// It is not proved to be by whom it names.
    #[error("{file} is not proved to be by whom it names: {why}")]
    Unproved {
        /// Which.
        file: String,
        /// Why.
        why: String,
    },
    /// It is not genuine.
    #[error("{0} is not a genuine signature over these bytes by the key it names")]
    Forged(String),
}

/// Reads a signature file by the form that its name promises.
///
/// # Errors
/// [`SignatureError::Unreadable`].
pub fn read(file: &SignatureFile) -> Result<Box<dyn Signature>, SignatureError> {
    Ok(match name::form(&file.name) {
        Some((Format::Bundle | Format::Keyless, _)) => bundle::read(file)?,
        Some((Format::Ssh, _)) => Box::new(ssh::Ssh::read(file)?),
        Some((Format::Minisign, _)) => Box::new(minisign::Minisign::read(file)?),
        None => return Err(unreadable(file, "the ending of its name is none of a signature's")),
    })
}

/// The bytes of base64 in the standard alphabet, padded, no other bits set: one spelling for one value.
fn canonical_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty() && STANDARD.encode(bytes) == text)
}

fn unreadable(file: &SignatureFile, why: impl Into<String>) -> SignatureError {
    // A library may tell what is in the file.
    SignatureError::Unreadable { file: printable(&file.name, 200), why: printable(&why.into(), 400) }
}
