//! The one public handle: builds the rooms and forwards to them. No step of any flow is here.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use toolgate_base::artifact::Artifact;
use toolgate_base::outcome::Outcome;
use toolgate_base::spec::{Compiling, PluginSpec};
use toolgate_net::egress::Egress;
use toolgate_net::remote::{Fetcher, TransferProgress};
use toolgate_policy::capability::http::Pass;
use toolgate_policy::limits::wire::{CALLS_MAX, MEMORY_BYTES_MAX, MESSAGES_BYTES_MAX, PEER_PERCENT};
use toolgate_policy::load::trust::Standing;
use toolgate_policy::load::{Pin, RequestedCapabilities, TrustPolicy};
use toolgate_policy::{Digest, PluginName, Principal};
use toolgate_sandbox::Sandbox;
use toolgate_sandbox::compile::Compiler;
use toolgate_signature::trust::TrustSpec;
use toolgate_state::StateDir;
use toolgate_state::audit::record::Closed;
use toolgate_state::audit::{Event, Recorder};
use toolgate_state::blobs::BlobStore;
use toolgate_state::keyvalue::Stores;
use toolgate_state::rollback::RollbackGuard;

use crate::admission;
use crate::call;
use crate::call::request::Request;
use crate::large::Large;
use crate::list;
use crate::load::source::Sources;
use crate::load::{self, LoadError};
use crate::reconcile::rivals::{Rivals, RivalsError};
use crate::reconcile::{Fetching, LoadReport, Occasion, Reconciler};
use crate::services::{InFlight, Services};
use crate::snapshot::plugin::Plugin;
use crate::snapshot::tool::Tool;
use crate::snapshot::{Snapshot, Snapshots};
use crate::spec::Spec;
pub use toolgate_sandbox::compile::progress::CompileProgress;

/// Loads plugins and runs their tools. Cheap to clone; all clones are one gate.
#[derive(Clone)]
pub struct Gate {
    services: Arc<Services>,
    reconciler: Arc<Reconciler>,
}

/// Bounds over all plugins.
#[derive(Debug, Clone, Copy)]
pub struct GateLimits {
    /// Calls at once.
    pub calls_max: u32,
    /// Guest memory at once, in bytes.
    pub memory_bytes_max: u64,
    /// Bytes of large messages at once.
    pub messages_bytes_max: u64,
    /// What one peer may hold of what all clients share, in percent.
    pub peer_percent: u64,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self {
            calls_max: u32::try_from(CALLS_MAX.default).unwrap_or(1),
            memory_bytes_max: MEMORY_BYTES_MAX.default,
            messages_bytes_max: MESSAGES_BYTES_MAX.default,
            peer_percent: PEER_PERCENT.default,
        }
    }
}

/// Why there is no gate.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The record of calls cannot be kept.
    #[error("open the record of calls in {0}")]
    Audit(std::path::PathBuf, #[source] std::io::Error),
    /// The engine or its cache cannot be set up.
    #[error("set up the engine")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was seen or kept before cannot be read.
    #[error("read the state directory {0}")]
    State(std::path::PathBuf, #[source] std::io::Error),
    /// Threads cannot be started.
    #[error("start the threads of guests and of large messages")]
    Threads(#[source] std::io::Error),
}

impl Gate {
    /// Opens the gate. Nothing serves yet. Names in grants and sources are asked of `name_servers`, or where there are none of
    /// the system's. `progress` is told how far what is fetched from elsewhere has come.
    ///
    /// # Errors
    /// [`GateError`].
    pub fn open(
        state: &StateDir,
        bounds: GateLimits,
        compiling: Compiling,
        name_servers: Vec<SocketAddr>,
        progress: TransferProgress,
    ) -> Result<Self, GateError> {
        let fetcher = Fetcher::new(name_servers.clone()).telling(progress);
        let folders = state.root().try_clone().and_then(|root| Ok((root, state.dir("keys")?)));
        let audit = folders.and_then(|(root, keys)| Recorder::open(root, &keys));
        let audit = Arc::new(audit.map_err(|error| GateError::Audit(state.path().to_owned(), error))?);
        let compiler =
            Compiler::open(state, bounds.calls_max, compiling, &audit).map_err(GateError::Engine)?;
        let sandbox = Sandbox::new(
            compiler,
            Stores::new(state),
            Egress::new(name_servers.clone()),
            bounds.memory_bytes_max,
        );
        let sandbox = sandbox.map_err(GateError::Threads)?;
        let unreadable = |error| GateError::State(state.path().to_owned(), error);
        let services = Services {
            fetcher,
            kept: Arc::new(BlobStore::open(state).map_err(unreadable)?),
            seen: RollbackGuard::open(state).map_err(unreadable)?,
            sandbox,
            snapshots: Snapshots::default(),
            audit,
            calls: admission::of_all(bounds.calls_max as usize),
            large: Large::start(bounds.messages_bytes_max, bounds.peer_percent)
                .map_err(GateError::Threads)?,
            flights: InFlight::default(),
        };
        let services = Arc::new(services);
        Ok(Self { reconciler: Arc::new(Reconciler::new(Arc::clone(&services))), services })
    }

    /// From now on `listener` is told of plugins that take long to compile, as the log is.
    pub fn tell_compiling(&self, listener: CompileProgress) {
        self.services.sandbox.tell_compiling(listener);
    }

    /// Serves `spec` for the first time. Blocks while plugins are fetched and compiled.
    pub fn start(&self, spec: &Spec) -> LoadReport {
        self.reconciler.run(spec, Occasion::Start, Fetching::Now)
    }

    /// The same, without waiting for what lies elsewhere: that is fetched from now on, and serves when it has arrived.
    pub fn begin(&self, spec: &Spec) -> LoadReport {
        self.reconciler.run(spec, Occasion::Start, Fetching::Later)
    }

    /// Brings what serves in line with `spec`. What the trust policy does not trust goes first. What fails leaves its old version
    /// serving, and so does what is fetched. Blocks while plugins are compiled.
    pub fn reload(&self, spec: &Spec) -> LoadReport {
        self.hold(spec);
        self.reconciler.run(spec, Occasion::Reload, Fetching::Later)
    }

    /// Lets only that serve on which a newer trust policy trusts. Waits for no load, and needs no configuration.
    ///
    /// # Errors
    /// A sentence that says why the policy is not taken.
    pub fn retrust(&self, trust: &Arc<TrustSpec>) -> Result<(), String> {
        self.reconciler.retrust(trust).map_err(|error| load::told(&error))
    }

    /// Asks the trust policy again, since dates in it may have passed, and sources again that were not to be had.
    pub fn look_after(&self) {
        self.reconciler.retrust_now();
        self.reconciler.fetch_failed();
    }

    /// What became of each plugin so far, now and whenever that changes.
    pub fn status(&self) -> watch::Receiver<Arc<LoadReport>> {
        self.reconciler.status()
    }

    /// The newcomers that could not have their names beside the plugins that are approved in `spec`, each with why.
    ///
    /// # Errors
    /// [`RivalsError`] where nothing may be fetched.
    pub fn clashes(
        &self,
        spec: &Spec,
        newcomers: &[Arc<Plugin>],
        rivals: &mut Rivals,
        may_fetch: bool,
    ) -> Result<Vec<(PluginName, String)>, RivalsError> {
        self.reconciler.clashes(spec, newcomers, rivals, may_fetch)
    }

    /// Takes what a policy revokes out of what serves, at once, and ends its calls; waits for no load. Which they were.
    pub fn revoke(&self, policy: &TrustPolicy) -> Vec<PluginName> {
        self.reconciler.revoke(policy)
    }

    /// Takes what the state directory remembers as revoked out of what serves, and ends its calls; waits for no load. The version of
    /// the trust policy that is remembered, if it is newer than that of the one that was taken. Cheap while nothing changed.
    pub fn revoke_remembered(&self) -> Option<u64> {
        self.reconciler.revoke_remembered()
    }

    /// A sentence that says why a trust policy may not be taken, if so. Nothing is remembered.
    pub fn refuses(&self, trust: &TrustSpec) -> Option<String> {
        self.reconciler.refuses(trust)
    }

    /// What was kept under a digest, such as what a model read of an approved version.
    pub fn kept(&self, digest: Digest) -> Option<Artifact> {
        self.services.kept.get(digest).map(|(artifact, _)| artifact)
    }

    /// Says what is needed before anything is looked at: nothing that `spec` approves or pins makes room, among what is kept, for
    /// what is looked at from now on.
    pub fn hold(&self, spec: &Spec) {
        self.reconciler.hold(spec);
    }

    /// The same of what is about to be approved.
    pub fn hold_also<'a>(&self, pins: impl IntoIterator<Item = &'a Pin>) {
        let digests = |pin: &'a Pin| pin.surfaces.iter().chain([&pin.digest]).copied();
        self.services.kept.hold_also(pins.into_iter().flat_map(digests));
    }

    /// Who signed a plugin, by a policy that may be another than the one under which it was looked at: as its provenance says it.
    ///
    /// # Errors
    /// A sentence that says why the policy does not trust it, or is not taken.
    pub fn signed_by(&self, plugin: &Plugin, trust: &TrustSpec) -> Result<Vec<String>, String> {
        let now = self.services.seen.judge(trust, load::now()).map_err(|error| load::told(&error))?;
        let trusted = trust.policy.again(plugin.clearance().trusted(), Standing::New, now);
        trusted.map(|trusted| trusted.signed_by()).map_err(|error| error.to_string())
    }

    /// What a plugin asks, of whom it is said that it may be looked into. Nothing is granted by it. Blocks.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn asked(&self, spec: &PluginSpec, trust: &TrustSpec) -> Result<RequestedCapabilities, LoadError> {
        load::asked(&Sources::of(&self.services), spec, trust)
    }

    /// What [`Gate::start`] would report, without serving anything. Blocks while plugins are compiled.
    pub fn check(&self, spec: &Spec) -> LoadReport {
        self.look(spec).1
    }

    /// The same, with what would serve, for those who want to look at it.
    pub fn look(&self, spec: &Spec) -> (Snapshot, LoadReport) {
        self.reconciler.check(spec)
    }

    /// Where a request that is allowed would connect to. Asks the resolver as a call does; nothing is sent.
    ///
    /// # Errors
    /// A sentence that says why it would connect nowhere.
    pub async fn resolve(&self, pass: &Pass) -> Result<Vec<SocketAddr>, String> {
        self.services.sandbox.resolve(pass).await
    }

    /// The addresses of this machine's interfaces, which count as private; nothing if the system does not tell.
    pub fn own_addresses(&self) -> Option<Arc<[IpAddr]>> {
        self.services.sandbox.own_addresses()
    }

    /// Where large messages are worked on.
    pub fn large(&self) -> &Large {
        &self.services.large
    }

    /// Runs a call to its end.
    pub async fn call(&self, request: Request) -> Closed<Outcome> {
        call::run(&self.services, request).await
    }

    /// The tools that a principal may call, sorted by name.
    pub fn list(&self, principal: &Principal) -> Vec<Arc<Tool>> {
        list::run(&self.now(), principal)
    }

    /// The same of what serves, or served.
    pub fn list_in(&self, snapshot: &Snapshot, principal: &Principal) -> Vec<Arc<Tool>> {
        list::run(snapshot, principal)
    }

    /// The tool of this name, if a principal may call it.
    pub fn tool(&self, principal: &Principal, name: &str) -> Option<Arc<Tool>> {
        list::one(&self.now(), principal, name)
    }

    /// What serves now.
    pub fn now(&self) -> Arc<Snapshot> {
        self.services.snapshots.now()
    }

    /// Tells of every change in the list of tools.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.services.snapshots.watch()
    }

    /// Records what happened outside a call.
    pub fn record(&self, event: &Event<'_>) {
        self.services.audit.event(event);
    }

    /// Whether a call would be taken: the record can be kept.
    pub fn is_ready(&self) -> bool {
        self.services.audit.is_ready()
    }

    /// Takes no more calls, waits for those in flight for `time` at the most, then ends them.
    pub async fn drain(&self, time: Duration) {
        self.reconciler.stop();
        self.services.flights.drain(Instant::now() + time).await;
    }
}
