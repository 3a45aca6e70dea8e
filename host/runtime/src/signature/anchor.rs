//! What a signer is known by, as trust.toml and the files that it names have it. A signature is checked against this and
//! nothing that came with the plugin.

use toolgate_policy::load::identity::Identity;
use toolgate_policy::load::signer::{Claim, KeyId};

use super::key::PublicKey;
use super::keyless::KeylessSigner;
use super::minisign::MinisignKey;

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

    /// Whether a signature that makes this claim says that it is by this signer.
    pub fn is_named_by(&self, claim: &Claim) -> bool {
        match (self, claim) {
            (Self::Key(key), Claim::Key(id)) => key.id() == *id,
            (Self::Minisign(key), Claim::Minisign(number)) => key.number() == *number,
            (Self::Identity(signer), Claim::Identity { issuer, san }) => {
                signer.identity().matches(issuer, san)
            }
            (Self::Key(_) | Self::Minisign(_) | Self::Identity(_), _) => false,
        }
    }
}
