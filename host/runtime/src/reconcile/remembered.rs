//! Revocations stored in the state directory, applied to what serves. `plugin revoke` and other processes write them.
//! They hold even if the old trust policy is restored before this process has read the new one.

use std::sync::PoisonError;

use toolgate_base::outcome::with_causes;
use toolgate_policy::load::TrustPolicy;
use toolgate_policy::load::trust::Parts;
use toolgate_signature::trust::TrustSpec;
use toolgate_state::rollback::Stamp;

use super::Reconciler;
use crate::load;

/// Stored revocations when they were last read.
#[derive(Default)]
pub(super) struct Remembered {
    /// Stamp of the file; none before the first read.
    stamp: Option<Option<Stamp>>,
    /// Highest version of a policy.
    version: u64,
}

impl Reconciler {
    /// Stops serving what the state directory records as revoked, and ends its calls. Returns the recorded version of
    /// the trust policy if it is newer than the accepted one. Waits for no load; does not read an unchanged file.
    pub fn revoke_remembered(&self) -> Option<u64> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken before the file is read: a change meanwhile is read the next time.
        let stamp = self.services.rollback.stamp();
        if remembered.stamp != Some(stamp) {
            remembered.stamp = Some(stamp);
            match self.services.rollback.revoked() {
                Ok(revoked) => {
                    remembered.version = revoked.version;
                    let reason =
                        format!("by version {} of trust.toml, as trust.seen remembers", revoked.version);
                    let revoked =
                        revoked.digests.into_iter().map(|digest| (digest, reason.clone())).collect();
                    let parts = Parts { version: remembered.version.max(1), revoked, ..Parts::default() };
                    // These parts cannot be invalid.
                    if let Ok(policy) = TrustPolicy::new(parts) {
                        let ended = self.services.snapshots.revoke_remembered(&policy);
                        self.ended_revoked(&policy, &ended);
                    }
                }
                Err(error) => {
                    tracing::error!(
                        "ALARM: what is remembered as revoked cannot be read: {}",
                        with_causes(&error)
                    );
                }
            }
        }
        let taken = self.services.snapshots.trust().map_or(0, |trust| trust.policy.version());
        Some(remembered.version).filter(|version| *version > taken)
    }

    /// The reason why a trust policy would be rejected, if it would be. Stores nothing.
    pub fn refuses(&self, trust: &TrustSpec) -> Option<String> {
        self.services.rollback.judge(trust, load::now()).err().map(|error| with_causes(&error))
    }
}
