//! Effect of a newer trust policy on what serves: distrusted plugins end at once, independent of configuration errors
//! and slow loads.

use std::sync::Arc;

use toolgate_base::outcome::with_causes;
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::load::{TrustError, TrustPolicy};
use toolgate_signature::trust::TrustSpec;

use super::{LoadReport, Loaded, Reconciler, records};
use crate::load::source::{Found, Sources};
use crate::load::verify;
use crate::load::{self, LoadError};
use crate::services::Services;
use crate::snapshot::plugin::Plugin;

impl Reconciler {
    /// Stops serving what a newer trust policy does not trust. Waits for no load and needs no configuration.
    ///
    /// # Errors
    /// A sentence with the reason why the policy is not accepted; then nothing was changed.
    pub fn retrust(&self, trust: &Arc<TrustSpec>) -> Result<(), String> {
        let now = self.admit(trust).map_err(|error| with_causes(&error))?;
        self.drop_distrusted(trust, now);
        Ok(())
    }

    /// Judges again by the newest trust policy accepted here: a date in it may have passed. A newer one accepted by
    /// another process does not prevent that.
    pub(crate) fn retrust_now(&self) {
        let Some(trust) = self.services.snapshots.trust() else { return };
        match self.services.rollback.time(load::now()) {
            Ok(now) => self.drop_distrusted(&trust, now),
            Err(error) => tracing::error!("{}; what serves is not judged again", with_causes(&error)),
        }
    }

    /// Ends the plugins that a policy does not trust.
    pub(super) fn drop_distrusted(&self, trust: &Arc<TrustSpec>, now: UnixTime) {
        let ended =
            self.services.snapshots.retrust(trust, now, |plugin| judge(&self.services, plugin, trust, now));
        records::revoked(&self.services.audit, &ended.revoked);
        let is_revoked = |plugin: &Arc<Plugin>| ended.revoked.iter().any(|other| Arc::ptr_eq(other, plugin));
        let distrusted: Vec<_> =
            ended.out.iter().filter(|(plugin, _)| !is_revoked(plugin)).cloned().collect();
        records::distrusted(&self.services.audit, &distrusted);
        self.mark(&ended.out);
    }

    /// Records plugins that were revoked, and marks them in the status.
    pub(super) fn ended_revoked(&self, policy: &TrustPolicy, ended: &[Arc<Plugin>]) {
        records::revoked(&self.services.audit, ended);
        let why = |plugin: &Arc<Plugin>| {
            let digest = plugin.digest();
            let reason = policy.revoked(&digest).map_or_else(String::new, str::to_owned);
            (Arc::clone(plugin), TrustError::Revoked { digest, reason })
        };
        self.mark(&ended.iter().map(why).collect::<Vec<_>>());
    }

    fn mark(&self, out: &[(Arc<Plugin>, TrustError)]) {
        if !out.is_empty() {
            self.status.send_modify(|status| Arc::make_mut(status).mark(out));
        }
    }
}

impl LoadReport {
    /// Marks these plugins as not serving, each with the reason.
    pub(super) fn mark(&mut self, out: &[(Arc<Plugin>, TrustError)]) {
        for (name, loaded) in &mut self.plugins {
            let gone = out.iter().find(|(plugin, _)| plugin.name() == name);
            if let Some((plugin, why)) = gone.filter(|(plugin, _)| loaded.serving() == Some(plugin.digest()))
            {
                let why = Arc::new(LoadError::distrusted(plugin.digest(), why.clone()));
                *loaded = Loaded::Not { why, instead: None };
            }
        }
    }
}

/// Checks whether the policy trusts the bytes that serve. It counts signatures found at their load, stored with them,
/// or beside their file now. Nothing is fetched.
fn judge(services: &Services, plugin: &Plugin, trust: &TrustSpec, now: UnixTime) -> Result<(), TrustError> {
    let Err(why) = plugin.trusted_by(&trust.policy, now) else { return Ok(()) };
    let stored = || {
        let (artifact, signatures) = services.blobs.get(plugin.digest())?;
        Some(Found::new(artifact, signatures))
    };
    let beside = || {
        let spec = Some(plugin.spec()).filter(|spec| !spec.source.is_elsewhere())?;
        Sources::of(services).fetch(&spec.source, None, &trust.anchors).ok()
    };
    // The pin excludes other bytes, and revocation overrides every signature.
    let (id, pin) = (plugin.clearance().trusted().plugin(), Some(plugin.digest()));
    let trusts = |found: Found| verify::verify(trust, &found, id, pin, plugin.standing(), now).is_ok();
    if stored().is_some_and(trusts) || beside().is_some_and(trusts) { Ok(()) } else { Err(why) }
}
