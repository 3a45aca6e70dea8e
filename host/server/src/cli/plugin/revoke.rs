//! `toolgate plugin revoke`: these bytes never run again, whoever signed and approved them.

use std::collections::BTreeSet;

use toml_edit::{Table, value};
use toolgate_policy::Digest;

use super::edit::Edit;
use super::name;
use crate::cli::exit::Exit;
use crate::cli::{ConfigArg, output};
use crate::config::{Config, load_trust};

/// What `plugin revoke` takes.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The plugin, by its name in the lock; or the bytes, as sha256:…
    what: String,
    /// Why, for everybody who reads the trust policy or the record
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    if args.reason.trim().is_empty() || toolgate_policy::redact::printable(&args.reason, 500) != args.reason {
        return Err(Exit::usage("--reason takes 1 to 500 printable characters"));
    }
    let mut config = Config::load(&args.config.config)?;
    let mut digests = BTreeSet::new();
    match args.what.parse::<Digest>() {
        Ok(digest) => drop(digests.insert(digest)),
        Err(_) => {
            let name = name(&args.what)?;
            let approved = config.lock.as_ref().and_then(|lock| lock.file.get(&name));
            digests.extend(approved.map(|entry| entry.pin.digest));
        }
    }
    if digests.is_empty() {
        return Err(Exit::usage(format!(
            "`{}` is not approved, so that its bytes are not known here; name them as sha256:… (`toolgate plugin list` shows them)",
            toolgate_policy::redact::printable(&args.what, 100)
        )));
    }
    let policy = config.policy.clone();
    let mut edit = Edit::open(&policy)?;
    let mut new = 0;
    for digest in &digests {
        if config.spec.trust.policy.revoked(digest).is_some() {
            output::print(&format!("{digest}: revoked already"));
            continue;
        }
        let mut table = Table::new();
        table.insert("digest", value(digest.to_string()));
        table.insert("reason", value(&args.reason));
        edit.push("revoke", table)?;
        new += 1;
    }
    if new > 0 {
        let version = config.spec.trust.policy.version().saturating_add(1);
        edit.document()["version"] = value(i64::try_from(version).unwrap_or(i64::MAX));
        let draft = edit.draft()?;
        load_trust(draft.path())?;
        draft.place()?;
        digests
            .iter()
            .for_each(|digest| output::print(&format!("{digest}: revoked in {}", policy.display())));
    }
    if let Some(lock) = &mut config.lock {
        let hit: Vec<_> = lock
            .file
            .entries()
            .filter(|(_, entry)| digests.contains(&entry.pin.digest))
            .map(|(name, entry)| (name.clone(), entry.clone()))
            .collect();
        for (name, mut entry) in hit {
            entry.pin.revoked = Some(args.reason.clone());
            lock.file.insert(name.clone(), entry);
            output::print(&format!("{name}: its approval is taken back"));
        }
        lock.file
            .save(&lock.path)
            .map_err(|error| Exit::usage(format!("{}: {error}", lock.path.display())))?;
    }
    Ok(())
}
