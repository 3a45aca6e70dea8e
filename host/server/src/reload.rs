//! Reading the configuration again while serving: on SIGHUP, and when a file that it was read from is another. What cannot be read
//! leaves everything as it was and says so. What the trust policy revokes is taken out first, and waits for nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use toolgate_policy::limits::load::WATCH_MS;
use toolgate_runtime::audit::Event;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::load::source;
use toolgate_runtime::reconcile::{Loaded, Report};

use crate::config::{Config, load_revoked};

/// Which changes a server takes while it serves. What is revoked is always taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// All of them, as they come.
    Changes,
    /// All of them, when it is told to.
    Signals,
    /// None.
    Nothing,
}

/// Keeps what serves in line with the configuration.
#[derive(Clone)]
pub(crate) struct Reload {
    gate: Gate,
    config: PathBuf,
    takes: Takes,
    watched: Arc<Mutex<Watched>>,
}

/// What is looked at.
struct Watched {
    policy: PathBuf,
    files: Vec<PathBuf>,
    /// As they were when they were read.
    read: Stamps,
}

/// What tells one state of a file from another; nothing where there is no file.
type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// Device, number, length, and when bytes and entry changed, in nanoseconds.
type Stamp = (u64, u64, u64, [i64; 4]);

impl Reload {
    /// For a server that was started with `config`, read from `path`.
    pub(crate) fn new(gate: Gate, path: PathBuf, config: &Config, takes: Takes) -> Self {
        let (policy, files) = (config.policy.clone(), watched(config));
        let read = stamps(&files, &policy);
        Self { gate, config: path, takes, watched: Arc::new(Mutex::new(Watched { policy, files, read })) }
    }

    /// Reloads on every SIGHUP, and on changes.
    ///
    /// # Errors
    /// When the signal cannot be listened to.
    pub(crate) fn start(self) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let this = self.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                let this = this.clone();
                // Compiling takes its time; the protocol goes on meanwhile.
                done(spawn_blocking(move || this.told_to()).await);
            }
        });
        tokio::spawn(self.watch());
        Ok(())
    }

    async fn watch(self) {
        let mut turn = tokio::time::interval(Duration::from_millis(WATCH_MS));
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut before = self.looked(|watched| watched.read.clone());
        let mut reload = None;
        loop {
            turn.tick().await;
            let (policy, files) = self.looked(|watched| (watched.policy.clone(), watched.files.clone()));
            let Ok(now) = spawn_blocking({
                let policy = policy.clone();
                move || stamps(&files, &policy)
            })
            .await
            else {
                continue;
            };
            if now.get(&policy) != before.get(&policy) {
                let gate = self.gate.clone();
                done(spawn_blocking(move || revoke(&gate, &policy)).await);
            }
            // A file that is being written is not read until it is left alone for a turn.
            let settled = now == before;
            before = now;
            let runs =
                reload.as_ref().is_some_and(|reload: &tokio::task::JoinHandle<()>| !reload.is_finished());
            let changed = self.looked(|watched| watched.read != before);
            if self.takes == Takes::Changes && settled && changed && !runs {
                let (this, seen) = (self.clone(), before.clone());
                reload = Some(spawn_blocking(move || this.reload(seen)));
            }
        }
    }

    fn told_to(&self) {
        let (policy, files) = self.looked(|watched| (watched.policy.clone(), watched.files.clone()));
        revoke(&self.gate, &policy);
        if self.takes == Takes::Nothing {
            tracing::warn!(
                "serving --frozen: only what the trust policy revokes is taken; start anew for the rest"
            );
            return;
        }
        self.reload(stamps(&files, &policy));
    }

    /// `seen`: what the files were before they are read now.
    fn reload(&self, seen: Stamps) {
        tracing::info!(config = %self.config.display(), "reloading");
        let read = match Config::load(&self.config) {
            Ok(config) => {
                let (policy, files) = (config.policy.clone(), watched(&config));
                // Files that were not looked at before are as they are now.
                let mut read = stamps(&files, &policy);
                read.iter_mut().for_each(|(path, stamp)| *stamp = seen.get(path).copied().unwrap_or(*stamp));
                let report = self.gate.reload(&config.spec);
                tell(&report);
                let problems = report.problem.into_iter().collect::<Vec<_>>();
                if problems.is_empty() {
                    tracing::info!("reloaded");
                }
                self.gate.record(&Event::Reloaded { plugins: self.gate.now().plugins().len(), problems });
                Watched { policy, files, read }
            }
            Err(problems) => {
                let list = problems.list();
                for problem in &list {
                    tracing::error!("{problem}");
                }
                tracing::error!("the configuration cannot be used; everything is as it was");
                let problems = list.iter().map(ToString::to_string).collect();
                self.gate.record(&Event::Reloaded { plugins: self.gate.now().plugins().len(), problems });
                let (policy, files) = self.looked(|watched| (watched.policy.clone(), watched.files.clone()));
                Watched { policy, files, read: seen }
            }
        };
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = read;
    }

    fn looked<T>(&self, at: impl FnOnce(&Watched) -> T) -> T {
        at(&self.watched.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn done(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the reload failed; everything is as it was");
    }
}

fn revoke(gate: &Gate, policy: &Path) {
    match load_revoked(policy) {
        Ok(policy) => drop(gate.revoke(&policy)),
        Err(problems) => {
            for problem in problems.list() {
                tracing::error!("ALARM: what is revoked cannot be read: {problem}");
            }
        }
    }
}

/// Everything that the configuration was read from, and its plugins.
fn watched(config: &Config) -> Vec<PathBuf> {
    let plugins = config.spec.plugins.iter().flat_map(|plugin| plugin.source.watched());
    config.files.iter().chain(&config.spec.folders).cloned().chain(plugins).collect()
}

/// As the files are now, with the signatures beside them.
fn stamps(files: &[PathBuf], policy: &Path) -> Stamps {
    let beside = files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "wasm"));
    let signatures = beside.flat_map(|path| source::signature_names(path).unwrap_or_default());
    let all = files.iter().cloned().chain(signatures).chain([policy.to_owned()]);
    all.map(|path| (path.clone(), stamp(&path))).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let at = std::fs::metadata(path).ok()?;
    Some((at.dev(), at.ino(), at.len(), [at.mtime(), at.mtime_nsec(), at.ctime(), at.ctime_nsec()]))
}

/// Says what became of each plugin.
pub(crate) fn tell(report: &Report) {
    if let Some(problem) = &report.problem {
        tracing::error!("{problem}; everything is as it was");
        return;
    }
    for (name, loaded) in &report.plugins {
        match loaded {
            Loaded::Ready { digest, tools, kept, .. } => {
                tracing::info!(plugin = %name, digest = %digest.short(12), tools, kept, "serving");
            }
            Loaded::Not { why, instead } => {
                for reason in &why.reasons {
                    tracing::error!(plugin = %name, "{}: {reason}", why.kind.word());
                }
                if let Some(digest) = instead {
                    tracing::warn!(plugin = %name, digest = %digest.short(12), "the version before goes on serving");
                }
            }
        }
    }
    if !report.serves {
        tracing::error!(
            "nothing serves, because a plugin was refused; set [server] on_refused = \"skip\" to serve the others"
        );
    }
}
