//! The one way anything comes to serve: what should serve against what does. Loads what changed, keeps what did not, swaps
//! in one step. Where a plugin fails or waits for approval, the version before it serves on, if that is still trusted,
//! approved, and given the same.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use toolgate_policy::limits::load::LOADS_AT_ONCE;
use toolgate_policy::load::TrustPolicy;
use toolgate_policy::load::pin::Approved;
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::load::trust::Standing;
use toolgate_policy::{Digest, PluginName};

use crate::audit::{Event, Recorder};
use crate::load::source::{Found, Sources};
use crate::load::verify::{self, By};
use crate::load::{self, Against, Kind, NotLoaded, clear_found};
use crate::rooms::Rooms;
use crate::signature::SignatureFile;
use crate::snapshot::Snapshot;
use crate::snapshot::plugin::Plugin;
use crate::spec::{Approvals, OnRefused, PluginSpec, Spec, Trust};
use crate::state::kept::{NotKept, Worth};
use crate::state::seen::NotAdmitted;

/// What came of it, plugin by plugin, in the operator's order.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Each plugin.
    pub plugins: Vec<(PluginName, Loaded)>,
    /// Whether anything serves, or would: at the start, not when a plugin is refused and the operator wants all or nothing.
    pub serves: bool,
    /// Why the trust policy is not taken, so that nothing was looked at and everything is as it was.
    pub problem: Option<String>,
}

/// What became of one plugin.
#[derive(Debug, Clone)]
pub enum Loaded {
    /// It serves, or would.
    Ready {
        /// Its bytes.
        digest: Digest,
        /// How many tools it has.
        tools: usize,
        /// Whether it served before, unchanged.
        kept: bool,
        /// A sentence for each thing beside it that was set aside: no signature of it, or none that can be read.
        set_aside: Vec<String>,
    },
    /// It does not, or its old version does instead.
    Not {
        /// Why.
        why: NotLoaded,
        /// The bytes that serve instead.
        instead: Option<Digest>,
    },
}

/// When it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Nothing serves yet: the operator may want all of it or nothing.
    Start,
    /// Others are served already; a plugin that does not load keeps none of them from what they should be.
    Reload,
}

/// Brings what serves in line with what should.
pub(crate) fn run(rooms: &Rooms, spec: &Spec, occasion: Occasion) -> Report {
    let now = match rooms.seen.admit(&spec.trust.policy, load::now()) {
        Ok(now) => now,
        Err(error) => return Report::not_taken(&error),
    };
    let old = rooms.snapshots.now();
    // Neither what serves nor what is about to makes room for what comes in meanwhile.
    rooms.kept.hold(needed(spec, &old));
    let (snapshot, mut report) = plan(rooms, spec, &old, now);
    report.serves |= occasion == Occasion::Reload;
    record(&rooms.audit, &old, &snapshot, &report);
    if report.serves {
        rooms.kept.hold(needed(spec, &snapshot));
        let ended = rooms.snapshots.publish(snapshot, &spec.trust.policy);
        tell_revoked(&rooms.audit, &ended);
    }
    report
}

/// Takes what a policy revokes out of what serves, and nothing else. Which they were.
pub(crate) fn revoke(rooms: &Rooms, policy: &TrustPolicy) -> Vec<PluginName> {
    let ended = rooms.snapshots.revoke(policy);
    tell_revoked(&rooms.audit, &ended);
    ended.iter().map(|plugin| plugin.name().clone()).collect()
}

/// From now on nothing that `spec` needs, and nothing that serves, makes room for something else in what is kept.
pub(crate) fn hold(rooms: &Rooms, spec: &Spec) {
    rooms.kept.hold(needed(spec, &rooms.snapshots.now()));
}

/// The same as [`run`] without the swap: what would serve, and what came of each plugin. Nothing is remembered.
pub(crate) fn check(rooms: &Rooms, spec: &Spec) -> (Snapshot, Report) {
    match rooms.seen.judge(&spec.trust.policy, load::now()) {
        Ok(now) => plan(rooms, spec, &Snapshot::default(), now),
        Err(error) => (Snapshot::default(), Report::not_taken(&error)),
    }
}

impl Report {
    fn not_taken(error: &NotAdmitted) -> Self {
        Self { plugins: Vec::new(), serves: false, problem: Some(load::told(error)) }
    }
}

fn plan(rooms: &Rooms, spec: &Spec, old: &Snapshot, now: UnixTime) -> (Snapshot, Report) {
    let mut snapshot = Snapshot::default();
    let mut report = Report { plugins: Vec::new(), serves: true, problem: None };
    for (wanted, (loaded, instead)) in spec.plugins.iter().zip(load_all(rooms, spec, old, now)) {
        let loaded = match loaded.and_then(|ready| add(&mut snapshot, &ready.plugin).map(|()| ready)) {
            Ok(Ready { plugin, kept, set_aside }) => {
                Loaded::Ready { digest: plugin.digest(), tools: plugin.tools().len(), kept, set_aside }
            }
            Err(why) => {
                let instead =
                    instead.filter(|plugin| add(&mut snapshot, plugin).is_ok()).map(|plugin| plugin.digest());
                if instead.is_none() && spec.on_refused == OnRefused::Stop {
                    report.serves = false;
                }
                Loaded::Not { why, instead }
            }
        };
        report.plugins.push((wanted.name.clone(), loaded));
    }
    (snapshot, report)
}

/// The version of a plugin that serves.
fn before<'a>(old: &'a Snapshot, wanted: &PluginSpec) -> Option<&'a Arc<Plugin>> {
    old.plugins().iter().find(|plugin| *plugin.name() == wanted.name)
}

/// A plugin that may serve.
struct Ready {
    plugin: Arc<Plugin>,
    /// Whether it did before.
    kept: bool,
    set_aside: Vec<String>,
}

/// A plugin that may serve; if there is none, the version that may serve instead.
type LoadedOrNot = (Result<Ready, NotLoaded>, Option<Arc<Plugin>>);

/// Loads all of them, a few at once: one that is slow to compile does not hold up the others. In the operator's order.
fn load_all(rooms: &Rooms, spec: &Spec, old: &Snapshot, now: UnixTime) -> Vec<LoadedOrNot> {
    let next = Mutex::new(spec.plugins.iter().enumerate());
    let loader = || {
        let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
        let load = |(at, wanted): (usize, &PluginSpec)| {
            let approved = spec.approvals.of(&wanted.name);
            let against = Against { trust: &spec.trust, approved, now };
            (at, load(rooms, wanted, against, before(old, wanted)))
        };
        std::iter::from_fn(take).map(load).collect::<Vec<_>>()
    };
    let (least, most) = LOADS_AT_ONCE;
    let at_once = std::thread::available_parallelism().map_or(least, usize::from).clamp(least, most);
    std::thread::scope(|scope| {
        // Where no more threads can be started, fewer load.
        let start = |_| std::thread::Builder::new().name("load".to_owned()).spawn_scoped(scope, loader).ok();
        let others: Vec<_> = (1..at_once.min(spec.plugins.len())).filter_map(start).collect();
        let mut all = loader();
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all.sort_by_key(|(at, _)| *at);
        all.into_iter().map(|(_, loaded)| loaded).collect()
    })
}

fn load(
    rooms: &Rooms,
    wanted: &PluginSpec,
    against: Against<'_>,
    before: Option<&Arc<Plugin>>,
) -> LoadedOrNot {
    tracing::debug!(plugin = %wanted.name, "loading");
    match load::fetch(&Sources::of(rooms), wanted, against)
        .and_then(|found| load_found(rooms, wanted, found, against, before))
    {
        Ok(loaded) => (Ok(loaded), None),
        Err(why) => (Err(why), instead(rooms, wanted, against, before)),
    }
}

fn load_found(
    rooms: &Rooms,
    wanted: &PluginSpec,
    found: Found,
    against: Against<'_>,
    before: Option<&Arc<Plugin>>,
) -> Result<Ready, NotLoaded> {
    let cleared = clear_found(wanted, found, against)?;
    let set_aside = cleared.set_aside().to_vec();
    if !set_aside.is_empty() {
        tracing::info!(plugin = %wanted.name, ?set_aside, "beside it is what is no signature of it");
    }
    if cleared.clearance().pin().is_some() {
        keep(rooms, against.trust, cleared.found());
    }
    if let Some(plugin) = before.filter(|plugin| plugin.is(wanted, cleared.clearance())) {
        return Ok(Ready { plugin: Arc::clone(plugin), kept: true, set_aside });
    }
    let plugin = cleared.prepare(wanted, &rooms.sandbox)?;
    if plugin.clearance().pin().is_some() {
        // What was read when it was approved, so that a change can be shown.
        for surface in plugin.surfaces().iter().filter(|surface| !rooms.kept.has(surface.digest(), &[])) {
            told(rooms.kept.put(surface, &[]));
        }
    }
    Ok(Ready { plugin: Arc::new(plugin), kept: false, set_aside })
}

/// What may serve where `wanted` does not: the version that serves, or the one that was approved and kept.
fn instead(
    rooms: &Rooms,
    wanted: &PluginSpec,
    against: Against<'_>,
    before: Option<&Arc<Plugin>>,
) -> Option<Arc<Plugin>> {
    let approved = match against.approved {
        Approved::NotAsked => None,
        // What nobody approves any more serves no more.
        Approved::Asked(pin) => Some(pin.filter(|pin| pin.revoked.is_none())?),
    };
    let goes_on = before.filter(|plugin| {
        let standing = if approved.is_some() { Standing::Approved } else { Standing::New };
        let policy = &against.trust.policy;
        plugin.has_what_is_given_in(wanted)
            && policy.again(plugin.clearance().trusted(), standing, against.now).is_ok()
            && plugin.clearance().pin() == approved
    });
    if let Some(plugin) = goes_on {
        return Some(Arc::clone(plugin));
    }
    let (artifact, signatures) = rooms.kept.get(approved?.digest)?;
    let found = Found::new(artifact, signatures);
    let wanted = PluginSpec { digest: None, ..wanted.clone() };
    load_found(rooms, &wanted, found, against, None).ok().map(|ready| ready.plugin)
}

/// Keeps what was approved, with every signature that has been found beside it so far: the key of the first may be the
/// first whose time is over.
fn keep(rooms: &Rooms, trust: &Trust, found: &Found) {
    let signatures = verify::worth_keeping(trust, found);
    if rooms.kept.has(found.artifact.digest(), &signatures) {
        return;
    }
    let worth = |file: &SignatureFile| {
        let alone = Found::new(found.artifact.clone(), vec![file.clone()]);
        match verify::examine(trust, &alone).first().map(|one| &one.by) {
            Some(By::Signer(_)) => Worth::Counts,
            Some(By::Stranger(_)) => Worth::MayCount,
            Some(By::Nobody(_)) | None => Worth::Nothing,
        }
    };
    told(rooms.kept.add(&found.artifact, &signatures, worth));
}

/// What is not kept serves all the same.
fn told(kept: Result<(), NotKept>) {
    if let Err(error) = kept {
        let error = load::told(&error);
        tracing::warn!(error, "what was approved is not kept; when its source changes it cannot serve on");
    }
}

/// What is needed to serve on, to load again, and to show what changed: what is approved, what is pinned, what serves.
fn needed(spec: &Spec, snapshot: &Snapshot) -> BTreeSet<Digest> {
    let pins = match &spec.approvals {
        Approvals::NotAsked => None,
        Approvals::Asked(pins) => Some(pins.values()),
    };
    let approved =
        pins.into_iter().flatten().flat_map(|pin| pin.surfaces.iter().chain([&pin.digest]).copied());
    let pinned = spec.plugins.iter().filter_map(|plugin| plugin.digest);
    approved.chain(pinned).chain(snapshot.plugins().iter().map(|plugin| plugin.digest())).collect()
}

fn add(snapshot: &mut Snapshot, plugin: &Arc<Plugin>) -> Result<(), NotLoaded> {
    snapshot.add(Arc::clone(plugin)).map_err(|clash| NotLoaded {
        kind: Kind::Refused,
        digest: Some(plugin.digest()),
        reasons: vec![clash.to_string()],
    })
}

fn record(audit: &Recorder, old: &Snapshot, new: &Snapshot, report: &Report) {
    for (name, loaded) in &report.plugins {
        match loaded {
            Loaded::Ready { kept: true, .. } => {}
            Loaded::Ready { digest, tools, kept: false, .. } => {
                let plugin = new.plugins().iter().find(|plugin| plugin.name() == name);
                let provenance = plugin.map(|plugin| plugin.provenance());
                let approval = provenance.and_then(|provenance| provenance.approval.as_ref());
                audit.event(&Event::Loaded {
                    plugin: name.as_str(),
                    digest: digest.to_string(),
                    version: provenance.and_then(|provenance| provenance.version.as_deref()),
                    signers: provenance.map(|provenance| provenance.signers.clone()).unwrap_or_default(),
                    approved_by: approval.map(|approval| approval.by.as_str()),
                    tools: *tools,
                });
            }
            Loaded::Not { why, .. } => audit.event(&Event::Refused {
                plugin: name.as_str(),
                held: why.kind == Kind::Held,
                digest: why.digest.map(|digest| digest.to_string()),
                reasons: why.reasons.clone(),
            }),
        }
    }
    for plugin in new.plugins() {
        for overdue in plugin.clearance().trusted().overdue() {
            tracing::error!(plugin = %plugin.name(), "ALARM: {overdue}");
            audit.event(&Event::Overdue { plugin: plugin.name().as_str(), what: overdue.to_string() });
        }
    }
    if report.serves {
        let gone = |plugin: &&Arc<Plugin>| {
            !new.plugins()
                .iter()
                .any(|other| other.name() == plugin.name() && other.digest() == plugin.digest())
        };
        for plugin in old.plugins().iter().filter(gone) {
            audit.event(&Event::Retired {
                plugin: plugin.name().as_str(),
                digest: plugin.digest().to_string(),
            });
        }
    }
}

fn tell_revoked(audit: &Recorder, ended: &[Arc<Plugin>]) {
    for plugin in ended {
        let (name, digest) = (plugin.name(), plugin.digest());
        tracing::error!(plugin = %name, %digest, "revoked: it serves no more, and its calls were ended");
        audit.event(&Event::Revoked { plugin: name.as_str(), digest: digest.to_string() });
    }
}
