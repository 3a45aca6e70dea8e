//! Public handle of the crate: builds the services, and gives access to them and to what is reconciled. It implements
//! no step of loading or calling.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use toolgate_base::artifact::Artifact;
use toolgate_base::outcome::Outcome;
use toolgate_base::outcome::with_causes;
use toolgate_base::spec::{Compiling, PluginSpec};
use toolgate_net::egress::Egress;
use toolgate_net::remote::{Fetcher, TransferProgress};
use toolgate_policy::Digest;
use toolgate_policy::capability::http::Pass;
use toolgate_policy::load::trust::Standing;
use toolgate_policy::load::{Pin, RequestedCapabilities};
use toolgate_sandbox::Sandbox;
use toolgate_sandbox::compile::Compiler;
pub use toolgate_sandbox::compile::progress::CompileProgress;
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
use crate::load::source::Sources;
use crate::load::{self, LoadError};
use crate::reconcile::{Fetching, LoadReport, Occasion, Reconciler};
use crate::services::{InFlight, Services};
use crate::snapshot::plugin::Plugin;
use crate::snapshot::{Snapshot, Snapshots};
use crate::spec::Spec;

/// Loads plugins and runs their tools. Clones share one gate.
#[derive(Clone)]
pub struct Gate {
    services: Arc<Services>,
    /// The plugins that should serve.
    pub reconciler: Arc<Reconciler>,
}

/// Limits across all plugins.
#[derive(Debug, Clone, Copy)]
pub struct GateLimits {
    /// Concurrent calls.
    pub calls_max: u32,
    /// Guest memory in bytes.
    pub memory_bytes_max: u64,
    /// Bytes of large messages.
    pub messages_bytes_max: u64,
    /// Share of common resources that one peer may use, in percent.
    pub peer_percent: u64,
}

/// Opening the gate failed.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The audit log cannot be opened.
    #[error("open the record of calls in {0}")]
    Audit(std::path::PathBuf, #[source] std::io::Error),
    /// The engine or its cache cannot be set up.
    #[error("set up the engine")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Persisted state cannot be read.
    #[error("read the state directory {0}")]
    State(std::path::PathBuf, #[source] std::io::Error),
    /// Threads cannot be started.
    #[error("start the threads of guests and of large messages")]
    Threads(#[source] std::io::Error),
}

impl Gate {
    /// Opens the gate; nothing serves yet. `name_servers` resolve the hosts of grants and sources; if empty, the
    /// system's do. `progress` receives the progress of downloads.
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
            blobs: Arc::new(BlobStore::open(state).map_err(unreadable)?),
            rollback: RollbackGuard::open(state).map_err(unreadable)?,
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

    /// Reports slow compilations to `listener` from now on, as well as to the log.
    pub fn tell_compiling(&self, listener: CompileProgress) {
        self.services.sandbox.compiler.watch.tell(listener);
    }

    /// Serves `spec` for the first time. Blocks while plugins are fetched and compiled.
    pub fn start(&self, spec: &Spec) -> LoadReport {
        self.reconciler.run(spec, Occasion::Start, Fetching::Now)
    }

    /// Like [`Gate::start`], but remote sources are fetched in the background and serve on arrival.
    pub fn begin(&self, spec: &Spec) -> LoadReport {
        self.reconciler.run(spec, Occasion::Start, Fetching::Later)
    }

    /// Brings what serves in line with `spec`. Untrusted plugins go first. A plugin that fails to load or is still
    /// being fetched keeps serving its old version. Blocks while plugins are compiled.
    pub fn reload(&self, spec: &Spec) -> LoadReport {
        self.reconciler.hold(spec);
        self.reconciler.run(spec, Occasion::Reload, Fetching::Later)
    }

    /// Re-evaluates the trust policy, since dates in it may have passed, and retries sources that were unavailable.
    pub fn look_after(&self) {
        self.reconciler.retrust_now();
        self.reconciler.fetch_failed();
    }

    /// Artifact stored under a digest, such as the tool surface of an approved version.
    pub fn blob(&self, digest: Digest) -> Option<Artifact> {
        self.services.blobs.get(digest).map(|(artifact, _)| artifact)
    }

    /// Like [`Reconciler::hold`], for pins about to be approved.
    pub fn hold_also<'a>(&self, pins: impl IntoIterator<Item = &'a Pin>) {
        let digests = |pin: &'a Pin| pin.surfaces.iter().chain([&pin.digest]).copied();
        self.services.blobs.hold_also(pins.into_iter().flat_map(digests));
    }

    /// Signers of a plugin under `trust`, which may differ from its load-time policy; formatted as in its provenance.
    /// An error says why the policy does not trust it, or is not accepted.
    pub fn signed_by(&self, plugin: &Plugin, trust: &TrustSpec) -> Result<Vec<String>, String> {
        let now = self.services.rollback.judge(trust, load::now()).map_err(|error| with_causes(&error))?;
        let trusted = trust.policy.again(plugin.clearance().trusted(), Standing::New, now);
        trusted.map(|trusted| trusted.signed_by()).map_err(|error| error.to_string())
    }

    /// Capabilities that a plugin requests, read after its signature is verified. Grants nothing. Blocks.
    pub fn asked(&self, spec: &PluginSpec, trust: &TrustSpec) -> Result<RequestedCapabilities, LoadError> {
        load::asked(&Sources::of(&self.services), spec, trust)
    }

    /// Addresses to which an allowed request would connect. Resolves as a call does; sends nothing to them. An
    /// error says why it would not connect.
    pub async fn resolve(&self, pass: &Pass) -> Result<Vec<SocketAddr>, String> {
        self.services.sandbox.egress.resolve(pass).await.map_err(|error| error.to_string())
    }

    /// Addresses of this machine's interfaces, which count as private; `None` if the system does not report them.
    pub fn own_addresses(&self) -> Option<Arc<[IpAddr]>> {
        self.services.sandbox.egress.own_addresses()
    }

    /// Executor of work on large messages.
    pub fn large(&self) -> &Large {
        &self.services.large
    }

    /// Runs a call to completion.
    pub async fn call(&self, request: Request) -> Closed<Outcome> {
        call::run(&self.services, request).await
    }

    /// Snapshot that serves now.
    pub fn now(&self) -> Arc<Snapshot> {
        self.services.snapshots.now()
    }

    /// Receives a snapshot on every change of the tool list.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.services.snapshots.watch()
    }

    /// Records an event outside a call.
    pub fn record(&self, event: &Event<'_>) {
        self.services.audit.event(event);
    }

    /// Whether the audit log accepts records, without which no call is taken.
    pub fn is_ready(&self) -> bool {
        self.services.audit.is_ready()
    }

    /// Accepts no more calls, waits up to `time` for those in flight, then ends them.
    pub async fn drain(&self, time: Duration) {
        self.reconciler.stop();
        self.services.flights.drain(Instant::now() + time).await;
    }
}
