//! What the state directory remembers as revoked against what serves: `plugin revoke` and other processes write it there. It holds
//! although the old trust policy is put back before this process has read the new one.

use std::sync::PoisonError;

use toolgate_base::outcome::with_causes;
use toolgate_policy::load::TrustPolicy;
use toolgate_policy::load::trust::Parts;
use toolgate_signature::trust::TrustSpec;
use toolgate_state::rollback::Stamp;

use super::Reconciler;
use crate::load;

/// What was remembered when it was last looked at.
#[derive(Default)]
pub(super) struct Remembered {
    /// That of the file; nothing before the first look.
    stamp: Option<Option<Stamp>>,
    /// The highest version.
    version: u64,
}

impl Reconciler {
    /// Takes what is remembered as revoked out of what serves. The version that is remembered, if it is newer than that of the policy
    /// that was taken here. Reads nothing while the memory is as it was.
    pub(crate) fn revoke_remembered(&self) -> Option<u64> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        // Before it is read: what changes meanwhile is read the next time.
        let stamp = self.services.seen.stamp();
        if remembered.stamp != Some(stamp) {
            remembered.stamp = Some(stamp);
            match self.services.seen.revoked() {
                Ok(revoked) => {
                    remembered.version = revoked.version;
                    let reason =
                        format!("by version {} of trust.toml, as trust.seen remembers", revoked.version);
                    let revoked =
                        revoked.digests.into_iter().map(|digest| (digest, reason.clone())).collect();
                    let parts = Parts { version: remembered.version.max(1), revoked, ..Parts::default() };
                    // There is nothing in it that could be wrong.
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

    /// Why this policy may not be taken, if so. Nothing is remembered.
    pub(crate) fn refuses(&self, trust: &TrustSpec) -> Option<String> {
        self.services.seen.judge(trust, load::now()).err().map(|error| with_causes(&error))
    }
}
