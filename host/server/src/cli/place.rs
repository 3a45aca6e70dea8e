//! Files that commands leave behind: whole or not at all, with modes that do not depend on who runs the command.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempPath;

const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// A file that is written and has no name of its own yet. Removed if it never gets one.
pub(super) struct Staged(TempPath);

/// Writes a file beside where it is to be.
///
/// # Errors
/// Whatever the file system says.
pub(super) fn stage(to: &Path, bytes: &[u8]) -> io::Result<Staged> {
    stage_with(to, bytes, FILE_MODE)
}

/// The same, with a mode.
///
/// # Errors
/// Whatever the file system says.
pub(super) fn stage_with(to: &Path, bytes: &[u8], mode: u32) -> io::Result<Staged> {
    let folder = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Nobody who looks through the folder takes it for a component or a signature.
    let mut file = tempfile::Builder::new().prefix(".toolgate-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    Ok(Staged(file.into_temp_path()))
}

impl Staged {
    /// Puts it where it is to be, in place of what was there; a link there is replaced, not followed.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(super) fn replace(self, to: &Path) -> io::Result<()> {
        self.0.persist(to).map_err(|error| error.error)
    }

    /// Puts it where nothing is.
    ///
    /// # Errors
    /// Also when something is there.
    pub(super) fn create(self, to: &Path) -> io::Result<()> {
        self.0.persist_noclobber(to).map_err(|error| error.error)
    }
}

/// Writes a file in place of what was there.
///
/// # Errors
/// Whatever the file system says.
pub(super) fn write(to: &Path, bytes: &[u8]) -> io::Result<()> {
    stage(to, bytes)?.replace(to)
}

/// Makes a folder and those above it that are not there.
///
/// # Errors
/// Whatever the file system says.
pub(super) fn folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    match std::fs::create_dir(path) {
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}
