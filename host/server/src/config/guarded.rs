//! Granted folders must not contain policy files or secrets: a plugin that could write the trust policy could trust
//! itself. Links are resolved first.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use toolgate_policy::capability::files::{Access, refused_root};

use super::plugin::Plugin;
use super::reader::Document;
use super::secret::Secrets;
use super::trust::{Lock, TrustFiles};

/// Files that a configuration names.
pub(super) struct Files<'a> {
    /// The secrets.
    pub(super) secrets: &'a Secrets,
    /// Certificates and private key of the server.
    pub(super) tls: Option<&'a (PathBuf, PathBuf)>,
    /// The trust policy and its keys.
    pub(super) trust: Option<&'a TrustFiles>,
}

/// Notes every granted folder that contains one of these files.
pub(super) fn check(
    document: &Document<'_>,
    state: &Path,
    plugins: &[Plugin<'_>],
    files: &Files<'_>,
    lock: Option<&Option<Lock>>,
) {
    let state = resolved(state);
    let mut never: Vec<PathBuf> = files.secrets.files.iter().map(|path| resolved(path)).collect();
    let mut unwritable = vec![resolved(&document.path)];
    if let Some((cert, key)) = files.tls {
        never.push(resolved(key));
        unwritable.push(resolved(cert));
    }
    unwritable.extend(lock.iter().copied().flatten().map(|lock| resolved(&lock.path)));
    unwritable.extend(plugins.iter().flat_map(|plugin| plugin.paths()).map(|path| resolved(&path)));
    never.extend(super::docker().iter().map(|path| resolved(path)));
    if let Some(trust) = files.trust {
        unwritable.push(resolved(&trust.policy));
        for key in &trust.keys {
            // `key generate` and `ssh-keygen` put the private key beside the public one, minisign with this ending.
            never.extend(["", "key"].map(|ending| resolved(&key.with_extension(ending))));
            unwritable.push(resolved(key));
        }
    }
    never.retain(|path| path.is_file());
    for plugin in plugins {
        let grants = plugin.template().into_iter().flat_map(|spec| &spec.grants.files);
        for (index, mount) in grants.flat_map(|grant| grant.mounts()).enumerate() {
            let note = |why: String| {
                let at = format!("files[{index}].host");
                plugin.section.invalid("grant", &toolgate_policy::InvalidValueError::at(at, why));
            };
            let folder = resolved(Path::new(&mount.host));
            if !folder.is_dir() {
                note(format!("{} is not a folder; make it, or write another", mount.host));
                continue;
            }
            if let Some(why) = refused_root(&folder.to_string_lossy()) {
                note(why);
            }
            if folder.starts_with(&state) || state.starts_with(&folder) {
                note(format!("{} and the state directory overlap; no plugin may see that", mount.host));
            }
            if let Some(secret) = never.iter().find(|path| path.starts_with(&folder)) {
                note(format!("{} holds {}, which is secret; move one of them", mount.host, secret.display()));
            }
            if mount.access == Access::ReadWrite
                && let Some(file) = unwritable.iter().find(|path| path.starts_with(&folder))
            {
                let (host, file) = (&mount.host, file.display());
                note(format!("{host} holds {file}, which no plugin may write; move one of them"));
            }
        }
    }
}

/// Warnings about writable granted folders on the state directory's file system. A plugin could fill it, and without
/// records no call is answered.
pub(crate) fn shared_disks(config: &super::Config) -> Vec<String> {
    let device = |path: &Path| path.metadata().ok().map(|metadata| metadata.dev());
    let Some(state) = resolved(&config.state).ancestors().find_map(device) else { return Vec::new() };
    let mut warnings = Vec::new();
    for plugin in &config.spec.plugins {
        for mount in plugin.grants.files.iter().flat_map(|grant| grant.mounts()) {
            if mount.access == Access::ReadWrite && device(Path::new(&mount.host)) == Some(state) {
                warnings.push(format!(
                    "plugin {} may write to {}, which is on the file system of the state directory: a full disk stops \
                     every plugin's calls; put one of them on another file system",
                    plugin.name, mount.host
                ));
            }
        }
    }
    warnings
}

/// The real path; for a missing file, the real path of its nearest existing folder plus the rest.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => resolved(parent).join(name),
        _ => path.to_owned(),
    }
}
