//! `toolgate plugin add`: a plugin into the configuration and the lock in one step, or neither.

use toml_edit::{DocumentMut, Item, Table, value};

use super::approve::{Saying, approve};
use super::edit::Edit;
use super::{Desk, agreed, compare, name};
use crate::cli::exit::Exit;
use crate::cli::{ConfigArg, output};
use crate::config::Config;

/// What `plugin add` takes.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// Where it is: a file beside the configuration, or a source as the configuration has it
    source: String,
    /// What to call it; by default its file's name without the ending
    #[arg(long)]
    name: Option<String>,
    /// Which plugin it is, for trust rules; by default its name
    #[arg(long)]
    id: Option<String>,
    /// A line of its [plugin.grant], such as 'http = [{ host = "api.example.com" }]'; as often as needed
    #[arg(long, value_name = "LINE")]
    grant: Vec<String>,
    /// The only bytes it may have
    #[arg(long, value_name = "sha256:…")]
    digest: Option<toolgate_policy::Digest>,
    #[command(flatten)]
    saying: Saying,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let name = name(&args.name.clone().unwrap_or_else(|| stem(&args.source)))?;
    // What is there must be right before anything is added to it.
    Config::load(&args.config.config)?;
    let mut edit = Edit::open(&args.config.config)?;
    edit.push("plugin", section(args, name.as_str())?)?;
    let draft = edit.draft()?;
    let config = Config::load(draft.path())?;
    let mut desk = Desk::open(config)?;
    let plugin = desk.look(name.as_str())?;
    let lines = compare::differences(&desk, &plugin, desk.lock.file.get(&name));
    output::print(&lines.join("\n"));
    if !agreed(args.saying.yes, "Add and approve?")? {
        return Err(Exit::refused("nothing was added"));
    }
    // Approved first: what is configured and not approved only waits.
    approve(&mut desk, &[plugin], &args.saying)?;
    draft.place()?;
    output::print(&format!("{name}: added to {}", args.config.config.display()));
    Ok(())
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
        let lines: DocumentMut =
            args.grant.join("\n").parse().map_err(|error: toml_edit::TomlError| {
                Exit::usage(format!("--grant: {}", error.message()))
            })?;
        let mut grant = lines.as_table().clone();
        grant.set_implicit(false);
        grant.set_position(None);
        table.insert("grant", Item::Table(grant));
    }
    Ok(table)
}

/// The last part of a path without its ending, version and digest.
fn stem(source: &str) -> String {
    let last = source.rsplit(['/', '\\']).next().unwrap_or_default();
    let last = last.split(['@', ':']).find(|part| *part != "file").unwrap_or(last);
    last.strip_suffix(".wasm").unwrap_or(last).to_owned()
}
