//! The newest approval of each plugin that this process has read in the lock, in use or taken back. If an older one
//! comes into force, an older lock was restored.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::spec::{Approvals, Spec};
use toolgate_policy::PluginName;
use toolgate_policy::limits::load::PLUGINS_MAX;
use toolgate_policy::load::Pin;

use crate::snapshot::plugin::Plugin;

/// Newest approvals so far.
#[derive(Default)]
pub(super) struct Newest(Mutex<BTreeMap<PluginName, KnownApproval>>);

/// An approval that this process has read.
pub(super) struct KnownApproval {
    /// Pin of the approval, including whether it was taken back.
    pub(super) pin: Pin,
    /// Version that the plugin declared, if it has served.
    pub(super) version: Option<String>,
}

impl Newest {
    /// Reads the approvals of a specification.
    pub(super) fn read(&self, spec: &Spec) {
        let Approvals::Asked(pins) = &spec.approvals else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, pin) in pins {
            let is_known = |known: &KnownApproval| known.pin == *pin || goes_back(&known.pin, pin);
            if !all.get(name).is_some_and(is_known) {
                all.insert(name.clone(), KnownApproval { pin: pin.clone(), version: None });
            }
        }
        // Removed entries are remembered up to the limit, since they may come back.
        if all.len() > PLUGINS_MAX {
            all.retain(|name, _| pins.contains_key(name));
        }
    }

    /// Notes the approval by which a plugin begins to serve. Returns the newer one, if there was one.
    pub(super) fn take(&self, plugin: &Plugin) -> Option<KnownApproval> {
        let pin = plugin.clearance().pin()?;
        let version = plugin.provenance.version.clone();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.insert(plugin.name().clone(), KnownApproval { pin: pin.clone(), version })?;
        goes_back(&before.pin, pin).then_some(before)
    }
}

/// Whether the approval `to` is older than `from`, or is the same before it was taken back.
fn goes_back(from: &Pin, to: &Pin) -> bool {
    let is_given_back = from.revoked.is_some()
        && to.revoked.is_none()
        && (to.approval.at, to.digest) == (from.approval.at, from.digest);
    to.approval.at < from.approval.at || is_given_back
}
