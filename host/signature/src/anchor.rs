//! What a signer is known by, as trust.toml and the files that it names have it. A signature is checked against this and
//! nothing that came with the plugin.

use toolgate_policy::load::identity::Identity;
use toolgate_policy::load::key_id::KeyId;
use toolgate_policy::load::signer::Claim;

use super::key::PublicKey;
use super::keyless_signer::KeylessSigner;
use super::minisign_key::MinisignKey;

/// What tells, before anything is verified, whether a signature names a signer. Whoever makes a signature can copy it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerHint {
    id: KeyId,
    named: Named,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Key,
    Minisign(u64),
    Identity(Identity),
}

impl SignerHint {
    /// The signer's identity in the policy.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether a signature that makes this claim says that it is by this signer.
    pub fn is_named_by(&self, claim: &Claim) -> bool {
        match (&self.named, claim) {
            (Named::Key, Claim::Key(id)) => self.id == *id,
            (Named::Minisign(number), Claim::Minisign(claimed)) => number == claimed,
            (Named::Identity(identity), Claim::Identity { issuer, san }) => identity.matches(issuer, san),
            (Named::Key | Named::Minisign(_) | Named::Identity(_), _) => false,
        }
    }
}

/// What a signer is known by.
#[derive(Clone)]
pub enum Anchor {
    /// A key, in whatever file it came.
    Key(PublicKey),
    /// A key of minisign's, which has a number besides.
    Minisign(MinisignKey),
    /// An identity, and the root that vouches for who vouches for it.
    Identity(KeylessSigner),
}

impl Anchor {
    /// Its identity: what the policy knows the signer by.
    pub fn id(&self) -> KeyId {
        match self {
            Self::Key(key) => key.id(),
            Self::Minisign(key) => key.id(),
            Self::Identity(signer) => signer.id(),
        }
    }

    /// The identity that an issuer vouches for, where it is one.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Identity(signer) => Some(signer.identity()),
            Self::Key(_) | Self::Minisign(_) => None,
        }
    }

    /// What tells whether a signature names this signer.
    pub fn hint(&self) -> SignerHint {
        let named = match self {
            Self::Key(_) => Named::Key,
            Self::Minisign(key) => Named::Minisign(key.number()),
            Self::Identity(signer) => Named::Identity(signer.identity().clone()),
        };
        SignerHint { id: self.id(), named }
    }

    /// Whether a signature that makes this claim says that it is by this signer.
    pub fn is_named_by(&self, claim: &Claim) -> bool {
        self.hint().is_named_by(claim)
    }
}
