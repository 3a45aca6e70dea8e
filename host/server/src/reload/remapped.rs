//! Approvals from a release with another form of schemas. They stay valid: their entries in the lock are rewritten in
//! this release's form, with approver and time unchanged.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toolgate_base::outcome::with_causes;
use toolgate_policy::Digest;
use toolgate_policy::redact::printable;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::snapshot::plugin::Plugin;
use toolgate_state::audit::Event;
use toolgate_state::file_lock::FileLocks;
use toolgate_state::lockfile::Entry;

use super::Takes;
use crate::config::read_lock;

/// Rewrites approvals, and remembers its warnings.
#[derive(Default)]
pub(super) struct Remapped {
    /// Plugins for which a warning was logged that their approvals stay unchanged.
    logged: Vec<(PathBuf, String)>,
}

impl Remapped {
    /// Finds plugins served by approvals of the former release, and rewrites those in the lock if allowed.
    pub(super) fn write(&mut self, gate: &Gate, lock: &Path, takes: Takes) {
        let now = gate.now();
        let plugins: Vec<&Arc<Plugin>> =
            now.plugins().iter().filter(|plugin| plugin.remapped().is_some()).collect();
        if plugins.is_empty() {
            return;
        }
        if takes == Takes::Nothing {
            let what =
                "stays as it is, because this server is --frozen; a server without that writes it anew";
            self.say(lock, &plugins, what);
        } else if let Err(error) = rewrite(gate, lock, &plugins) {
            let error = printable(&error, 1_000);
            let what =
                format!("could not be written anew: {error}; it counts as it is until the next release");
            self.say(lock, &plugins, &what);
        }
    }

    /// Warns once for each plugin about its approval.
    fn say(&mut self, lock: &Path, plugins: &[&Arc<Plugin>], what: &str) {
        for plugin in plugins {
            let one = (lock.to_owned(), plugin.name().to_string());
            if !self.logged.contains(&one) {
                tracing::warn!(
                    plugin = %plugin.name(),
                    "its approval is of what a model read under the former release, which is the same but for how schemas are written; the lock {what}"
                );
                self.logged.push(one);
            }
        }
    }
}

/// Replaces the entries by which the plugins still serve.
fn rewrite(gate: &Gate, path: &Path, plugins: &[&Arc<Plugin>]) -> Result<(), String> {
    let copy = beside(path);
    let locks = FileLocks::take([path, copy.as_path()]).map_err(|error| with_causes(&error))?;
    let mut lock = read_lock(path)?;
    let before = lock.file.text().map_err(|error| with_causes(&error))?;
    let mut done = Vec::new();
    for plugin in plugins {
        let (Some(was), Some(pin)) = (plugin.clearance().pin(), plugin.remapped()) else { continue };
        let Some(entry) = lock.file.0.get(plugin.name()).filter(|entry| entry.pin == *was) else { continue };
        done.push((*plugin, was.surfaces.clone(), pin.surfaces.clone()));
        // The approver reviewed the first of these surfaces.
        let approved = if entry.remapped_from.is_empty() { &was.surfaces } else { &entry.remapped_from };
        let entry = Entry { pin, remapped_from: approved.clone(), ..entry.clone() };
        lock.file.0.insert(plugin.name().clone(), entry);
    }
    if done.is_empty() {
        return Ok(());
    }
    // The former release cannot read the new form. A copy of its lock is kept for a downgrade, and never changed.
    if copy.symlink_metadata().is_err() {
        let mode = std::fs::metadata(path).map_err(|error| with_causes(&error))?.permissions().mode() & 0o777;
        locks.replace(&copy, before.as_bytes(), mode).map_err(|error| with_causes(&error))?;
    }
    lock.file.save(&locks, path).map_err(|error| with_causes(&error))?;
    for (plugin, from, to) in done {
        let shown = |digests: Vec<Digest>| digests.iter().map(Digest::to_string).collect();
        let by = plugin.clearance().pin().map(|pin| pin.approval.by.as_str()).unwrap_or_default();
        tracing::info!(plugin = %plugin.name(), "its approval was written anew: schemas are written in another way since it was given");
        let (plugin, from, to) = (plugin.name().as_str(), shown(from), shown(to));
        gate.record(&Event::SurfaceRemapped { plugin, from, to, approved_by: by });
    }
    Ok(())
}

/// Path of the copy of the former release's lock.
fn beside(lock: &Path) -> PathBuf {
    let mut name = lock.as_os_str().to_owned();
    name.push(".before-upgrade");
    PathBuf::from(name)
}
