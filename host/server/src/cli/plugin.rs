//! `toolgate plugin`: manages plugins and their approvals. Signatures show a plugin's origin. The lock records that an
//! operator examined its bytes, texts, requests and grants, and approved them.

mod add;
mod approve;
mod brief;
mod compare;
mod list;
mod memory;
mod remove;
mod revoke;

use std::io::{BufRead as _, IsTerminal as _};
use std::sync::Arc;

use clap::Subcommand;
use toolgate_base::spec::PluginSpec;
use toolgate_policy::PluginName;
use toolgate_policy::redact::printable;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::snapshot::plugin::Plugin;
use toolgate_runtime::spec::Approvals;
use toolgate_state::file_lock::FileLocks;

use super::exit::Exit;
use super::{ConfigArg, PrintArgs, newest, output, serve};
use crate::config::{Config, Lock};

/// Subcommands of `plugin`.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Add a plugin to the configuration, look at it, and approve it
    Add(add::Args),
    /// List the plugins: what serves, what waits and why, who signed, who approved
    List(PrintArgs),
    /// Show what changed in a plugin since it was approved
    Diff(compare::Args),
    /// Approve plugins as they are now
    Approve(approve::Args),
    /// Remove a plugin from the configuration, and its approval
    Remove(remove::Args),
    /// Revoke a plugin's bytes in the trust policy: servers that use it end its calls within seconds
    Revoke(revoke::Args),
}

pub(super) fn run(command: &Command) -> Result<(), Exit> {
    match command {
        Command::Add(args) => add::run(args),
        Command::List(args) => list::run(args),
        Command::Diff(args) => compare::run(args),
        Command::Approve(args) => approve::run(args),
        Command::Remove(args) => remove::run(args),
        Command::Revoke(args) => revoke::run(args),
    }
}

/// A configuration with its lock, and a gate to load plugins with.
struct PluginAdmin {
    config: Config,
    lock: Lock,
    gate: Gate,
}

impl PluginAdmin {
    fn open(config: Config) -> Result<Self, Exit> {
        let lock = config.lock.clone().ok_or_else(no_lock)?;
        let gate = serve::open(&config)?;
        Ok(Self { config, lock, gate })
    }

    fn of(arg: &ConfigArg) -> Result<Self, Exit> {
        Self::open(Config::load(&arg.config)?)
    }

    /// Continues with the current configuration, after a prompt.
    fn take(&mut self, config: Config) -> Result<(), Exit> {
        self.lock = config.lock.clone().ok_or_else(|| no_lock().meanwhile())?;
        self.gate.reconciler.hold(&config.spec);
        self.config = config;
        Ok(())
    }

    fn look_at(&self, spec: &PluginSpec, approvals: Approvals) -> Result<Arc<Plugin>, Exit> {
        newest::plugin(&self.gate, &self.config, spec, approvals)
    }
}

fn save(lock: &Lock, locks: &FileLocks) -> Result<(), Exit> {
    let failed = |error| Exit::host_failed(format!("{}: not written: {error}", lock.path.display()));
    lock.file.save(locks, &lock.path).map_err(failed)
}

fn no_lock() -> Exit {
    Exit::usage(
        "approvals are not asked here: [trust] has lock = \"off\"; remove that line to have a toolgate.lock",
    )
}

fn name(text: &str) -> Result<PluginName, Exit> {
    text.parse().map_err(|error| Exit::usage(format!("`{}`: {error}", printable(text, 100))))
}

/// Prompts on a terminal. Without one, `--yes` is required.
pub(super) fn agreed(question: &str) -> Result<bool, Exit> {
    if !std::io::stdin().is_terminal() {
        return Err(Exit::usage("nobody can be asked here; say --yes if that is what you want"));
    }
    output::complain(&format!("{question} [y/N]"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| Exit::host(&error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The approver: as given, else user and machine.
pub(super) fn who(by: Option<&String>) -> Result<String, Exit> {
    const CHARS_MAX: usize = 200;
    let by = match by {
        Some(by) => by.clone(),
        None => {
            let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
            let user = user.unwrap_or_else(|_| format!("uid {}", rustix::process::geteuid().as_raw()));
            match std::fs::read_to_string("/proc/sys/kernel/hostname") {
                Ok(machine) => format!("{user}@{}", machine.trim()),
                Err(_) => user,
            }
        }
    };
    let shown = printable(&by, CHARS_MAX);
    if by.trim().is_empty() || shown != by {
        return Err(Exit::usage("--by takes a name of at most 200 printable characters"));
    }
    Ok(by)
}
