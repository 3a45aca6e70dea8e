//! On whose word a plugin serves: for those who must answer for it.

use super::clear::Clearance;
use super::pin::Approval;
use crate::Digest;

/// On whose word a plugin serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Its bytes.
    pub digest: Digest,
    /// Which version it says it is.
    pub version: Option<String>,
    /// Who signed it: `role: signer, signer`.
    pub signers: Vec<String>,
    /// Who approved it, and when, where that is asked.
    pub approval: Option<Approval>,
}

impl Provenance {
    /// Of what was cleared, which says that it is this version.
    pub fn of(clearance: &Clearance, version: Option<String>) -> Self {
        Self {
            digest: clearance.digest(),
            version,
            signers: clearance.trusted().signed_by(),
            approval: clearance.pin().map(|pin| pin.approval.clone()),
        }
    }
}
