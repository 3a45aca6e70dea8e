//! `toolgate plugin remove`: removes a plugin from the configuration and the lock.

use std::path::Path;

use toolgate_base::spec::Source;
use toolgate_state::file_lock::FileLocks;

use super::{name, save};
use crate::cli::edit::TomlEdit;
use crate::cli::exit::Exit;
use crate::cli::{ConfigArg, output};
use crate::config::{Config, Lock, Roots};

/// Arguments of `plugin remove`.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The plugin, by its name in the configuration
    plugin: String,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let name = name(&args.plugin)?;
    let path = &args.config.config;
    let lock_path = lock(path)?.path;
    let locks = FileLocks::take([path.as_path(), &lock_path]).map_err(|error| Exit::host(&error))?;
    let mut lock = lock(path)?;
    let mut edit = TomlEdit::open(path)?;
    let mut configured = false;
    if let Some(list) = edit.tables("plugin")? {
        let before = list.len();
        list.retain(|table| table.get("name").and_then(|own| own.as_str()) != Some(name.as_str()));
        configured = list.len() < before;
    }
    let approved = lock.file.0.remove(&name).is_some();
    if !configured && !approved {
        return Err(Exit::usage(format!("`{name}` is neither configured nor approved")));
    }
    if approved {
        save(&lock, &locks)?;
        output::print(&format!("{name}: its approval is gone"));
    }
    if configured {
        edit.save(&locks)?;
        output::print(&format!("{name}: removed from {}", path.display()));
    } else if let Ok(config) = Config::load(path)
        && let Some(spec) = config.spec.plugins.iter().find(|spec| spec.name == name)
        && let Source::Within { folder, name: file } = &spec.source
    {
        output::print(&format!(
            "{name}: it waits for approval while {} has the file {file}; remove that, too",
            folder.display()
        ));
    }
    Ok(())
}

fn lock(path: &Path) -> Result<Lock, Exit> {
    Roots::load(path)?.lock.ok_or_else(super::no_lock)
}
