//! Edits files that people write: everything around the change stays. The file is read and replaced while this command
//! holds its lock.

use std::path::{Path, PathBuf};

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};
use toolgate_policy::limits::load::CONFIG_BYTES_MAX;
use toolgate_runtime::load::source::read_regular;
use toolgate_state::file_lock::FileLocks;

use crate::cli::exit::Exit;

/// A file that is being changed.
pub(super) struct TomlEdit {
    path: PathBuf,
    /// The text that was read.
    pub(super) before: String,
    pub(super) document: DocumentMut,
}

impl TomlEdit {
    /// Reads a file.
    pub(super) fn open(path: &Path) -> Result<Self, Exit> {
        let failed = |error: &dyn std::fmt::Display| Exit::usage(format!("{}: {error}", path.display()));
        let file = read_regular(path, CONFIG_BYTES_MAX).map_err(|error| Exit::unread(&error))?;
        let before = std::str::from_utf8(file.bytes()).map_err(|error| failed(&error))?.to_owned();
        let document = before.parse().map_err(|error| failed(&error))?;
        Ok(Self { path: path.to_owned(), before, document })
    }

    /// The same for a file that need not be there yet.
    pub(super) fn open_or_new(path: &Path) -> Result<Self, Exit> {
        let absent = path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        if !absent {
            return Self::open(path);
        }
        Ok(Self { path: path.to_owned(), before: String::new(), document: DocumentMut::new() })
    }

    /// The tables of `[[key]]`; `None` if there are none.
    pub(super) fn tables(&mut self, key: &str) -> Result<Option<&mut ArrayOfTables>, Exit> {
        match self.document.get_mut(key) {
            None => Ok(None),
            Some(Item::ArrayOfTables(list)) => Ok(Some(list)),
            Some(_) => Err(Exit::usage(format!(
                "{}: `{key}` is written in one line; write [[{key}]] instead",
                self.path.display()
            ))),
        }
    }

    /// Adds a table at the end of `[[key]]`.
    pub(super) fn push(&mut self, key: &str, table: Table) -> Result<(), Exit> {
        if self.tables(key)?.is_none() {
            self.document.insert(key, Item::ArrayOfTables(ArrayOfTables::new()));
        }
        if let Some(list) = self.tables(key)? {
            list.push(table);
        }
        Ok(())
    }

    /// The file with the change.
    pub(super) fn text(&self) -> String {
        self.document.to_string()
    }

    /// Exit for a file changed by another program, such as an editor, which takes no lock.
    pub(super) fn changed_meanwhile(&self) -> Exit {
        Exit::refused(format!(
            "{}: not written: another program has changed it in this very moment; run the command again",
            self.path.display()
        ))
    }

    /// Replaces the file if it still has the text that was read.
    pub(super) fn save(&self, locks: &FileLocks) -> Result<(), Exit> {
        self.save_as(locks, 0o644)
    }

    /// The same; a new file has this mode.
    pub(super) fn save_as(&self, locks: &FileLocks, mode: u32) -> Result<(), Exit> {
        let failed = |error: std::io::Error| {
            Exit::host_failed(format!("{}: not written: {error}", self.path.display()))
        };
        let present = match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.map_err(failed)?,
        };
        if present != self.before {
            return Err(self.changed_meanwhile());
        }
        locks.replace(&self.path, self.text().as_bytes(), mode).map_err(failed)
    }
}
