//! Signers and the validity of their keys. The runtime verifies signatures; here verified ones are weighed.

use std::fmt;

use super::identity::{Identity, San};
use super::key_id::KeyId;
use crate::redact::printable;
use crate::{Digest, InvalidValueError};

/// A moment, in seconds since 1970-01-01T00:00:00Z without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);

/// A person or service whose signature counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Name that the operator gave.
    pub id: String,
    /// Key id, or the id derived from their identity.
    pub key: KeyId,
    /// Identity, for keyless signers.
    pub identity: Option<Identity>,
    /// Start of the period in which their signature counts.
    pub valid_from: Option<UnixTime>,
    /// End of that period, exclusive.
    pub valid_until: Option<UnixTime>,
}

/// A verified signature over a plugin's digest. Made only where signatures are verified: `host/clippy.toml` lists the
/// places that may call its constructor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature {
    digest: Digest,
    key: KeyId,
    time: Option<UnixTime>,
    plugin: Option<String>,
}

/// Format of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A Sigstore bundle made with the signer's own key.
    Bundle,
    /// An SSH signature.
    Ssh,
    /// A minisign signature.
    Minisign,
    /// A Sigstore bundle made with a certificate that names an identity.
    Keyless,
}

/// Signer that a signature claims, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The key with this identity.
    Key(KeyId),
    /// The minisign key with this number, chosen by its owner.
    Minisign(u64),
    /// An identity that an issuer vouches for.
    Identity {
        /// URL of the issuer.
        issuer: String,
        /// Name in the certificate.
        san: San,
    },
}

/// Validity of a signer at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Within the period.
    Valid,
    /// Before its start.
    NotYet,
    /// At or after its end.
    Expired(UnixTime),
}

impl VerifiedSignature {
    /// A signature over `digest` verified with `key`, made at `time` if a log or a timestamp authority proves it.
    pub fn new(digest: Digest, key: KeyId, time: Option<UnixTime>) -> Self {
        Self { digest, key, time, plugin: None }
    }

    /// The same signature limited to the plugin that it names, by id.
    #[must_use]
    pub fn for_plugin(self, plugin: Option<String>) -> Self {
        Self { plugin, ..self }
    }

    /// Signed digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Key that made it.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Proven time of signing.
    pub fn time(&self) -> Option<UnixTime> {
        self.time
    }

    /// Id of the only plugin it is for; `None` if it names none.
    pub fn plugin(&self) -> Option<&str> {
        self.plugin.as_deref()
    }
}

impl Signer {
    /// Validity of the signer at `now`.
    pub fn at(&self, now: UnixTime) -> Validity {
        match (self.valid_from, self.valid_until) {
            (Some(from), _) if now < from => Validity::NotYet,
            (_, Some(until)) if now >= until => Validity::Expired(until),
            _ => Validity::Valid,
        }
    }
}

/// Checks a list of signers: ids and keys are unique, and periods are not empty.
pub(super) fn check(signers: &[Signer]) -> Vec<InvalidValueError> {
    let mut problems = Vec::new();
    for (index, signer) in signers.iter().enumerate() {
        let mut note = |key: &str, why: String| {
            problems.push(InvalidValueError::at(format!("signer[{index}].{key}"), why))
        };
        let earlier = signers.get(..index).unwrap_or_default();
        if !is_id(&signer.id) {
            note("id", format!("`{}` is not an id; write letters, digits, . _ @ or -", signer.id));
        }
        if earlier.iter().any(|other| other.id == signer.id) {
            note("id", format!("`{}` appears twice; give each signer an id of its own", signer.id));
        }
        if let Some(other) = earlier.iter().find(|other| other.key == signer.key) {
            note(
                "key",
                format!("the key of `{}` and of `{}` is the same; a key counts once", signer.id, other.id),
            );
        }
        let overlaps = |other: &&Signer| match (&signer.identity, &other.identity) {
            (Some(ours), Some(theirs)) => signer.key != other.key && ours.overlaps(theirs),
            _ => false,
        };
        if let Some(other) = earlier.iter().find(overlaps) {
            let why = "somebody could be both, and would count twice; write names that only one of them has";
            note("san", format!("`{}` and `{}` overlap: {why}", signer.id, other.id));
        }
        if let (Some(from), Some(until)) = (signer.valid_from, signer.valid_until)
            && from >= until
        {
            note("valid_until", "lies before valid_from".to_owned());
        }
    }
    problems
}

/// Whether a text can be the id of a signer or the name of a role.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b'-'))
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bundle => "Sigstore bundle",
            Self::Ssh => "SSH signature",
            Self::Minisign => "minisign signature",
            Self::Keyless => "keyless Sigstore bundle",
        })
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key {key}"),
            Self::Minisign(number) => write!(f, "minisign key {number:016X}"),
            Self::Identity { issuer, san } => write!(f, "{san} (by {})", printable(issuer, 200)),
        }
    }
}
