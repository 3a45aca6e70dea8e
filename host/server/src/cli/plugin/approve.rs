//! `toolgate plugin approve`: writes the current state of plugins into the lock after showing the changes. Only the
//! state that was shown is written; if any of it changed meanwhile, nothing is.

use std::sync::Arc;

use toolgate_base::spec::PluginSpec;
use toolgate_policy::load::pin::Approval;
use toolgate_policy::redact::printable;
use toolgate_runtime::load::now;
use toolgate_runtime::reconcile::rivals::Rivals;
use toolgate_runtime::snapshot::plugin::Plugin;
use toolgate_runtime::spec::Approvals;
use toolgate_state::file_lock::FileLocks;
use toolgate_state::lockfile::Entry;

use super::{PluginAdmin, agreed, compare, save, who};
use crate::cli::exit::Exit;
use crate::cli::{ConfigArg, explain, output};
use crate::config::{Config, Lock};

/// Arguments of `plugin approve`.
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
    detail: compare::Detail,
    #[command(flatten)]
    saying: Saying,
    #[command(flatten)]
    config: ConfigArg,
}

/// Approver and consent.
#[derive(clap::Args)]
pub(super) struct Saying {
    /// Name of the approver, for the lock and the record; by default your user and machine
    #[arg(long, value_name = "WHO")]
    pub(super) by: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub(super) yes: bool,
}

impl Saying {
    /// An approval given now.
    pub(super) fn approval(&self) -> Result<Approval, Exit> {
        Ok(Approval { by: who(self.by.as_ref())?, at: now() })
    }
}

/// A plugin in the state that was shown.
pub(super) struct Shown {
    pub(super) plugin: Arc<Plugin>,
    spec: PluginSpec,
    /// Its entry in the lock, with which it was compared.
    pub(super) before: Option<Entry>,
}

impl Shown {
    /// The plugin of this name in its current state, approved or not.
    pub(super) fn of(desk: &PluginAdmin, name: &str) -> Result<Self, Exit> {
        let (_, spec) = explain::find(&desk.config, name)?;
        let plugin = desk.look_at(spec, Approvals::NotAsked)?;
        let before = desk.lock.file.0.get(plugin.name()).cloned();
        Ok(Self { plugin, spec: spec.clone(), before })
    }

    /// The new entry for the lock.
    pub(super) fn entry(&self, approval: &Approval) -> Entry {
        Entry {
            pin: self.plugin.pin(approval.clone()),
            version: self.plugin.provenance.version.clone(),
            source: self.plugin.source().to_string(),
            signers: self.plugin.provenance.signers.clone(),
            remapped_from: Vec::new(),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let mut desk = PluginAdmin::of(&args.config)?;
    let names: Vec<String> = match args.all {
        true => desk.config.spec.plugins.iter().map(|spec| spec.name.to_string()).collect(),
        false => args.plugins.clone(),
    };
    if args.digest.is_some() && names.len() != 1 {
        return Err(Exit::usage("--digest is about one plugin; name one"));
    }
    // All are loaded before any is approved.
    let (looked, left_out) = look(args, &desk, &names)?;
    let mut rivals = Rivals::default();
    may_be_named(&desk, &desk.config, &looked, &mut rivals, true)?;
    let mut changed = Vec::new();
    for shown in looked {
        let plugin = &shown.plugin;
        if let Some(digest) = args.digest.filter(|digest| *digest != plugin.digest()) {
            let is = plugin.digest();
            return Err(Exit::refused(format!("plugin {}: its bytes are {is}, not {digest}", plugin.name())));
        }
        let lines = compare::differences(&desk, plugin, shown.before.as_ref(), args.detail)?;
        if lines.is_empty() {
            output::print(&format!("{}: approved as it is already", plugin.name()));
        } else {
            output::print(&lines.join("\n"));
            changed.push(shown);
        }
    }
    if changed.is_empty() {
        return left_out.map_or(Ok(()), Err);
    }
    if !args.saying.yes && args.digest.is_none() {
        if !agreed("Approve?")? {
            return Err(Exit::refused("nothing was approved"));
        }
        // The files may have changed while the prompt was open.
        desk.take(read_again(&args.config)?)?;
    }
    let approval = args.saying.approval()?;
    rehearse(&desk, &changed, &approval).map_err(Exit::meanwhile)?;
    write(args, &desk, &changed, &approval, rivals)?;
    for Shown { plugin, .. } in changed {
        output::print(&format!("{}: approved by {}: {}", plugin.name(), approval.by, plugin.digest()));
    }
    left_out.map_or(Ok(()), Err)
}

/// The current state of these plugins. With `--all`, plugins that do not load are reported with the reason and left
/// out; then the second value is the command's exit.
fn look(args: &Args, desk: &PluginAdmin, names: &[String]) -> Result<(Vec<Shown>, Option<Exit>), Exit> {
    const NOTHING: &str = "\nnothing was approved";
    let (mut looked, mut left_out, mut exit) = (Vec::new(), Vec::new(), None::<Exit>);
    for name in names {
        match Shown::of(desk, name) {
            Ok(shown) => looked.push(shown),
            Err(why) if !args.all => return Err(why.with(NOTHING)),
            Err(why) => {
                left_out.push(name.as_str());
                exit = Some(match exit {
                    None => why,
                    Some(before) => before.and(why),
                });
            }
        }
    }
    match exit {
        None => Ok((looked, None)),
        Some(exit) if looked.is_empty() => Err(exit.with(NOTHING)),
        Some(exit) => {
            let text = format!("not approved, since they do not load: {}", left_out.join(", "));
            Ok((looked, Some(exit.tell_and_end_with(text))))
        }
    }
}

/// The current configuration. Any error in it arose after the state was shown.
pub(super) fn read_again(config: &ConfigArg) -> Result<Config, Exit> {
    Config::load(&config.config).map_err(|problems| Exit::from(problems).meanwhile())
}

/// Loads the shown plugins as a server would once they are approved, which is required for the approval. Also stores
/// their bytes, in case their source changes.
pub(super) fn rehearse(desk: &PluginAdmin, shown: &[Shown], approval: &Approval) -> Result<(), Exit> {
    for one in shown {
        let name = one.plugin.name();
        let (_, spec) = explain::find(&desk.config, name.as_str())?;
        let pin = one.entry(approval).pin;
        desk.gate.hold_also([&pin]);
        desk.look_at(spec, Approvals::Asked([(name.clone(), pin)].into()))?;
    }
    Ok(())
}

/// Checks that tool names would not clash with those of approved plugins, since a server would refuse that.
pub(super) fn may_be_named(
    desk: &PluginAdmin,
    config: &Config,
    shown: &[Shown],
    rivals: &mut Rivals,
    may_fetch: bool,
) -> Result<(), Exit> {
    let is_new =
        |one: &&Shown| one.before.as_ref().is_none_or(|entry| !one.plugin.is_as_approved(&entry.pin));
    let newcomers: Vec<_> = shown.iter().filter(is_new).map(|one| Arc::clone(&one.plugin)).collect();
    let failed = |error| Exit::refused(format!("failed to {error}; nothing was written"));
    let clashes =
        desk.gate.reconciler.clashes(&config.spec, &newcomers, rivals, may_fetch).map_err(failed)?;
    let lines: Vec<String> = clashes
        .iter()
        .filter(|(name, _)| shown.iter().any(|one| one.plugin.name() == name))
        .map(|(name, why)| format!("plugin {name}: refused: {why}"))
        .collect();
    match lines.is_empty() {
        true => Ok(()),
        false => Err(Exit::refused(format!("{}\nnothing was approved", lines.join("\n")))),
    }
}

/// The current lock, if everything that was shown is unchanged.
pub(super) fn unchanged(desk: &PluginAdmin, config: &Config, shown: &[Shown]) -> Result<Lock, Exit> {
    let lock = config.lock.clone().filter(|lock| lock.path == desk.lock.path);
    let lock = lock.ok_or_else(|| {
        Exit::refused("the configuration names another lock meanwhile; nothing was written")
    })?;
    for Shown { plugin, spec, before } in shown {
        let name = plugin.name();
        let changed = |what: &str| Err(Exit::refused(format!("plugin {name}: {what}; nothing was written")));
        if *explain::find(config, name.as_str()).map_err(Exit::meanwhile)?.1 != *spec {
            return changed("its configuration changed meanwhile");
        }
        match lock.file.0.get(name) {
            now if now == before.as_ref() => {}
            None => return changed("its approval was removed meanwhile"),
            Some(Entry { pin, .. }) if pin.revoked.is_some() => {
                return changed("its approval was taken back meanwhile");
            }
            Some(Entry { pin, .. }) => {
                let by = printable(&pin.approval.by, 200);
                return changed(&format!("{by} approved it meanwhile"));
            }
        }
        match desk.gate.signed_by(plugin, &config.spec.trust) {
            Ok(signers) if signers == plugin.provenance.signers => {}
            Ok(signers) => {
                let signers = printable(&signers.join("; "), 500);
                let what = "by the trust policy as it is meanwhile it is signed by others than was shown";
                return changed(&format!("{what}: {signers}"));
            }
            Err(why) => return changed(&printable(&why, 2_000)),
        }
    }
    Ok(lock)
}

/// Writes the approvals while holding the lock's file lock. `revoke` holds the same one, so the trust policy read here
/// is the newest any command has written.
fn write(
    args: &Args,
    desk: &PluginAdmin,
    shown: &[Shown],
    approval: &Approval,
    mut rivals: Rivals,
) -> Result<(), Exit> {
    let locks = FileLocks::take([desk.lock.path.as_path()]).map_err(|error| Exit::host(&error))?;
    let config = read_again(&args.config)?;
    let mut lock = unchanged(desk, &config, shown)?;
    may_be_named(desk, &config, shown, &mut rivals, false)?;
    for one in shown {
        lock.file.0.insert(one.plugin.name().clone(), one.entry(approval));
    }
    save(&lock, &locks)
}
