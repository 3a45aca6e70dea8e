//! Changing files that people write: what they wrote around the change stays. Whole or not at all, with the mode the file had.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};
use toolgate_policy::limits::load::CONFIG_BYTES_MAX;
use toolgate_runtime::load::source::read_regular;

use crate::cli::exit::Exit;

/// A file that is being changed.
pub(super) struct Edit {
    path: PathBuf,
    document: DocumentMut,
}

impl Edit {
    /// Reads a file that was found whole before.
    pub(super) fn open(path: &Path) -> Result<Self, Exit> {
        let failed = |error: &dyn std::fmt::Display| Exit::usage(format!("{}: {error}", path.display()));
        let file = read_regular(path, CONFIG_BYTES_MAX).map_err(|error| Exit::unread(&error))?;
        let text = std::str::from_utf8(file.bytes()).map_err(|error| failed(&error))?;
        let document = text.parse().map_err(|error| failed(&error))?;
        Ok(Self { path: path.to_owned(), document })
    }

    /// What is changed.
    pub(super) fn document(&mut self) -> &mut DocumentMut {
        &mut self.document
    }

    /// Adds a table at the end of `[[key]]`.
    pub(super) fn push(&mut self, key: &str, table: Table) -> Result<(), Exit> {
        let list = self.document.entry(key).or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        let list = list.as_array_of_tables_mut();
        list.ok_or_else(|| {
            Exit::usage(format!(
                "{}: `{key}` is written in one line; write [[{key}]] instead",
                self.path.display()
            ))
        })?
        .push(table);
        Ok(())
    }

    /// Writes it beside the file, for a look at it. Gone when dropped, unless it is placed.
    pub(super) fn draft(self) -> Result<Draft, Exit> {
        let failed = |error: std::io::Error| Exit::usage(format!("{}: {error}", self.path.display()));
        let mode = std::fs::metadata(&self.path).map_err(failed)?.permissions().mode() & 0o777;
        let mut fresh = self.path.as_os_str().to_owned();
        fresh.push(format!(".{}.new", std::process::id()));
        let draft = Draft { path: fresh.into(), place: self.path.clone() };
        let mut options = std::fs::File::options();
        let file = options.write(true).create_new(true).mode(mode).open(&draft.path);
        let written = file.and_then(|mut file| {
            file.set_permissions(std::fs::Permissions::from_mode(mode))?;
            file.write_all(self.document.to_string().as_bytes())?;
            file.sync_all()
        });
        written.map_err(failed)?;
        Ok(draft)
    }
}

/// A file that would replace another.
pub(super) struct Draft {
    path: PathBuf,
    place: PathBuf,
}

impl Draft {
    /// Where it is now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it in its place.
    pub(super) fn place(self) -> Result<(), Exit> {
        std::fs::rename(&self.path, &self.place)
            .map_err(|error| Exit::usage(format!("{}: {error}", self.place.display())))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It was placed, or nobody wants it.
        drop(std::fs::remove_file(&self.path));
    }
}
