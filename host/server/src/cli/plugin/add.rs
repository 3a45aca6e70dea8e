//! `toolgate plugin add`: adds a plugin to both the configuration and the lock, or to neither.

use toml_edit::{DocumentMut, Item, Table, TomlError, value};
use toolgate_runtime::reconcile::rivals::Rivals;
use toolgate_state::file_lock::FileLocks;

use super::approve::{self, Saying, Shown};
use super::{PluginAdmin, agreed, compare, name, save};
use crate::cli::edit::TomlEdit;
use crate::cli::exit::Exit;
use crate::cli::{ConfigArg, output};
use crate::config::Config;

/// Arguments of `plugin add`.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The source: a file beside the configuration, or a source as in the configuration
    source: String,
    /// Its name in the configuration; by default its file's name without the extension
    #[arg(long)]
    name: Option<String>,
    /// Its id, for trust rules; by default its name
    #[arg(long)]
    id: Option<String>,
    /// A line of its [plugin.grant], such as 'http = [{ host = "api.example.com" }]'; as often as needed
    #[arg(long, value_name = "LINE")]
    grant: Vec<String>,
    /// The only bytes it may have
    #[arg(long, value_name = "sha256:…")]
    digest: Option<toolgate_policy::Digest>,
    #[command(flatten)]
    detail: compare::Detail,
    #[command(flatten)]
    saying: Saying,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let name = name(&args.name.clone().unwrap_or_else(|| stem(&args.source)))?;
    // The configuration must be valid before anything is added.
    let config = Config::load(&args.config.config)?;
    if config.spec.plugins.iter().any(|spec| spec.name == name) {
        return Err(Exit::usage(format!(
            "`{name}` is configured already; `toolgate plugin approve {name}` approves a new version of it, and --name gives another name"
        )));
    }
    let (_, config) = with_plugin(args, name.as_str())?;
    let mut desk = PluginAdmin::open(config)?;
    let shown = Shown::of(&desk, name.as_str())?;
    let mut rivals = Rivals::default();
    approve::may_be_named(&desk, &desk.config, std::slice::from_ref(&shown), &mut rivals, true)?;
    let lines = compare::differences(&desk, &shown.plugin, shown.before.as_ref(), args.detail)?;
    output::print(&lines.join("\n"));
    if !args.saying.yes {
        if !agreed("Add and approve?")? {
            return Err(Exit::refused("nothing was added"));
        }
        not_there(args, name.as_str())?;
        desk.take(with_plugin(args, name.as_str()).map_err(Exit::meanwhile)?.1)?;
    }
    write(args, &desk, &shown, rivals)?;
    output::print(&format!("{name}: added to {}", args.config.config.display()));
    Ok(())
}

/// Writes both files while holding their locks.
fn write(args: &Args, desk: &PluginAdmin, shown: &Shown, mut rivals: Rivals) -> Result<(), Exit> {
    let (name, path) = (shown.plugin.name(), &args.config.config);
    let approval = args.saying.approval()?;
    approve::rehearse(desk, std::slice::from_ref(shown), &approval).map_err(Exit::meanwhile)?;
    let locks = FileLocks::take([path.as_path(), &desk.lock.path]).map_err(|error| Exit::host(&error))?;
    not_there(args, name.as_str())?;
    let (edit, config) = with_plugin(args, name.as_str()).map_err(Exit::meanwhile)?;
    let mut lock = approve::unchanged(desk, &config, std::slice::from_ref(shown))?;
    approve::may_be_named(desk, &config, std::slice::from_ref(shown), &mut rivals, false)?;
    let before = lock.file.clone();
    lock.file.0.insert(name.clone(), shown.entry(&approval));
    save(&lock, &locks)?;
    edit.save(&locks).map_err(|error| {
        lock.file = before;
        match save(&lock, &locks) {
            Ok(()) => error.with("\nnothing was added"),
            Err(_) => error.with(&format!("\n{name} is approved in {} all the same", lock.path.display())),
        }
    })?;
    output::print(&format!("{name}: approved by {}: {}", approval.by, shown.plugin.digest()));
    Ok(())
}

/// Checks that the configuration still has no plugin of this name.
fn not_there(args: &Args, name: &str) -> Result<(), Exit> {
    let config = approve::read_again(&args.config)?;
    if config.spec.plugins.iter().any(|spec| spec.name.as_str() == name) {
        return Err(Exit::refused(format!(
            "`{name}` was added meanwhile; nothing was written (`toolgate plugin diff {name}` shows what is there)"
        )));
    }
    Ok(())
}

/// The current configuration with the plugin added.
fn with_plugin(args: &Args, name: &str) -> Result<(TomlEdit, Config), Exit> {
    let mut edit = TomlEdit::open(&args.config.config)?;
    edit.push("plugin", section(args, name)?)?;
    let config = Config::load_text(&args.config.config, &edit.text())?;
    Ok((edit, config))
}

fn section(args: &Args, name: &str) -> Result<Table, Exit> {
    let mut table = Table::new();
    table.insert("name", value(name));
    if let Some(id) = &args.id {
        table.insert("id", value(id));
    }
    let has_scheme =
        ["file:", "https:", "http:", "oci:", "dir:"].iter().any(|scheme| args.source.starts_with(scheme));
    let source = if has_scheme { args.source.clone() } else { format!("file:{}", args.source) };
    table.insert("source", value(source));
    if let Some(digest) = args.digest {
        table.insert("digest", value(digest.to_string()));
    }
    if !args.grant.is_empty() {
        let failed = |error: TomlError| Exit::usage(format!("--grant: {}", error.message()));
        let mut grant = args.grant.join("\n").parse::<DocumentMut>().map_err(failed)?.as_table().clone();
        grant.set_implicit(false);
        grant.set_position(None);
        table.insert("grant", Item::Table(grant));
    }
    Ok(table)
}

/// The last part of a path without extension, version and digest.
fn stem(source: &str) -> String {
    let last = source.rsplit(['/', '\\']).next().unwrap_or(source);
    let last = last.split(['@', ':']).find(|part| *part != "file").unwrap_or(last);
    last.strip_suffix(".wasm").unwrap_or(last).to_owned()
}
