//! `toolgate policy`: checks, shows, explains and tests access rules. No call is made and no plugin is entered.

mod answer;
mod check;
mod explain;
mod show;
mod test;

use std::sync::Arc;

pub(super) use check::NOTHING_PERMITTED;

use toolgate_policy::redact::printable;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::load::LoadError;
use toolgate_runtime::reconcile::{LoadReport, Loaded};
use toolgate_runtime::snapshot::Snapshot;
use toolgate_runtime::snapshot::tool::Tool;

use super::exit::Exit;
use super::{ConfigArg, PrintArgs, newest, serve};
use crate::config::Config;

/// Subcommands of `policy`.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Read all access rules, bind them to the tools, and report every problem and every rule without effect
    Check(PrintArgs),
    /// Print the rows of [[allow]] as Cedar policies of the same meaning
    Show(PrintArgs),
    /// Say whether a caller may call a tool, and which rules decide; exit code 0 if it may, 3 if it may not
    Explain(explain::Args),
    /// Compare the verdicts on the cases of a file with what the file expects; exit code 1 if one differs
    Test(test::Args),
}

pub(super) fn run(command: &Command) -> Result<(), Exit> {
    match command {
        Command::Check(args) => check::run(args),
        Command::Show(args) => show::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Test(args) => test::run(args),
    }
}

/// Rules bound to the tools that would serve.
struct BoundRules {
    config: Config,
    snapshot: Snapshot,
    report: LoadReport,
    /// Holds the engine for as long as tools are asked.
    _gate: Gate,
}

impl BoundRules {
    /// Loads what `serve` would load.
    fn load(arg: &ConfigArg) -> Result<Self, Exit> {
        let config = Config::load(&arg.config)?;
        let gate = serve::open(&config)?;
        let spec = config.spec.clone();
        let (snapshot, report) = newest::look(&config.policy, spec, |spec| gate.reconciler.look(spec));
        if report.problem.is_some() {
            return Err(Exit::not_loaded(&report));
        }
        Ok(Self { config, snapshot, report, _gate: gate })
    }

    /// The tool of this name.
    fn tool(&self, name: &str) -> Option<&Arc<Tool>> {
        self.snapshot.tools().find(|tool| tool.listing.name.as_str() == name)
    }

    /// Reasons why plugins do not load: those that rules quarantine, and the others.
    fn refused(&self) -> (Vec<String>, Vec<String>) {
        let (mut by_rules, mut others) = (Vec::new(), Vec::new());
        for (name, loaded) in &self.report.plugins {
            let Loaded::Not { why, .. } = loaded else { continue };
            let list = if matches!(**why, LoadError::Access(..)) { &mut by_rules } else { &mut others };
            let line = |reason: &String| printable(&format!("plugin {name}: {reason}"), usize::MAX);
            list.extend(why.reasons(name).iter().map(line));
        }
        others.extend(self.report.folders.iter().map(|problem| printable(&problem.to_string(), usize::MAX)));
        (by_rules, others)
    }
}
