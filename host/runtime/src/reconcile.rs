//! Reconciliation, the only way to publish plugins: loads what changed, keeps the rest, and swaps in one step. If a
//! plugin fails, waits for approval or is being fetched, its former version serves on. That version must still be
//! trusted and approved, with the same grants. Other machines are waited for only if the caller asks for it.

mod arriving;
mod assemble;
mod fetches;
mod loading;
mod newest;
mod records;
mod remembered;
mod report;
pub mod rivals;
mod trusting;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use toolgate_base::spec::PluginSpec;
use toolgate_policy::load::TrustPolicy;
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::{Digest, PluginName};
use toolgate_signature::trust::TrustSpec;
use toolgate_state::audit::Event;
use toolgate_state::rollback::RollbackError;

use crate::load;
use crate::load::error::AccessMisfitError;
use crate::load::source::Sources;
use crate::services::Services;
use crate::snapshot::{Snapshot, SnapshotChange};
use crate::spec::{AccessRules, Approvals, Spec};
use fetches::{Fetch, Fetches};
use loading::LoadState;
use newest::Newest;
use remembered::Remembered;
pub use report::{FolderProblem, LoadReport, Loaded};

/// Occasion of a reconciliation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Nothing serves yet; the operator may require all plugins or none.
    Start,
    /// Plugins serve already; one that does not load does not hold back the others.
    Reload,
    /// As in a reload, with only some plugins loaded.
    Arrival,
}

/// Whether remote plugins are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetching {
    /// The load waits for the fetch.
    Now,
    /// Another thread fetches them, and they are loaded on arrival.
    Later,
}

/// The plugins that should serve, with their progress.
pub struct Reconciler {
    services: Arc<Services>,
    /// Locked during loads, but not during background fetches, nor to drop plugins that a trust policy distrusts.
    plan: Mutex<Option<Plan>>,
    /// Result for each plugin so far.
    status: watch::Sender<Arc<LoadReport>>,
    fetches: Fetches,
    /// State of the rollback guard when it was last read.
    remembered: Mutex<Remembered>,
    newest: Newest,
}

/// A specification, with the progress of each of its plugins.
struct Plan {
    spec: Spec,
    /// In the order of the specification.
    states: Vec<LoadState>,
}

impl Reconciler {
    /// Creates one for which nothing serves yet.
    pub(crate) fn new(services: Arc<Services>) -> Self {
        let (status, fetches) = (watch::Sender::default(), Fetches::default());
        let (remembered, newest) = (Mutex::default(), Newest::default());
        Self { services, plan: Mutex::default(), status, fetches, remembered, newest }
    }

    /// Brings the plugins that serve in line with the specification.
    pub(crate) fn run(self: &Arc<Self>, spec: &Spec, occasion: Occasion, fetching: Fetching) -> LoadReport {
        let mut plan = self.plan();
        let now = match self.admit(&spec.trust) {
            Ok(now) => now,
            Err(error) => return LoadReport::not_taken(&error),
        };
        if occasion == Occasion::Reload {
            // First, without waiting for any load.
            self.drop_distrusted(&spec.trust, now);
        }
        let services = &self.services;
        let old = services.snapshots.now();
        let spec = loading::with_hidden(spec, &old);
        self.newest.read(&spec);
        // Blobs of plugins that serve, or are about to, must not be evicted by new ones.
        services.blobs.hold_loading(needed(&spec, &old));
        let states = loading::load_all(services, &spec, &old, now, fetching);
        let next = Plan { spec, states };
        let report = self.publish(&next, occasion, now);
        let wanted = next.fetches();
        if report.serves {
            *plan = Some(next);
            self.fetch(wanted);
        }
        report
    }

    /// Publishes the plugins loaded so far, and records the changes.
    fn publish(&self, plan: &Plan, occasion: Occasion, now: UnixTime) -> LoadReport {
        let services = &self.services;
        let (plugins, mut report) = assemble::assemble(&plan.spec, &plan.states, occasion);
        let before = Arc::clone(&self.status.borrow());
        if !report.serves {
            records::refused(&services.audit, &before, &report, occasion);
            return report;
        }
        let (old, snapshot) = (services.snapshots.now(), Snapshot::of(plugins, Arc::clone(&plan.spec.rules)));
        services.blobs.hold_loading(needed(&plan.spec, &snapshot));
        let whole = occasion != Occasion::Arrival;
        let SnapshotChange { revoked, out } =
            services.snapshots.publish(&snapshot, &plan.spec.trust, now, whole);
        report.mark(&out);
        report.starting &= occasion == Occasion::Start || before.starting;
        records::refused(&services.audit, &before, &report, occasion);
        records::serving(&services.audit, &self.newest, &old, &services.snapshots.now(), occasion);
        records::revoked(&services.audit, &revoked);
        self.status.send_replace(Arc::new(report.clone()));
        report
    }

    /// Fetches exactly these from now on, in the background.
    fn fetch(self: &Arc<Self>, wanted: Vec<Fetch>) {
        for _ in 0..self.fetches.want(wanted) {
            let this = Arc::clone(self);
            let work = move || {
                while let Some(turn) = this.fetches.next() {
                    let Fetch { source, pin, signers } = &turn.fetch;
                    tracing::info!(%source, "fetching");
                    let sources = Sources::of(&this.services).until(turn.off.clone());
                    let fetched = sources.fetch(source, *pin, signers).map_err(Arc::new);
                    if this.fetches.ended(&turn) {
                        this.arrived(&turn.fetch, &fetched);
                    }
                }
            };
            if let Err(error) = std::thread::Builder::new().name("fetches".to_owned()).spawn(work) {
                tracing::error!(%error, "what lies elsewhere is not fetched: no thread can be started");
                self.fetches.lost();
            }
        }
    }

    /// Retries fetches that failed.
    pub(crate) fn fetch_failed(self: &Arc<Self>) {
        let wanted = {
            // During a load there will be another occasion.
            let Ok(plan) = self.plan.try_lock() else { return };
            let Some(plan) = plan.as_ref() else { return };
            let failed = plan.failed_fetches();
            if failed.is_empty() {
                return;
            }
            plan.fetches().into_iter().chain(failed).collect()
        };
        self.fetch(wanted);
    }

    /// Accepts a trust policy and stores its version. Returns the time by which it is judged.
    fn admit(&self, trust: &TrustSpec) -> Result<UnixTime, RollbackError> {
        let admitted = self.services.rollback.admit(trust, load::now())?;
        if admitted.upgraded {
            self.services.audit.event(&Event::SeenUpgraded { version: trust.policy.version() });
        }
        Ok(admitted.now)
    }

    /// Stops serving what a policy revokes, ends its calls and returns the plugins' names. Waits for no load.
    pub fn revoke(&self, policy: &TrustPolicy) -> Vec<PluginName> {
        let ended = self.services.snapshots.revoke(policy);
        self.ended_revoked(policy, &ended);
        ended.iter().map(|plugin| plugin.name().clone()).collect()
    }

    /// Protects everything that `spec` approves or pins from eviction in the blob store. Call it before any load.
    pub fn hold(&self, spec: &Spec) {
        self.services.blobs.hold(needed(spec, &Snapshot::default()));
    }

    /// The snapshot that would serve at a start, and the result for each plugin; nothing is swapped. The trust policy's
    /// version is not stored; blobs and compiled code are, as in any other LOAD.
    pub fn look(&self, spec: &Spec) -> (Snapshot, LoadReport) {
        match self.services.rollback.judge(&spec.trust, load::now()) {
            Ok(now) => {
                let states =
                    loading::load_all(&self.services, spec, &Snapshot::default(), now, Fetching::Now);
                let (plugins, report) = assemble::assemble(spec, &states, Occasion::Start);
                (Snapshot::of(plugins, Arc::clone(&spec.rules)), report)
            }
            Err(error) => (Snapshot::default(), LoadReport::not_taken(&error)),
        }
    }

    /// Rules about calls that are in force.
    pub fn rules(&self) -> Arc<AccessRules> {
        self.services.snapshots.now().access()
    }

    /// Puts other rules in force with the plugins that serve, in one step.
    ///
    /// # Errors
    /// Rules that do not fit the plugins that serve; those before stay in force.
    pub fn rule(&self, rules: &Arc<AccessRules>) -> Result<(), AccessMisfitError> {
        let mut plan = self.plan();
        self.check_rules(rules)?;
        if let Some(plan) = plan.as_mut() {
            plan.spec.rules = Arc::clone(rules);
        }
        self.services.snapshots.rule(rules);
        Ok(())
    }

    /// Checks that rules fit the plugins that serve.
    ///
    /// # Errors
    /// Those that do not.
    pub fn check_rules(&self, rules: &AccessRules) -> Result<(), AccessMisfitError> {
        let misfits = self.services.snapshots.now().misfits(rules);
        if misfits.is_empty() { Ok(()) } else { Err(AccessMisfitError(misfits)) }
    }

    /// Load status of each plugin, now and after every change.
    pub fn status(&self) -> watch::Receiver<Arc<LoadReport>> {
        self.status.subscribe()
    }

    /// Stops all fetches for good.
    pub(crate) fn stop(&self) {
        self.fetches.stop();
    }

    fn plan(&self) -> MutexGuard<'_, Option<Plan>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Digests needed to serve on, to load again and to show changes: approved, pinned and serving ones.
fn needed(spec: &Spec, snapshot: &Snapshot) -> std::collections::BTreeSet<Digest> {
    let pins = match &spec.approvals {
        Approvals::NotAsked => None,
        Approvals::Asked(pins) => Some(pins.values()),
    };
    let approved =
        pins.into_iter().flatten().flat_map(|pin| pin.surfaces.iter().chain([&pin.digest]).copied());
    let pins = |plugin: &PluginSpec| [plugin.digest, plugin.source.manifest()];
    let pinned = spec.plugins.iter().flat_map(pins).flatten();
    approved.chain(pinned).chain(snapshot.plugins().iter().map(|plugin| plugin.digest())).collect()
}
