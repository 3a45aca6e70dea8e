//! `toolgate.toml` and what it names, read and checked whole before anything is bound, fetched or compiled. Everything wrong
//! is told at once, each with file, line, key and what to write instead. What comes out cannot be wrong.

mod grant;
mod guarded;
mod limits;
mod manifest;
mod modes;
mod plugin;
mod problem;
mod reader;
mod secret;
mod server;
mod source;
mod trust;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toolgate_policy::limits::load::PLUGINS_MAX;
use toolgate_runtime::spec::{Approvals, Spec};

pub(crate) use manifest::read as read_manifest;
pub(crate) use problem::Problems;
pub(crate) use server::{ServerConfig, check_listen};
pub(crate) use source::{docker, oci};
pub(crate) use trust::{Lock, load as load_trust, load_revoked, read_lock};

use reader::{Document, Section};

/// Everything the configuration says.
pub(crate) struct Config {
    /// The server's own part.
    pub(crate) server: ServerConfig,
    /// Where the state directory is.
    pub(crate) state: PathBuf,
    /// What should serve.
    pub(crate) spec: Spec,
    /// What was approved, if that is asked.
    pub(crate) lock: Option<Lock>,
    /// The trust policy.
    pub(crate) policy: PathBuf,
    /// The other files that all of this was read from.
    pub(crate) files: Vec<PathBuf>,
    /// Where in the file each key stands, such as `plugin[0].grant.http[1]`: its line, from 1.
    pub(crate) lines: BTreeMap<String, usize>,
}

/// The grant of one plugin, from a file of its own that holds `[plugin.grant]`.
pub(crate) struct Instead<'a> {
    /// Which plugin's.
    pub(crate) plugin: &'a str,
    /// The file.
    pub(crate) file: &'a Path,
}

impl Config {
    /// Reads a configuration and every file it names.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(crate) fn load(path: &Path) -> Result<Self, Problems> {
        Self::load_with(path, None)
    }

    /// The same, with another grant for one plugin: held to all that a grant is held to.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(crate) fn load_with(path: &Path, instead: Option<&Instead<'_>>) -> Result<Self, Problems> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let problems = Problems::default();
        let document = Document::read(&absolute(path), &problems).ok_or_else(|| problems.take())?;
        let other = match instead {
            Some(instead) => {
                let read =
                    Document::read(&absolute(instead.file), &problems).ok_or_else(|| problems.take())?;
                Some((instead.plugin, read))
            }
            None => None,
        };
        let config = read(&document, other.as_ref().map(|(name, read)| (*name, read)), &problems);
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems.take()),
        }
    }

    /// Logs what is allowed and likely to be regretted.
    pub(crate) fn warn(&self) {
        for line in guarded::shared_disks(self) {
            tracing::warn!("{line}");
        }
    }
}

fn read(
    document: &Document<'_>,
    instead: Option<(&str, &Document<'_>)>,
    problems: &Problems,
) -> Option<Config> {
    let root = document.root();
    let server = server::read(root.section("server"));
    let state = root.section("state");
    let dir = state.as_ref().and_then(|state| state.string("dir")).unwrap_or_else(|| "state".to_owned());
    let state_dir = document.relative(&dir);
    if let Some(state) = state {
        state.finish();
    }
    let secrets = secret::read(document, &root);
    let defaults = root.section("defaults").map(|defaults| {
        let read = limits::read(defaults.section("limits"), &Default::default());
        defaults.finish();
        read
    });
    let plugins = plugin::read(document, &root, &secrets, &defaults.unwrap_or_default(), instead);
    let (trust, lock) = trust::read(document, root.section("trust"), &root).unzip();
    root.finish();
    guarded::check(
        document,
        &guarded::Guarded {
            state: &state_dir,
            plugins: &plugins,
            secrets: &secrets,
            trust: &trust,
            lock: &lock,
        },
    );
    let folders = plugins.iter().filter_map(|plugin| plugin.folder.clone()).collect();
    let plugins: Vec<_> = plugins.into_iter().flat_map(plugin::Plugin::finish).collect();
    if plugins.len() > PLUGINS_MAX {
        let why =
            format!("there are {} plugins with those in folders; the limit is {PLUGINS_MAX}", plugins.len());
        problems.file(document.path(), why);
    }
    let (trust, lock) = (trust?, lock?);
    if !problems.is_empty() {
        return None;
    }
    let approvals = lock.as_ref().map_or(Approvals::NotAsked, |lock| Approvals::Asked(lock.file.pins()));
    let spec =
        Spec { plugins, trust: Arc::new(trust.trust), approvals, on_refused: server.on_refused, folders };
    let mut files = trust.keys;
    files.push(document.path().to_owned());
    files.extend(lock.as_ref().map(|lock| lock.path.clone()));
    files.extend(secrets.files);
    Some(Config {
        server,
        state: state_dir,
        spec,
        lock,
        policy: trust.policy,
        files,
        lines: document.lines(),
    })
}

/// Reads a private key that nobody else may have read.
///
/// # Errors
/// A sentence that says what is wrong and what to do.
pub(crate) fn read_key(path: &Path) -> Result<zeroize::Zeroizing<String>, String> {
    modes::read(path, toolgate_policy::limits::load::CONFIG_BYTES_MAX, modes::Kind::Secret)
}

/// A section that is not there reads like an empty one.
fn or_empty<'d, T>(section: Option<Section<'d>>, empty: T, read: impl FnOnce(Section<'d>) -> T) -> T {
    section.map_or(empty, read)
}
