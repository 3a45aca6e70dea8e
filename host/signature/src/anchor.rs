//! Trust anchors of signers, from trust.toml and the files that it names. Signatures are verified against these and
//! nothing that came with the plugin.

use toolgate_policy::load::identity::Identity;
use toolgate_policy::load::key_id::KeyId;
use toolgate_policy::load::signer::Claim;

use super::key::PublicKey;
use super::keyless_signer::KeylessSigner;
use super::minisign_key::MinisignKey;

/// Trust anchor of a signer.
#[derive(Debug, Clone, PartialEq, Eq)]
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
            Self::Minisign(key) => key.id,
            Self::Identity(signer) => signer.id(),
        }
    }

    /// Certified identity, if the anchor is one.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Identity(signer) => Some(&signer.identity),
            Self::Key(_) | Self::Minisign(_) => None,
        }
    }

    /// Whether a claim names this signer, before it is verified. Anybody can copy such a name.
    pub fn is_named_by(&self, claim: &Claim) -> bool {
        match (self, claim) {
            (Self::Key(key), Claim::Key(id)) => key.id() == *id,
            (Self::Minisign(key), Claim::Minisign(number)) => key.number == *number,
            (Self::Identity(signer), Claim::Identity { issuer, san }) => signer.identity.matches(issuer, san),
            (Self::Key(_) | Self::Minisign(_) | Self::Identity(_), _) => false,
        }
    }
}
