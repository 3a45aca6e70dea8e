//! `toolgate plugin revoke`: bans bytes for ever, regardless of signatures and approvals. Needs only the trust policy
//! and the lock of the configuration. The state directory records the new version at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml_edit::{Item, Table, value};
use toolgate_policy::redact::printable;
use toolgate_policy::{Digest, PluginName};
use toolgate_signature::trust::TrustSpec;
use toolgate_state::file_lock::FileLocks;
use toolgate_state::lockfile::Entry;

use super::memory::Memory;
use super::{name, save};
use crate::cli::edit::TomlEdit;
use crate::cli::exit::Exit;
use crate::cli::{ConfigArg, output};
use crate::config::{Lock, Roots, load_trust_text};

/// Arguments of `plugin revoke`.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The plugin, by its name in the lock; or the bytes, as sha256:…
    what: String,
    /// The reason, for readers of the trust policy and the record
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    if args.reason.trim().is_empty() || printable(&args.reason, 500) != args.reason {
        return Err(Exit::usage("--reason takes 1 to 500 printable characters"));
    }
    let path = &args.config.config;
    let before = files(Roots::load(path)?);
    let paths = [Some(before.0.as_path()), before.1.as_deref()];
    let locks = FileLocks::take(paths.into_iter().flatten()).map_err(|error| Exit::host(&error))?;
    // Read again under the locks, when no other command can change the files.
    let mut roots = Roots::load(path)?;
    let lock_path = roots.lock.as_ref().map(|lock| &lock.path);
    if (&roots.policy, lock_path) != (&before.0, before.1.as_ref()) {
        return Err(Exit::refused(
            "the configuration names another trust policy or lock meanwhile; nothing was written, run the command again",
        ));
    }
    let digests = digests(&args.what, roots.lock.as_ref())?;
    let memory = Memory::open(&roots);
    memory.judge(&roots)?;
    let revoked = revoke(&roots, &digests, &args.reason, &locks)?;
    // Before the lock: even if writing that fails, the revocation is on disk and decides first.
    memory.remember(revoked.as_ref().unwrap_or(&roots.trust));
    let Some(lock) = &mut roots.lock else { return Ok(()) };
    let withdrawn = withdraw(lock, &digests, &args.reason);
    if withdrawn.is_empty() {
        return Ok(());
    }
    save(lock, &locks).map_err(|error| {
        let names: Vec<&str> = withdrawn.iter().map(PluginName::as_str).collect();
        error.with(&format!(
            "\nthe approval of {} still stands in that file; it is revoked all the same, since the trust policy decides first",
            names.join(", ")
        ))
    })?;
    for name in withdrawn {
        output::print(&format!("{name}: its approval is taken back"));
    }
    Ok(())
}

/// The trust policy and the lock.
fn files(roots: Roots) -> (PathBuf, Option<PathBuf>) {
    (roots.policy, roots.lock.map(|lock| lock.path))
}

/// Digests that the argument means.
fn digests(what: &str, lock: Option<&Lock>) -> Result<BTreeSet<Digest>, Exit> {
    if let Ok(digest) = what.parse::<Digest>() {
        return Ok(BTreeSet::from([digest]));
    }
    if what.starts_with("sha256:") {
        let why = "is not a digest; write sha256: and its 64 hexadecimal digits";
        return Err(Exit::usage(format!("`{}` {why}", printable(what, 100))));
    }
    let name = name(what)?;
    let approved = lock.and_then(|lock| lock.file.0.get(&name));
    approved.map(|entry| BTreeSet::from([entry.pin.digest])).ok_or_else(|| {
        Exit::usage(format!(
            "`{name}` is not approved, so that its bytes are not known here; name them as sha256:… (`toolgate plugin list` shows them)"
        ))
    })
}

/// Adds missing revocations to the trust policy, under the next version. Returns the new policy; `None` if nothing had
/// to be added.
fn revoke(
    roots: &Roots,
    digests: &BTreeSet<Digest>,
    reason: &str,
    locks: &FileLocks,
) -> Result<Option<TrustSpec>, Exit> {
    let mut edit = TomlEdit::open(&roots.policy)?;
    if Digest::of(edit.before.as_bytes()) != roots.trust.sha256 {
        // Only the text that was checked may be changed.
        return Err(edit.changed_meanwhile());
    }
    let policy = &roots.trust.policy;
    let (known, new): (Vec<&Digest>, Vec<&Digest>) =
        digests.iter().partition(|digest| policy.revoked(digest).is_some());
    for digest in &new {
        let mut table = Table::new();
        table.insert("digest", value(digest.to_string()));
        table.insert("reason", value(reason));
        edit.push("revoke", table)?;
    }
    let written = if new.is_empty() {
        None
    } else {
        let version = policy.version().checked_add(1).and_then(|version| i64::try_from(version).ok());
        let version = version.ok_or_else(|| {
            Exit::usage(format!(
                "{}: its version is the highest that there is and cannot be raised; begin anew with a lower one \
                 (docs/approve.md, \"What never goes back\")",
                roots.policy.display()
            ))
        })?;
        *edit.document.entry("version").or_insert(Item::None) = value(version);
        let trust = load_trust_text(&roots.policy, &edit.text())?;
        edit.save(locks)?;
        Some(trust)
    };
    for digest in known {
        output::print(&format!("{digest}: revoked already"));
    }
    for digest in new {
        output::print(&format!("{digest}: revoked in {}", roots.policy.display()));
    }
    Ok(written)
}

/// Revokes the approvals of these bytes. Returns the names of their plugins.
fn withdraw(lock: &mut Lock, digests: &BTreeSet<Digest>, reason: &str) -> Vec<PluginName> {
    let stands = |entry: &Entry| digests.contains(&entry.pin.digest) && entry.pin.revoked.is_none();
    let standing = lock.file.0.iter().filter(|(_, entry)| stands(entry));
    let mut hit: BTreeMap<PluginName, Entry> =
        standing.map(|(name, entry)| (name.clone(), entry.clone())).collect();
    for (name, entry) in &mut hit {
        entry.pin.revoked = Some(reason.to_owned());
        lock.file.0.insert(name.clone(), entry.clone());
    }
    hit.into_keys().collect()
}
