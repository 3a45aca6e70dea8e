//! Signers as the operator's trust policy has them: rules for what counts, and keys and identities to verify with.

use toolgate_policy::Digest;
use toolgate_policy::load::TrustPolicy;

use super::anchor::{Anchor, SignerHint};

/// Whom to trust, and what they are known by.
#[derive(Clone)]
pub struct TrustSpec {
    /// Who counts for what.
    pub policy: TrustPolicy,
    /// What its signers are known by.
    pub anchors: Vec<Anchor>,
    /// SHA-256 of the file that says so.
    pub sha256: Digest,
}

impl TrustSpec {
    /// What tells whether a signature names one of the signers.
    pub fn hints(&self) -> Vec<SignerHint> {
        self.anchors.iter().map(Anchor::hint).collect()
    }
}
