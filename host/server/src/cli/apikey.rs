//! `toolgate apikey`: makes, lists and revokes API keys. The file holds their digests; a key is shown once, when it is made.

mod create;
mod list;
mod revoke;

use std::path::PathBuf;

use super::ConfigArg;
use super::exit::Exit;
use crate::config::{AuthConfig, Config};

/// Subcommands of `apikey`.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a key, store its digest, and print it once
    Create(create::Args),
    /// List the keys: who they are for, when they end, when they were used last
    List(list::Args),
    /// Revoke a key by its id, at once and for ever
    Revoke(revoke::Args),
}

pub(super) fn run(command: &Command) -> Result<(), Exit> {
    match command {
        Command::Create(args) => create::run(args),
        Command::List(args) => list::run(args),
        Command::Revoke(args) => revoke::run(args),
    }
}

/// `[auth]` of a configuration, and the file of its API keys.
fn keys_of(arg: &ConfigArg) -> Result<(Config, AuthConfig, PathBuf), Exit> {
    let config = Config::load(&arg.config)?;
    let auth = config.auth.clone();
    let auth = auth.ok_or_else(|| {
        Exit::usage("there is no [auth]: callers need no key; docs/identity.md says how to add one")
    })?;
    let path = auth.keys.clone();
    let path =
        path.ok_or_else(|| Exit::usage("[auth] names no file of keys; write keys = \"keys.toml\" into it"))?;
    Ok((config, auth, path))
}
