//! Keys by identity, how long they count, and when. Whether a signature is genuine is found out by the runtime's
//! cryptography; here it is only weighed.

use std::fmt;

use super::identity::{Identity, San};
use super::key_id::KeyId;
use crate::redact::printable;
use crate::{Digest, InvalidValueError};

/// A moment, in seconds since 1970-01-01T00:00:00Z without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);

/// Somebody whose signature counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// What the operator calls them.
    pub id: String,
    /// Their key, or what stands for their identity.
    pub key: KeyId,
    /// Their identity, where they are known by one.
    pub identity: Option<Identity>,
    /// Before this, their signature does not count.
    pub valid_from: Option<UnixTime>,
    /// From this on, their signature does not count.
    pub valid_until: Option<UnixTime>,
}

/// A signature over a plugin's digest that was found genuine. Made where signatures are verified only: clippy's list
/// (`host/clippy.toml`) holds who may call its constructor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature {
    digest: Digest,
    key: KeyId,
    time: Option<UnixTime>,
    plugin: Option<String>,
}

/// In which format a signature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A Sigstore bundle by a key that the operator keeps.
    Bundle,
    /// An SSH signature.
    Ssh,
    /// A minisign signature.
    Minisign,
    /// A Sigstore bundle by a certificate that names an identity.
    Keyless,
}

/// Whom a signature names, before anything about it is known to be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The key with this identity.
    Key(KeyId),
    /// The minisign key with this number, which its owner chose.
    Minisign(u64),
    /// Somebody whom an issuer vouches for.
    Identity {
        /// Who vouches.
        issuer: String,
        /// Whom for.
        san: San,
    },
}

/// Whether a signer counts at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Yes.
    Valid,
    /// Not before this.
    NotYet(UnixTime),
    /// Not since this.
    Expired(UnixTime),
}

impl VerifiedSignature {
    /// A signature over `digest` that was verified with `key`, made at `time` where a log or a timestamp authority proves that.
    pub fn new(digest: Digest, key: KeyId, time: Option<UnixTime>) -> Self {
        Self { digest, key, time, plugin: None }
    }

    /// The same signature where it says that it is for one plugin alone, by id.
    #[must_use]
    pub fn for_plugin(self, plugin: Option<String>) -> Self {
        Self { plugin, ..self }
    }

    /// What it is over.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whose it is.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// When it was made, where that is proved.
    pub fn time(&self) -> Option<UnixTime> {
        self.time
    }

    /// The only plugin that it is for, by id. None where it does not say.
    pub fn plugin(&self) -> Option<&str> {
        self.plugin.as_deref()
    }
}

impl Signer {
    /// Whether the signer counts at `now`.
    pub fn at(&self, now: UnixTime) -> Validity {
        match (self.valid_from, self.valid_until) {
            (Some(from), _) if now < from => Validity::NotYet(from),
            (_, Some(until)) if now >= until => Validity::Expired(until),
            _ => Validity::Valid,
        }
    }
}

/// Checks a list of signers: ids and keys are each used once, and periods have a length.
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
