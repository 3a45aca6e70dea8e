//! `toolgate apikey revoke`. The row stays, so that its id is never used again.

use std::time::SystemTime;

use toml_edit::value;
use toolgate_policy::redact::printable;
use toolgate_state::file_lock::FileLocks;

use super::create::datetime;
use super::keys_of;
use crate::cli::edit::TomlEdit;
use crate::cli::exit::Exit;
use crate::cli::{ConfigArg, output};

/// Arguments of `apikey revoke`.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The id: the eight characters after tgk_, as `apikey list` shows them
    id: String,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let (_, _, path) = keys_of(&args.config)?;
    // Nobody should have to cut a key into its parts in an emergency.
    let id = toolgate_auth::apikey::id(&args.id).unwrap_or(&args.id);
    let locks = FileLocks::take([path.as_path()]).map_err(|error| Exit::host(&error))?;
    let mut edit = TomlEdit::open_or_new(&path)?;
    let unknown = || {
        Exit::usage(format!(
            "there is no key with the id `{}`; `toolgate apikey list` shows them",
            printable(id, 40)
        ))
    };
    let revoked = datetime(SystemTime::now())?;
    let Some(tables) = edit.tables("key")? else { return Err(unknown()) };
    let mut rows = tables.iter_mut();
    let row =
        rows.find(|row| row.get("id").and_then(|item| item.as_str()) == Some(id)).ok_or_else(unknown)?;
    if row.contains_key("revoked") {
        output::print(&format!("{id} was revoked before"));
        return Ok(());
    }
    row.insert("revoked", value(revoked));
    drop(rows);
    edit.save_as(&locks, 0o600)?;
    output::print(&format!(
        "{id} is revoked; a running server refuses it and ends its streams within two seconds"
    ));
    Ok(())
}
