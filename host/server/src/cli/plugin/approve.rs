//! `toolgate plugin approve`: writes into the lock what a plugin is now, by somebody who was shown what changed.

use std::sync::Arc;

use toolgate_policy::load::pin::Approval;
use toolgate_policy::load::signer::UnixTime;
use toolgate_runtime::snapshot::plugin::Plugin;
use toolgate_runtime::spec::Approvals;
use toolgate_runtime::state::lockfile::Entry;

use super::{Desk, agreed, compare, who};
use crate::cli::exit::Exit;
use crate::cli::{ConfigArg, explain, output};

/// What `plugin approve` takes.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The plugins, by their names in the configuration
    #[arg(required_unless_present = "all")]
    plugins: Vec<String>,
    /// All plugins of the configuration
    #[arg(long, conflicts_with = "plugins")]
    all: bool,
    /// Only if these are the bytes, so that nothing else is approved than what was looked at
    #[arg(long, value_name = "sha256:…", conflicts_with = "all")]
    digest: Option<toolgate_policy::Digest>,
    #[command(flatten)]
    saying: Saying,
    #[command(flatten)]
    config: ConfigArg,
}

/// Who says yes.
#[derive(clap::Args)]
pub(super) struct Saying {
    /// Who approves, for the lock and the record; by default your user and machine
    #[arg(long, value_name = "WHO")]
    pub(super) by: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub(super) yes: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let mut desk = Desk::of(&args.config)?;
    let names: Vec<String> = match args.all {
        true => desk.config.spec.plugins.iter().map(|spec| spec.name.to_string()).collect(),
        false => args.plugins.clone(),
    };
    if args.digest.is_some() && names.len() != 1 {
        return Err(Exit::usage("--digest is about one plugin; name one"));
    }
    // All are looked at before any is approved.
    let looked = names.iter().map(|name| desk.look(name)).collect::<Result<Vec<_>, _>>()?;
    let mut changed = Vec::new();
    for plugin in looked {
        if let Some(digest) = args.digest.filter(|digest| *digest != plugin.digest()) {
            let is = plugin.digest();
            return Err(Exit::refused(format!("plugin {}: its bytes are {is}, not {digest}", plugin.name())));
        }
        let lines = compare::differences(&desk, &plugin, desk.lock.file.get(plugin.name()));
        if lines.is_empty() {
            output::print(&format!("{}: approved as it is already", plugin.name()));
        } else {
            output::print(&lines.join("\n"));
            changed.push(plugin);
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    if !agreed(args.saying.yes || args.digest.is_some(), "Approve?")? {
        return Err(Exit::refused("nothing was approved"));
    }
    approve(&mut desk, &changed, &args.saying)
}

/// Writes it down, and loads it as a server would, which keeps it for the day on which its source has something else.
pub(super) fn approve(desk: &mut Desk, plugins: &[Arc<Plugin>], saying: &Saying) -> Result<(), Exit> {
    let approval = Approval { by: who(saying.by.as_ref())?, at: now() };
    for plugin in plugins {
        let entry = Entry {
            pin: plugin.pin(approval.clone()),
            version: plugin.provenance().version.clone(),
            source: plugin.source().to_string(),
            signers: plugin.provenance().signers.clone(),
        };
        desk.lock.file.insert(plugin.name().clone(), entry);
    }
    desk.save()?;
    desk.config.spec.approvals = Approvals::Asked(desk.lock.file.pins());
    desk.gate.hold(&desk.config.spec);
    for plugin in plugins {
        let (_, spec) = explain::find(&desk.config, plugin.name().as_str())?;
        desk.look_at(spec, desk.config.spec.approvals.clone())?;
        output::print(&format!("{}: approved by {}: {}", plugin.name(), approval.by, plugin.digest()));
    }
    Ok(())
}

fn now() -> UnixTime {
    UnixTime(jiff::Timestamp::now().as_second())
}
