//! What serves now: one value, swapped whole. A call takes one snapshot at its beginning and keeps it to its end. Nothing
//! is loaded here.

pub(crate) mod names;
pub mod plugin;
pub mod tool;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use toolgate_policy::call::{Permit, Target};
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::load::{TrustError, TrustPolicy};
use toolgate_policy::{Digest, ToolName};
use toolgate_signature::trust::TrustSpec;

use plugin::Plugin;
use tool::Tool;

/// What serves.
#[derive(Default)]
pub struct Snapshot {
    plugins: Vec<Arc<Plugin>>,
    tools: BTreeMap<ToolName, Arc<Tool>>,
}

/// The one place where the current snapshot is.
pub(crate) struct Snapshots {
    now: watch::Sender<Arc<Snapshot>>,
    ruling: Mutex<Ruling>,
}

/// What must hold of everything that is published, whenever its loading began. Held by whoever publishes.
#[derive(Default)]
struct Ruling {
    /// What was revoked since the policy that published last, with the version that did it: a load that began before must not
    /// bring it back.
    revoked: BTreeMap<Digest, u64>,
    /// The newest trust policy, and the time at which it is judged.
    trust: Option<(Arc<TrustSpec>, UnixTime)>,
    /// The plugins that it was found not to trust, and that must not come back as they are.
    distrusted: Vec<(Arc<Plugin>, TrustError)>,
}

/// What a new snapshot ended.
#[derive(Default)]
pub(crate) struct SnapshotChange {
    /// Plugins that served until now and are revoked. Their calls were ended.
    pub(crate) revoked: Vec<Arc<Plugin>>,
    /// Plugins that were meant to serve, or served, and do not by the newest trust policy, with why.
    pub(crate) out: Vec<(Arc<Plugin>, TrustError)>,
}

impl Ruling {
    /// Why a plugin's bytes must not run, if they are revoked.
    fn why_revoked(&self, plugin: &Plugin, policy: &TrustPolicy) -> Option<TrustError> {
        let digest = plugin.digest();
        let reason = policy.revoked(&digest).map(str::to_owned);
        let reason =
            reason.or_else(|| self.revoked.get(&digest).map(|_| "by the trust policy".to_owned()))?;
        Some(TrustError::Revoked { digest, reason })
    }
}

impl Snapshot {
    /// Serves these plugins. Their names do not clash.
    pub(crate) fn of(plugins: Vec<Arc<Plugin>>) -> Self {
        let tools = plugins.iter().flat_map(|plugin| plugin.tools());
        let tools = tools.map(|tool| (tool.listing.name.clone(), Arc::clone(tool))).collect();
        Self { plugins, tools }
    }

    /// The plugins, in the operator's order.
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// The tools, by name.
    pub fn tools(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.tools.values()
    }

    /// What the judge may know of the tool of this name.
    pub fn find(&self, name: &str) -> Option<&Target> {
        let name = ToolName::parse(name).ok()?;
        self.tools.get(&name).map(|tool| &tool.target)
    }

    /// The same without some plugins.
    fn without(&self, gone: impl Fn(&Arc<Plugin>) -> bool) -> Self {
        Self::of(self.plugins.iter().filter(|plugin| !gone(plugin)).cloned().collect())
    }

    /// Whether a client would see the same list.
    fn lists_like(&self, other: &Self) -> bool {
        let listed =
            |tool: &Arc<Tool>| (Arc::clone(&tool.listing), tool.effects(), Arc::clone(&tool.provenance));
        self.tools.values().map(listed).eq(other.tools.values().map(listed))
    }

    /// The tool that a permit is for.
    pub(crate) fn resolve(&self, permit: &Permit) -> Option<Arc<Tool>> {
        let tool = self.tools.get(permit.tool())?;
        (tool.target.digest() == permit.digest()).then(|| Arc::clone(tool))
    }
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { now: watch::Sender::new(Arc::default()), ruling: Mutex::default() }
    }
}

impl Snapshots {
    /// What serves now.
    pub(crate) fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.now.borrow())
    }

    /// The newest trust policy, if any was taken.
    pub(crate) fn trust(&self) -> Option<Arc<TrustSpec>> {
        let ruling = self.ruling.lock().unwrap_or_else(PoisonError::into_inner);
        ruling.trust.as_ref().map(|(trust, _)| Arc::clone(trust))
    }

    /// Serves another from now on, which was loaded under `trust` at the time `now`. What a policy that is newer by now does not
    /// trust is left out. `whole`: all of it was judged by `trust`, rather than some of it earlier. Calls in flight go on; those
    /// of what is revoked end.
    pub(crate) fn publish(
        &self,
        snapshot: &Snapshot,
        trust: &Arc<TrustSpec>,
        now: UnixTime,
        whole: bool,
    ) -> SnapshotChange {
        let mut ruling = self.ruling.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = ruling.trust.clone().filter(|(newer, _)| newer.policy.version() > trust.policy.version());
        if newer.is_none() {
            ruling.revoked.retain(|_, version| *version >= trust.policy.version());
            ruling.trust = Some((Arc::clone(trust), now));
            if whole {
                ruling.distrusted.clear();
            }
        }
        let policy = newer.as_ref().map_or(&trust.policy, |(newer, _)| &newer.policy);
        let mut out = Vec::new();
        for plugin in &snapshot.plugins {
            let known = ruling.distrusted.iter().find(|(other, _)| Arc::ptr_eq(other, plugin));
            let judged = match (ruling.why_revoked(plugin, policy), known, &newer) {
                (Some(why), ..) => Err(why),
                (None, Some((_, why)), _) => Err(why.clone()),
                (None, None, Some((newer, now))) => plugin.trusted_by(&newer.policy, *now),
                (None, None, None) => Ok(()),
            };
            out.extend(judged.err().map(|why| (Arc::clone(plugin), why)));
        }
        let gone = |plugin: &Arc<Plugin>| out.iter().any(|(other, _)| Arc::ptr_eq(other, plugin));
        let revoked = self.swap(snapshot.without(gone), &ruling, policy);
        SnapshotChange { revoked, out }
    }

    /// Takes what a policy revokes out of what serves, at once: nothing is waited for. What is revoked stays out until a newer
    /// policy lets it in.
    pub(crate) fn revoke(&self, policy: &TrustPolicy) -> Vec<Arc<Plugin>> {
        self.revoke_under(&mut self.ruling.lock().unwrap_or_else(PoisonError::into_inner), policy)
    }

    /// The same of a policy that is remembered, unless the newest that was taken here is as new: that one says itself what it revokes.
    pub(crate) fn revoke_remembered(&self, policy: &TrustPolicy) -> Vec<Arc<Plugin>> {
        let mut ruling = self.ruling.lock().unwrap_or_else(PoisonError::into_inner);
        let version = ruling.trust.as_ref().map_or(0, |(trust, _)| trust.policy.version());
        if version >= policy.version() { Vec::new() } else { self.revoke_under(&mut ruling, policy) }
    }

    fn revoke_under(&self, ruling: &mut Ruling, policy: &TrustPolicy) -> Vec<Arc<Plugin>> {
        // A policy that is wrong otherwise may have any version, or none: what it revokes stays out as long as the policy that
        // is in force.
        let least = ruling.trust.as_ref().map_or(0, |(trust, _)| trust.policy.version());
        for digest in policy.parts().revoked.keys() {
            let version = ruling.revoked.entry(*digest).or_default();
            *version = policy.version().max(least).max(*version);
        }
        let now = self.now();
        if !now.plugins.iter().any(|plugin| ruling.why_revoked(plugin, policy).is_some()) {
            return Vec::new();
        }
        self.swap(now.without(|_| false), ruling, policy)
    }

    /// Takes what a newer policy does not trust out of what serves. `judge` may read files; nobody waits for it.
    pub(crate) fn retrust(
        &self,
        trust: &Arc<TrustSpec>,
        now: UnixTime,
        judge: impl Fn(&Plugin) -> Result<(), TrustError>,
    ) -> SnapshotChange {
        {
            let mut ruling = self.ruling.lock().unwrap_or_else(PoisonError::into_inner);
            if ruling.trust.as_ref().is_some_and(|(other, _)| other.policy.version() > trust.policy.version())
            {
                return SnapshotChange::default();
            }
            // From here on nothing is published that was loaded under an older one and is not trusted by this.
            ruling.trust = Some((Arc::clone(trust), now));
        }
        loop {
            let before = self.now();
            let judged = before.plugins.iter().map(|plugin| (Arc::clone(plugin), judge(plugin)));
            let distrusted: Vec<_> =
                judged.filter_map(|(plugin, judged)| judged.err().map(|why| (plugin, why))).collect();
            let mut ruling = self.ruling.lock().unwrap_or_else(PoisonError::into_inner);
            if !Arc::ptr_eq(&before, &self.now()) {
                // Something else was published meanwhile.
                continue;
            }
            let gone = |plugin: &Arc<Plugin>| distrusted.iter().any(|(other, _)| Arc::ptr_eq(other, plugin));
            let next = before.without(gone);
            ruling.distrusted.extend(distrusted.iter().cloned());
            let revoked = self.swap(next, &ruling, &trust.policy);
            return SnapshotChange { revoked, out: distrusted };
        }
    }

    /// Serves `next` but for what is revoked, and ends the calls of that. What was ended.
    fn swap(&self, next: Snapshot, ruling: &Ruling, policy: &TrustPolicy) -> Vec<Arc<Plugin>> {
        let is_revoked = |plugin: &Arc<Plugin>| ruling.why_revoked(plugin, policy).is_some();
        let next = Arc::new(next.without(is_revoked));
        let ended =
            self.now().plugins.iter().filter(|plugin| is_revoked(plugin)).cloned().collect::<Vec<_>>();
        self.now.send_if_modified(|now| {
            let changed = !now.lists_like(&next);
            *now = next;
            changed
        });
        // After the swap: whoever finds one of these from now on holds an old snapshot, and is ended as it begins.
        ended.iter().for_each(|plugin| plugin.end_calls());
        ended
    }

    /// Tells of every swap that changes the list of tools.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.now.subscribe()
    }
}
