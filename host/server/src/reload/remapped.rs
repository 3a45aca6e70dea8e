//! Approvals from a release that wrote schemas in another way. What was approved then is approved still: the lock is made to say it in
//! this release's words, with who approved it and when as they were.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toolgate_policy::Digest;
use toolgate_policy::redact::printable;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::snapshot::plugin::Plugin;
use toolgate_state::audit::Event;
use toolgate_state::file_lock::FileLocks;
use toolgate_state::lockfile::Entry;

use super::Takes;
use crate::config::read_lock;

/// Writes approvals anew, and remembers what it has said.
#[derive(Default)]
pub(super) struct Remapped {
    /// The plugins of which was said why their approvals stay as they are.
    said: Vec<(PathBuf, String)>,
}

impl Remapped {
    /// Looks at what serves by approvals of the former release, and writes those approvals anew in the lock, if it may.
    pub(super) fn write(&mut self, gate: &Gate, lock: &Path, takes: Takes) {
        let now = gate.now();
        let plugins: Vec<&Arc<Plugin>> =
            now.plugins().iter().filter(|plugin| plugin.remapped().is_some()).collect();
        if plugins.is_empty() {
            return;
        }
        if takes == Takes::Nothing {
            self.say(
                lock,
                &plugins,
                "stays as it is, because this server is --frozen; a server without that writes it anew",
            );
            return;
        }
        if let Err(error) = rewrite(gate, lock, &plugins) {
            let error = printable(&error, 1_000);
            self.say(
                lock,
                &plugins,
                &format!("could not be written anew: {error}; it counts as it is until the next release"),
            );
        }
    }

    /// Says of each plugin what becomes of its approval, once.
    fn say(&mut self, lock: &Path, plugins: &[&Arc<Plugin>], what: &str) {
        for plugin in plugins {
            let one = (lock.to_owned(), plugin.name().to_string());
            if !self.said.contains(&one) {
                tracing::warn!(
                    plugin = %plugin.name(),
                    "its approval is of what a model read under the former release, which is the same but for how schemas are written; the lock {what}"
                );
                self.said.push(one);
            }
        }
    }
}

/// Replaces the entries that are still those by which the plugins serve.
fn rewrite(gate: &Gate, path: &Path, plugins: &[&Arc<Plugin>]) -> Result<(), String> {
    let copy = beside(path);
    let locks = FileLocks::take([path, copy.as_path()]).map_err(|error| whole(&error))?;
    let mut lock = read_lock(path)?;
    let before = lock.file.text().map_err(|error| whole(&error))?;
    let mut done = Vec::new();
    for plugin in plugins {
        let (Some(was), Some(pin)) = (plugin.clearance().pin(), plugin.remapped()) else { continue };
        let Some(entry) = lock.file.get(plugin.name()).filter(|entry| entry.pin == *was) else { continue };
        done.push((*plugin, was.surfaces.clone(), pin.surfaces.clone()));
        // Who approved it looked at the first of them.
        let approved = if entry.remapped_from.is_empty() { &was.surfaces } else { &entry.remapped_from };
        let entry = Entry { pin, remapped_from: approved.clone(), ..entry.clone() };
        lock.file.insert(plugin.name().clone(), entry);
    }
    if done.is_empty() {
        return Ok(());
    }
    // The former release does not read what is written now. Its own lock is kept for whoever goes back, and stays from then on.
    if copy.symlink_metadata().is_err() {
        let mode = std::fs::metadata(path).map_err(|error| whole(&error))?.permissions().mode() & 0o777;
        locks.replace(&copy, before.as_bytes(), mode).map_err(|error| whole(&error))?;
    }
    lock.file.save(&locks, path).map_err(|error| whole(&error))?;
    for (plugin, from, to) in done {
        let shown = |digests: Vec<Digest>| digests.iter().map(Digest::to_string).collect();
        let by = plugin.clearance().pin().map(|pin| pin.approval.by.as_str()).unwrap_or_default();
        tracing::info!(plugin = %plugin.name(), "its approval was written anew: schemas are written in another way since it was given");
        gate.record(&Event::SurfaceRemapped {
            plugin: plugin.name().as_str(),
            from: shown(from),
            to: shown(to),
            approved_by: by,
        });
    }
    Ok(())
}

/// Where the lock of the former release is kept.
fn beside(lock: &Path) -> PathBuf {
    let mut name = lock.as_os_str().to_owned();
    name.push(".before-upgrade");
    PathBuf::from(name)
}

/// An error with all that caused it.
fn whole(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
