//! Provenance of a served plugin, for those accountable for it.

use super::clear::Clearance;
use super::pin::Approval;
use crate::Digest;

/// Signers and approver of a served plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Digest of the component bytes.
    pub digest: Digest,
    /// Version that the component declares.
    pub version: Option<String>,
    /// Signers by role: `role: signer, signer`.
    pub signers: Vec<String>,
    /// Approver and time, where an approval is required.
    pub approval: Option<Approval>,
}

impl Provenance {
    /// Provenance of a cleared plugin that declares this version.
    pub fn of(clearance: &Clearance, version: Option<String>) -> Self {
        Self {
            digest: clearance.digest(),
            version,
            signers: clearance.trusted().signed_by(),
            approval: clearance.pin().map(|pin| pin.approval.clone()),
        }
    }
}
