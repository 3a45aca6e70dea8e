//! The current plugins and tools as one immutable value, replaced as a whole. A call uses one snapshot throughout.
//! Nothing is loaded here.

pub(crate) mod names;
pub mod plugin;
pub mod tool;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;
use toolgate_policy::call::{
    DeniedError, Judged, Moment, RuleMisfit, Rules, ServedTool, Target, Transport, judge,
};
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::load::{TrustError, TrustPolicy};
use toolgate_policy::{Digest, Principal, ToolName};
use toolgate_signature::trust::TrustSpec;

use plugin::Plugin;
use tool::Tool;

use crate::spec::AccessRules;

/// Plugins and tools that serve, and the rules by which they may be called.
#[derive(Default)]
pub struct Snapshot {
    access: Arc<AccessRules>,
    rules: Rules,
    shadow: Option<Rules>,
    plugins: Vec<Arc<Plugin>>,
    tools: BTreeMap<ToolName, Arc<Tool>>,
}

/// Holder of the current snapshot.
pub(crate) struct Snapshots {
    now: watch::Sender<Arc<Snapshot>>,
    ruling: Mutex<Ruling>,
}

/// Conditions on every snapshot published, even if its load began earlier. Locked while publishing.
#[derive(Default)]
struct Ruling {
    /// Digests revoked since the last publishing policy, with the version that revoked them: a load that began earlier
    /// must not bring them back.
    revoked: BTreeMap<Digest, u64>,
    /// Newest trust policy, and the time for which it is evaluated.
    trust: Option<(Arc<TrustSpec>, UnixTime)>,
    /// Plugins that this policy does not trust, and that must not return unchanged.
    distrusted: Vec<(Arc<Plugin>, TrustError)>,
}

/// Plugins that a new snapshot removed.
#[derive(Default)]
pub(crate) struct SnapshotChange {
    /// Plugins that served and are revoked. Their calls were ended.
    pub(crate) revoked: Vec<Arc<Plugin>>,
    /// Plugins excluded by the newest trust policy, with the reason.
    pub(crate) out: Vec<(Arc<Plugin>, TrustError)>,
}

impl Ruling {
    /// Error for a plugin whose bytes are revoked.
    fn why_revoked(&self, plugin: &Plugin, policy: &TrustPolicy) -> Option<TrustError> {
        let digest = plugin.digest();
        let reason = policy.revoked(&digest).map(str::to_owned);
        let reason =
            reason.or_else(|| self.revoked.get(&digest).map(|_| "by the trust policy".to_owned()))?;
        Some(TrustError::Revoked { digest, reason })
    }
}

impl Snapshot {
    /// A snapshot of these plugins, whose names must not clash, under these rules.
    pub(crate) fn of(plugins: Vec<Arc<Plugin>>, access: Arc<AccessRules>) -> Self {
        let served: Vec<ServedTool> =
            plugins.iter().flat_map(|plugin| plugin.tools()).map(|tool| tool.served()).collect();
        // A tool that rules do not fit is denied by them, and its plugin was refused before.
        let (rules, _) = access.set.bind(&served);
        let shadow = access.shadow.as_ref().map(|set| set.bind(&served).0);
        let tools = plugins.iter().flat_map(|plugin| plugin.tools());
        let tools = tools.map(|tool| (tool.listing.name.clone(), Arc::clone(tool))).collect();
        Self { access, rules, shadow, plugins, tools }
    }

    /// The rules by which the tools may be called.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Rules as the operator wrote them.
    pub(crate) fn access(&self) -> Arc<AccessRules> {
        Arc::clone(&self.access)
    }

    /// Other rules that do not fit the types of the tools that serve.
    pub(crate) fn misfits(&self, rules: &AccessRules) -> Vec<RuleMisfit> {
        let served: Vec<ServedTool> = self.tools().map(|tool| tool.served()).collect();
        let sets = [Some(&rules.set), rules.shadow.as_ref()];
        sets.into_iter().flatten().flat_map(|set| set.bind(&served).1).collect()
    }

    /// Rules that are only evaluated and recorded, if there are any.
    pub fn shadow(&self) -> Option<&Rules> {
        self.shadow.as_ref()
    }

    /// The present moment for a call that came this way, in the time zone of the rules.
    pub fn moment(&self, source: Option<IpAddr>, transport: Transport) -> Moment {
        self.moment_at(Timestamp::now(), source, transport)
    }

    /// The same at another time.
    pub fn moment_at(&self, now: Timestamp, source: Option<IpAddr>, transport: Transport) -> Moment {
        let there = now.to_zoned(self.access.zone.clone());
        Moment {
            now_s: now.as_second(),
            hour: there.hour().unsigned_abs(),
            weekday: there.weekday().to_monday_one_offset().unsigned_abs(),
            source,
            transport,
        }
    }

    /// The plugins, in the operator's order.
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// The tools, by name.
    pub fn tools(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.tools.values()
    }

    /// Call target of the tool of this name, for the judge.
    pub fn find(&self, name: &str) -> Option<&Target> {
        let name = ToolName::parse(name).ok()?;
        self.tools.get(&name).map(|tool| &tool.target)
    }

    /// The tools that a principal may call, sorted by name; decided by the same `judge` that decides about calls.
    pub fn list(&self, principal: &Principal, moment: &Moment) -> Vec<Arc<Tool>> {
        let is_listed = |tool: &&Arc<Tool>| match self.judge(principal, Some(&tool.target), moment) {
            Ok(_) => true,
            Err(denied) => denied.is_listed(),
        };
        self.tools().filter(is_listed).cloned().collect()
    }

    /// The tool of this name, if a principal may call it.
    pub fn tool(&self, principal: &Principal, name: &str, moment: &Moment) -> Option<Arc<Tool>> {
        self.resolve(&self.judge(principal, self.find(name), moment).ok()?)
    }

    /// Whether a principal may use this target, under the rules of this snapshot.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(
        &self,
        principal: &Principal,
        target: Option<&Target>,
        moment: &Moment,
    ) -> Result<Judged, DeniedError> {
        judge(&self.rules, principal, target, moment)
    }

    /// This snapshot without some plugins.
    fn without(&self, gone: impl Fn(&Arc<Plugin>) -> bool) -> Self {
        let plugins = self.plugins.iter().filter(|plugin| !gone(plugin)).cloned().collect();
        Self::of(plugins, Arc::clone(&self.access))
    }

    /// Whether clients would see the same lists of tools.
    fn lists_like(&self, other: &Self) -> bool {
        let listed =
            |tool: &Arc<Tool>| (Arc::clone(&tool.listing), tool.effects(), Arc::clone(&tool.provenance));
        self.rules.digest() == other.rules.digest()
            && self.tools.values().map(listed).eq(other.tools.values().map(listed))
    }

    /// The tool that was judged, if its bytes, its effects and the rules are still the same.
    pub(crate) fn resolve(&self, judged: &Judged) -> Option<Arc<Tool>> {
        let tool = self.tools.get(judged.target().tool()?)?;
        let is_same = tool.target == *judged.target() && self.rules.digest() == judged.policy();
        is_same.then(|| Arc::clone(tool))
    }
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { now: watch::Sender::new(Arc::default()), ruling: Mutex::default() }
    }
}

impl Snapshots {
    pub(crate) fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.now.borrow())
    }

    /// Newest accepted trust policy.
    pub(crate) fn trust(&self) -> Option<Arc<TrustSpec>> {
        let ruling = self.ruling.lock().unwrap_or_else(PoisonError::into_inner);
        ruling.trust.as_ref().map(|(trust, _)| Arc::clone(trust))
    }

    /// Publishes a snapshot that was loaded under `trust` at `now`, without plugins that a newer policy does not trust.
    /// `whole` means that all of it was judged by `trust`, rather than some of it earlier. Running calls go on, except
    /// those of revoked plugins.
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

    /// Removes what a policy revokes, without waiting. It stays out until a newer policy allows it.
    pub(crate) fn revoke(&self, policy: &TrustPolicy) -> Vec<Arc<Plugin>> {
        self.revoke_under(&mut self.ruling.lock().unwrap_or_else(PoisonError::into_inner), policy)
    }

    /// Like [`Snapshots::revoke`] for a remembered policy, unless the accepted one is as new and thus authoritative.
    pub(crate) fn revoke_remembered(&self, policy: &TrustPolicy) -> Vec<Arc<Plugin>> {
        let mut ruling = self.ruling.lock().unwrap_or_else(PoisonError::into_inner);
        let version = ruling.trust.as_ref().map_or(0, |(trust, _)| trust.policy.version());
        if version >= policy.version() { Vec::new() } else { self.revoke_under(&mut ruling, policy) }
    }

    fn revoke_under(&self, ruling: &mut Ruling, policy: &TrustPolicy) -> Vec<Arc<Plugin>> {
        // A policy that is invalid otherwise may have any version: its revocations last as long as the policy in force.
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

    /// Removes what a newer policy does not trust. `judge` may read files, so the lock is not held during it.
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
            // From here on nothing is published that an older policy trusts and this one does not.
            ruling.trust = Some((Arc::clone(trust), now));
        }
        loop {
            let before = self.now();
            let judged = before.plugins.iter().map(|plugin| (Arc::clone(plugin), judge(plugin)));
            let distrusted: Vec<_> =
                judged.filter_map(|(plugin, judged)| judged.err().map(|why| (plugin, why))).collect();
            let mut ruling = self.ruling.lock().unwrap_or_else(PoisonError::into_inner);
            if !Arc::ptr_eq(&before, &self.now()) {
                // Another snapshot was published meanwhile.
                continue;
            }
            let gone = |plugin: &Arc<Plugin>| distrusted.iter().any(|(other, _)| Arc::ptr_eq(other, plugin));
            let next = before.without(gone);
            ruling.distrusted.extend(distrusted.iter().cloned());
            let revoked = self.swap(next, &ruling, &trust.policy);
            return SnapshotChange { revoked, out: distrusted };
        }
    }

    /// Publishes `next` without revoked plugins and ends the calls of those; returns them.
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
        // After the swap: a call that still finds such a plugin uses an old snapshot, and ends as it begins.
        ended.iter().for_each(|plugin| plugin.end_calls());
        ended
    }

    /// Puts other rules in force with the plugins that serve.
    pub(crate) fn rule(&self, rules: &Arc<AccessRules>) {
        // Locked, so that no snapshot is published meanwhile under the rules before.
        let _ruling = self.ruling.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Snapshot::of(self.now().plugins.clone(), Arc::clone(rules));
        self.now.send_replace(Arc::new(next));
    }

    /// Receives a snapshot on every change of the tool list.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.now.subscribe()
    }
}
