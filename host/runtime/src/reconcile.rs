//! The one way anything comes to serve: what should serve against what does. Loads what changed, keeps what did not, swaps
//! in one step. A plugin that fails keeps its old version serving, unless that is revoked.

use std::sync::{Arc, Mutex, PoisonError};

use toolgate_policy::limits::load::LOADS_AT_ONCE;
use toolgate_policy::{Digest, PluginName};

use crate::audit::{Event, Recorder};
use crate::load::{Kind, NotLoaded, clear_plugin};
use crate::rooms::Rooms;
use crate::snapshot::Snapshot;
use crate::snapshot::plugin::Plugin;
use crate::spec::{OnRefused, PluginSpec, Spec, Trust};

/// What came of it, plugin by plugin, in the operator's order.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Each plugin.
    pub plugins: Vec<(PluginName, Loaded)>,
    /// Whether anything serves, or would: at the start, not when a plugin is refused and the operator wants all or nothing.
    pub serves: bool,
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
    let old = rooms.snapshots.now();
    let (snapshot, mut report) = plan(rooms, spec, &old);
    report.serves |= occasion == Occasion::Reload;
    record(&rooms.audit, &old, &snapshot, &report);
    if report.serves {
        rooms.snapshots.publish(Arc::new(snapshot));
    }
    report
}

/// The same without the swap: what would serve, and what came of each plugin.
pub(crate) fn check(rooms: &Rooms, spec: &Spec) -> (Snapshot, Report) {
    plan(rooms, spec, &Snapshot::default())
}

fn plan(rooms: &Rooms, spec: &Spec, old: &Snapshot) -> (Snapshot, Report) {
    let mut snapshot = Snapshot::default();
    let mut report = Report { plugins: Vec::new(), serves: true };
    for (wanted, loaded) in spec.plugins.iter().zip(load_all(rooms, spec, old)) {
        let before = before(old, wanted);
        let loaded = match loaded
            .and_then(|(plugin, kept)| add(&mut snapshot, &plugin).map(|()| (plugin, kept)))
        {
            Ok((plugin, kept)) => {
                Loaded::Ready { digest: plugin.digest(), tools: plugin.tools().len(), kept }
            }
            Err(why) => {
                let instead = before.filter(|plugin| spec.trust.policy.revoked(&plugin.digest()).is_none());
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

/// A plugin that may serve, and whether it did before.
type LoadedOrNot = Result<(Arc<Plugin>, bool), NotLoaded>;

/// Loads all of them, a few at once: one that is slow to compile does not hold up the others. In the operator's order.
fn load_all(rooms: &Rooms, spec: &Spec, old: &Snapshot) -> Vec<LoadedOrNot> {
    let next = Mutex::new(spec.plugins.iter().enumerate());
    let loader = || {
        let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
        let load = |(at, wanted)| (at, load(rooms, wanted, &spec.trust, before(old, wanted)));
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

fn load(rooms: &Rooms, wanted: &PluginSpec, trust: &Trust, before: Option<&Arc<Plugin>>) -> LoadedOrNot {
    tracing::debug!(plugin = %wanted.name, "loading");
    let cleared = clear_plugin(wanted, trust)?;
    match before {
        Some(plugin) if plugin.is(wanted, cleared.clearance()) => Ok((Arc::clone(plugin), true)),
        Some(_) | None => Ok((Arc::new(cleared.prepare(wanted, &rooms.sandbox)?), false)),
    }
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
            Loaded::Ready { digest, tools, kept: false } => {
                let plugin = new.plugins().iter().find(|plugin| plugin.name() == name);
                let met = plugin.map(|plugin| plugin.clearance().trusted().roles()).unwrap_or_default();
                let signers =
                    met.iter().map(|met| format!("{}: {}", met.role, met.signers.join(", "))).collect();
                audit.event(&Event::Loaded {
                    plugin: name.as_str(),
                    digest: digest.to_string(),
                    signers,
                    tools: *tools,
                });
            }
            Loaded::Not { why, .. } => audit.event(&Event::Refused {
                plugin: name.as_str(),
                digest: why.digest.map(|digest| digest.to_string()),
                reasons: why.reasons.clone(),
            }),
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
