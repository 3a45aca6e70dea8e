//! `toolgate plugin remove`: out of the configuration and out of the lock.

use super::edit::Edit;
use super::{Desk, name};
use crate::cli::exit::Exit;
use crate::cli::{ConfigArg, output};

/// What `plugin remove` takes.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The plugin, by its name in the configuration
    plugin: String,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let name = name(&args.plugin)?;
    let mut desk = Desk::of(&args.config)?;
    let configured = desk.config.spec.plugins.iter().any(|spec| spec.name == name);
    let approved = desk.lock.file.remove(&name).is_some();
    if !configured && !approved {
        return Err(Exit::usage(format!("`{name}` is neither configured nor approved")));
    }
    if approved {
        desk.save()?;
        output::print(&format!("{name}: its approval is gone"));
    }
    if configured {
        let mut edit = Edit::open(&args.config.config)?;
        if let Some(list) = edit.document().get_mut("plugin").and_then(|list| list.as_array_of_tables_mut()) {
            list.retain(|table| table.get("name").and_then(|own| own.as_str()) != Some(name.as_str()));
        }
        edit.draft()?.place()?;
        output::print(&format!("{name}: removed from {}", args.config.config.display()));
    }
    Ok(())
}
