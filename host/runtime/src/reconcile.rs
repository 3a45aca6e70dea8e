//! The one way anything comes to serve: what should serve against what does. Loads what changed, keeps what did not, swaps
//! in one step. Where a plugin fails, waits for approval or is being fetched, the version before it serves on, if that is still
//! trusted, approved, and given the same. Nothing here waits for another machine unless its caller wants to.

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
use crate::load::source::Sources;
use crate::services::Services;
use crate::snapshot::{Snapshot, SnapshotChange};
use crate::spec::{Approvals, Spec};
use fetches::{Fetch, Fetches};
use loading::LoadState;
use newest::Newest;
use remembered::Remembered;
pub use report::{FolderProblem, LoadReport, Loaded};

/// When it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Nothing serves yet: the operator may want all of it or nothing.
    Start,
    /// Others are served already; a plugin that does not load keeps none of them from what they should be.
    Reload,
    /// The same, and only some of them were loaded anew.
    Arrival,
}

/// Whether what lies elsewhere is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetching {
    /// It is fetched at once.
    Now,
    /// It is fetched by others, and arrives later.
    Later,
}

/// What should serve, and how far it has come.
pub(crate) struct Reconciler {
    services: Arc<Services>,
    /// Held while anything is loaded, but never while anything is fetched, and not for what a trust policy takes away.
    plan: Mutex<Option<Plan>>,
    /// What became of each plugin so far.
    status: watch::Sender<Arc<LoadReport>>,
    fetches: Fetches,
    /// What was remembered when that was last looked at.
    remembered: Mutex<Remembered>,
    newest: Newest,
}

/// What should serve, and how far each of its plugins has come.
struct Plan {
    spec: Spec,
    /// In the order of the specification.
    states: Vec<LoadState>,
}

impl Reconciler {
    /// Nothing serves yet.
    pub(crate) fn new(services: Arc<Services>) -> Self {
        let (status, fetches) = (watch::Sender::default(), Fetches::default());
        let (remembered, newest) = (Mutex::default(), Newest::default());
        Self { services, plan: Mutex::default(), status, fetches, remembered, newest }
    }

    /// Brings what serves in line with what should.
    pub(crate) fn run(self: &Arc<Self>, spec: &Spec, occasion: Occasion, fetching: Fetching) -> LoadReport {
        let mut plan = self.plan();
        let now = match self.admit(&spec.trust) {
            Ok(now) => now,
            Err(error) => return LoadReport::not_taken(&error),
        };
        if occasion == Occasion::Reload {
            // First, and without waiting for any load.
            self.drop_distrusted(&spec.trust, now);
        }
        let services = &self.services;
        let old = services.snapshots.now();
        let spec = loading::with_hidden(spec, &old);
        self.newest.read(&spec);
        // Neither what serves nor what is about to makes room for what comes in meanwhile.
        services.kept.hold_loading(needed(&spec, &old));
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

    /// Serves what has been loaded so far, and records what is different now.
    fn publish(&self, plan: &Plan, occasion: Occasion, now: UnixTime) -> LoadReport {
        let services = &self.services;
        let (plugins, mut report) = assemble::assemble(&plan.spec, &plan.states, occasion);
        let before = Arc::clone(&self.status.borrow());
        if !report.serves {
            records::refused(&services.audit, &before, &report, occasion);
            return report;
        }
        let (old, snapshot) = (services.snapshots.now(), Snapshot::of(plugins));
        services.kept.hold_loading(needed(&plan.spec, &snapshot));
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

    /// Fetches exactly this from now on, beside everything else.
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

    /// Asks again for what was not to be had.
    pub(crate) fn fetch_failed(self: &Arc<Self>) {
        let wanted = {
            // While something is loaded there is time for that later.
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

    /// Takes a trust policy, and remembers that. The time at which it is judged.
    fn admit(&self, trust: &TrustSpec) -> Result<UnixTime, RollbackError> {
        let admitted = self.services.seen.admit(trust, load::now())?;
        if admitted.upgraded {
            self.services.audit.event(&Event::SeenUpgraded { version: trust.policy.version() });
        }
        Ok(admitted.now)
    }

    /// Takes what a policy revokes out of what serves, and nothing else. Which they were.
    pub(crate) fn revoke(&self, policy: &TrustPolicy) -> Vec<PluginName> {
        let ended = self.services.snapshots.revoke(policy);
        self.ended_revoked(policy, &ended);
        ended.iter().map(|plugin| plugin.name().clone()).collect()
    }

    /// From now on nothing that `spec` needs makes room for something else in what is kept.
    pub(crate) fn hold(&self, spec: &Spec) {
        self.services.kept.hold(needed(spec, &Snapshot::default()));
    }

    /// The same as [`Self::run`] without the swap: what would serve, and what came of each plugin. Of the trust policy nothing is remembered;
    /// what is approved or fetched is kept, and compiled code is cached, as by any other LOAD.
    pub(crate) fn check(&self, spec: &Spec) -> (Snapshot, LoadReport) {
        match self.services.seen.judge(&spec.trust, load::now()) {
            Ok(now) => {
                let states =
                    loading::load_all(&self.services, spec, &Snapshot::default(), now, Fetching::Now);
                let (plugins, report) = assemble::assemble(spec, &states, Occasion::Start);
                (Snapshot::of(plugins), report)
            }
            Err(error) => (Snapshot::default(), LoadReport::not_taken(&error)),
        }
    }

    /// What became of each plugin so far, now and whenever that changes.
    pub(crate) fn status(&self) -> watch::Receiver<Arc<LoadReport>> {
        self.status.subscribe()
    }

    /// Fetches nothing any more.
    pub(crate) fn stop(&self) {
        self.fetches.stop();
    }

    fn plan(&self) -> MutexGuard<'_, Option<Plan>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is needed to serve on, to load again, and to show what changed: what is approved, what is pinned, what serves.
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
