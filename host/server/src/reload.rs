//! Reloads the configuration while serving: on SIGHUP, and when a watched file changes. The trust policy comes first,
//! at once: what it revokes or does not trust stops serving, even if the configuration is unreadable. Anything
//! unreadable leaves the rest unchanged and is logged.

mod callers;
mod older;
mod remapped;
mod stamps;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use toolgate_policy::limits::load::{TRUST_READS_MAX, WATCH_ENTRIES_MAX, WATCH_MS};
use toolgate_runtime::gate::Gate;
use toolgate_runtime::load::source;
use toolgate_state::audit::Event;

use crate::auth::Auth;
use crate::config::{AccessConfig, AuthConfig, Config, ServerConfig, load_revoked, load_trust};
use crate::transport::certificates::Certificates;
use older::Older;
use remapped::Remapped;
use stamps::{Stamp, Stamps, stamps};

/// Changes that a server accepts while it serves. Revocations are always accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// All, when they occur.
    Changes,
    /// All, on SIGHUP.
    Signals,
    /// None.
    Nothing,
}

/// Applies configuration changes to the running server.
#[derive(Clone)]
pub(crate) struct Reload {
    gate: Gate,
    config: PathBuf,
    takes: Takes,
    /// Authentication, if callers must say who they are, and the configuration of it in force.
    auth: Option<(Arc<Auth>, Arc<Mutex<AuthConfig>>)>,
    /// Rules about calls, as they were written.
    access: Arc<Mutex<AccessConfig>>,
    /// Settings that need a restart, as of the start.
    started: Arc<(ServerConfig, PathBuf)>,
    watched: Arc<Mutex<Watched>>,
    /// Requests for a reload. Reloads run one after the other, each with the current files, so that none restores an
    /// earlier state.
    wanted: Arc<Notify>,
    runs: Arc<AtomicBool>,
    /// Certificates that connections are answered with, if TLS ends here.
    certificates: Option<Arc<Certificates>>,
}

struct Watched {
    policy: PathBuf,
    /// Paths of the signers' keys.
    keys: Vec<PathBuf>,
    /// The lock, if approvals are required.
    lock: Option<PathBuf>,
    files: Vec<PathBuf>,
    /// Files about callers, whose changes are taken whatever the configuration says about watching.
    of_callers: Vec<PathBuf>,
    /// State of the files when they were read.
    read: Stamps,
}

impl Watched {
    fn of(config: &Config, read: Stamps) -> Self {
        let (policy, keys) = (config.policy.clone(), config.keys.clone());
        let lock = config.lock.as_ref().map(|lock| lock.path.clone());
        let keys_file = config.auth.iter().filter_map(|auth| auth.keys.clone());
        let of_callers = keys_file.chain(config.access.files().cloned()).collect();
        Self { policy, keys, lock, files: watched(config), of_callers, read }
    }

    /// Stamps of the trust policy and its keys.
    fn of_trust(&self, all: &Stamps) -> Vec<Option<Stamp>> {
        [&self.policy].into_iter().chain(&self.keys).map(|path| all.file(path)).collect()
    }

    /// Stamps of the files about callers.
    fn of_callers(&self, all: &Stamps) -> Vec<Option<Stamp>> {
        self.of_callers.iter().map(|path| all.file(path)).collect()
    }
}

impl Reload {
    /// A reloader for a server started with `config`, read from `path`.
    pub(crate) fn new(
        gate: Gate,
        path: PathBuf,
        config: &Config,
        takes: Takes,
        auth: Option<Arc<Auth>>,
        certificates: Option<Arc<Certificates>>,
    ) -> Self {
        let read = stamps(&watched(config), &config.policy);
        let watched = Arc::new(Mutex::new(Watched::of(config, read)));
        let started = Arc::new((config.server.clone(), config.state.clone()));
        let auth = auth.zip(config.auth.clone()).map(|(auth, config)| (auth, Arc::new(Mutex::new(config))));
        let (wanted, runs) = (Arc::default(), Arc::default());
        let access = Arc::new(Mutex::new(config.access.clone()));
        Self { gate, config: path, takes, auth, access, started, watched, wanted, runs, certificates }
    }

    /// Reloads on every SIGHUP, and on changes.
    pub(crate) fn start(self) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let this = self.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                let this = this.clone();
                done(spawn_blocking(move || this.reload_now()).await);
            }
        });
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                this.wanted.notified().await;
                this.runs.store(true, Ordering::SeqCst);
                let reload = this.clone();
                // Compiling takes long; the protocol continues meanwhile.
                done(spawn_blocking(move || reload.reload()).await);
                this.runs.store(false, Ordering::SeqCst);
            }
        });
        tokio::spawn(self.clone().remap());
        tokio::spawn(self.watch());
        Ok(())
    }

    /// Rewrites approvals of the former release, now and whenever the served plugins change.
    async fn remap(self) {
        let mut status = self.gate.reconciler.status();
        let mut remapped = Remapped::default();
        loop {
            let (gate, takes) = (self.gate.clone(), self.takes);
            if let Some(lock) = self.looked(|watched| watched.lock.clone()) {
                let work = move || {
                    remapped.write(&gate, &lock, takes);
                    remapped
                };
                let Ok(again) = spawn_blocking(work).await else { return };
                remapped = again;
            }
            if status.changed().await.is_err() {
                return;
            }
        }
    }

    async fn watch(self) {
        let mut turn = tokio::time::interval(Duration::from_millis(WATCH_MS));
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut before = self.looked(|watched| watched.read.clone());
        let mut trusted = self.looked(|watched| watched.of_trust(&before));
        let mut callers = self.looked(|watched| watched.of_callers(&before));
        let (mut crowded, mut older) = (BTreeSet::new(), Older::default());
        loop {
            turn.tick().await;
            let (policy, mut files) = self.looked(|watched| (watched.policy.clone(), watched.files.clone()));
            if self.takes != Takes::Changes {
                files = self.looked(|watched| watched.of_callers.clone());
            }
            let Ok((now, newer)) = spawn_blocking({
                let (policy, gate) = (policy.clone(), self.gate.clone());
                move || (stamps(&files, &policy), gate.reconciler.revoke_remembered())
            })
            .await
            else {
                continue;
            };
            let is_settled = now.file(&policy) == before.file(&policy);
            if !is_settled {
                let (gate, policy) = (self.gate.clone(), policy.clone());
                done(spawn_blocking(move || revoke(&gate, &policy)).await);
            }
            if is_settled && older.is_to_be_looked_at(newer, now.file(&policy)) {
                let gate = self.gate.clone();
                older.looked(spawn_blocking(move || older::warn(&gate, &policy)).await.unwrap_or(true));
            }
            // A changed file is read only after it has been stable for one interval.
            let settled = now == before;
            let trust = self.looked(|watched| (watched.of_trust(&now), watched.of_trust(&before)));
            let of_callers = self.looked(|watched| (watched.of_callers(&now), watched.of_callers(&before)));
            before = now;
            if of_callers.0 == of_callers.1 && of_callers.0 != callers {
                callers = of_callers.0;
                let this = self.clone();
                // Not waited for: rules wait for a load that is running, and trust must not.
                tokio::spawn(async move { done(spawn_blocking(move || this.take_callers()).await) });
            }
            if self.takes != Takes::Changes {
                continue;
            }
            warn_of_crowded(&before, &mut crowded);
            if trust.0 == trust.1 && trust.0 != trusted {
                trusted = trust.0;
                let this = self.clone();
                done(spawn_blocking(move || drop(this.take_trust())).await);
            }
            let changed = self.looked(|watched| watched.read != before);
            if settled && changed && !self.runs.load(Ordering::SeqCst) {
                self.wanted.notify_one();
            }
        }
    }

    fn reload_now(&self) {
        if self.takes == Takes::Nothing {
            revoke(&self.gate, &self.looked(|watched| watched.policy.clone()));
            // A certificate is renewed while a server runs, whatever it serves.
            match Config::load(&self.config) {
                Ok(config) => self.take_certificate(&config),
                Err(problems) => tracing::error!("the certificate stays as it was: {problems}"),
            }
            tracing::warn!(
                "serving --frozen: only a new certificate and what the trust policy revokes are taken; start anew \
                 for the rest"
            );
            return;
        }
        // At once, even while a load is running.
        drop(self.take_trust());
        self.wanted.notify_one();
    }

    /// Applies the trust policy only: its revocations, even if the rest is invalid, and then what it does not trust.
    fn take_trust(&self) -> Result<(), String> {
        let policy = self.looked(|watched| watched.policy.clone());
        revoke(&self.gate, &policy);
        let trust = load_trust(&policy).map_err(|problems| problems.to_string())?;
        self.gate.reconciler.retrust(&Arc::new(trust))
    }

    /// Answers new connections with the certificate of this configuration. One of other files takes a restart.
    fn take_certificate(&self, config: &Config) {
        let (started, _) = &*self.started;
        if let (Some(served), Some(read)) = (&self.certificates, &config.certificate)
            && config.server.tls == started.tls
        {
            served.replace(read);
        }
    }

    /// Reloads everything; again if another process has accepted a newer trust policy meanwhile, up to a bound.
    fn reload(&self) {
        for _ in 0..=TRUST_READS_MAX {
            let Some(tried) = self.reload_once() else { return };
            let policy = self.looked(|watched| watched.policy.clone());
            if !load_trust(&policy).is_ok_and(|trust| trust.policy.version() > tried) {
                return;
            }
        }
    }

    /// Reloads everything. Returns the version of a trust policy that was refused.
    fn reload_once(&self) -> Option<u64> {
        tracing::info!(config = %self.config.display(), "reloading");
        let (policy, files) = self.looked(|watched| (watched.policy.clone(), watched.files.clone()));
        // Taken before reading, so that a change during reading causes another reload.
        let seen = stamps(&files, &policy);
        let (problems, refused) = match Config::load(&self.config) {
            Ok(config) => {
                // Newly watched files have their present state.
                let mut read = stamps(&watched(&config), &config.policy);
                read.take_over(&seen);
                *self.watched() = Watched::of(&config, read);
                let (server, state) = &*self.started;
                if (&config.server, &config.state) != (server, state) {
                    tracing::warn!(
                        "[server] or [state] is not as it was at the start; what they say takes a restart"
                    );
                }
                self.take_auth(config.auth.as_ref());
                let mut config = config;
                self.check_rules(&mut config);
                self.take_certificate(&config);
                let report = self.gate.reload(&config.spec);
                report.log();
                let refused = report.problem.is_some().then(|| config.spec.trust.policy.version());
                let problems = report.problem.into_iter().collect::<Vec<_>>();
                if problems.is_empty() {
                    tracing::info!("reloaded");
                }
                (problems, refused)
            }
            Err(problems) => {
                let list = problems.list();
                for problem in &list {
                    tracing::error!("{problem}");
                }
                let trust = match self.take_trust() {
                    Ok(()) => "but for what the trust policy takes away",
                    Err(_) => "but for what the trust policy revokes",
                };
                tracing::error!("the configuration cannot be used; everything is as it was, {trust}");
                self.watched().read = seen;
                (list.iter().map(ToString::to_string).collect(), None)
            }
        };
        self.gate.record(&Event::Reloaded { plugins: self.gate.now().plugins().len(), problems });
        refused
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looked<T>(&self, at: impl FnOnce(&Watched) -> T) -> T {
        at(&self.watched())
    }
}

fn done(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the reload failed; everything is as it was");
    }
}

fn revoke(gate: &Gate, policy: &Path) {
    match load_revoked(policy) {
        Ok(policy) => drop(gate.reconciler.revoke(&policy)),
        Err(problems) => {
            for problem in problems.list() {
                tracing::error!("ALARM: what is revoked cannot be read: {problem}");
            }
        }
    }
}

/// Every file the configuration was read from, and its plugins.
fn watched(config: &Config) -> Vec<PathBuf> {
    let plugins = config.spec.plugins.iter().flat_map(|plugin| source::watched(&plugin.source));
    let folders = config.spec.folders.iter().map(|folder| folder.path.clone());
    config.files.iter().cloned().chain(folders).chain(plugins).collect()
}

/// Warns once of each folder with more entries than are checked.
fn warn_of_crowded(now: &Stamps, warned: &mut BTreeSet<PathBuf>) {
    let crowded: BTreeSet<PathBuf> = now.crowded().map(Path::to_owned).collect();
    for folder in crowded.difference(warned) {
        tracing::warn!(
            folder = %folder.display(),
            "the folders of plugins have more than {WATCH_ENTRIES_MAX} entries together: a change of a signature with digits in its name \
             is not seen in this one; remove other files, or send SIGHUP after such a change"
        );
    }
    *warned = crowded;
}
