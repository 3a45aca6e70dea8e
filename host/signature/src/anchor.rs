//! Trust anchors of signers, from trust.toml and the files that it names. Signatures are verified against these and
//! nothing that came with the plugin.

use toolgate_policy::load::identity::Identity;
use toolgate_policy::load::key_id::KeyId;
use toolgate_policy::load::signer::Claim;

use super::key::PublicKey;
use super::keyless_signer::KeylessSigner;
use super::minisign_key::MinisignKey;

/// Tells before verification whether a signature names a signer. Anybody can copy such a name.
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
    /// The signer's id in the policy.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether a claim names this signer.
    pub fn is_named_by(&self, claim: &Claim) -> bool {
        match (&self.named, claim) {
            (Named::Key, Claim::Key(id)) => self.id == *id,
            (Named::Minisign(number), Claim::Minisign(claimed)) => number == claimed,
            (Named::Identity(identity), Claim::Identity { issuer, san }) => identity.matches(issuer, san),
            (Named::Key | Named::Minisign(_) | Named::Identity(_), _) => false,
        }
    }
}

/// Trust anchor of a signer.
#[derive(Clone)]
pub enum Anchor {
    /// A public key, from any file format.
    Key(PublicKey),
    /// A minisign key with its key number.
    Minisign(MinisignKey),
    /// An identity, and the trusted root for its certificates.
    Identity(KeylessSigner),
}

impl Anchor {
    /// The signer's id in the policy.
    pub fn id(&self) -> KeyId {
        match self {
            Self::Key(key) => key.id(),
            Self::Minisign(key) => key.id(),
            Self::Identity(signer) => signer.id(),
        }
    }

    /// Certified identity, if the anchor is one.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Identity(signer) => Some(signer.identity()),
            Self::Key(_) | Self::Minisign(_) => None,
        }
    }

    /// Hint for matching signatures before verification.
    pub fn hint(&self) -> SignerHint {
        let named = match self {
            Self::Key(_) => Named::Key,
            Self::Minisign(key) => Named::Minisign(key.number()),
            Self::Identity(signer) => Named::Identity(signer.identity().clone()),
        };
        SignerHint { id: self.id(), named }
    }

    /// Whether a claim names this signer.
    pub fn is_named_by(&self, claim: &Claim) -> bool {
        self.hint().is_named_by(claim)
    }
}
