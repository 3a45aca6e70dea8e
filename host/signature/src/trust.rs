//! Signers as the operator's trust policy has them: rules for what counts, and keys and identities to verify with.

use toolgate_policy::Digest;
use toolgate_policy::load::TrustPolicy;

use super::anchor::Anchor;

/// Trust policy with its anchors.
#[derive(Clone)]
pub struct TrustSpec {
    /// Trust rules.
    pub policy: TrustPolicy,
    /// Trust anchors of its signers.
    pub anchors: Vec<Anchor>,
    /// SHA-256 of trust.toml.
    pub sha256: Digest,
}
