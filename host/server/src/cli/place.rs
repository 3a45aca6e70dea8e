//! Output files of commands: written atomically, with modes independent of the umask.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempPath;

/// Mode of files that all may read.
pub(super) const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// Writes a temporary file beside its destination, to be renamed to it and removed otherwise. An existing link there is
/// replaced, not followed.
pub(super) fn stage(to: &Path, bytes: &[u8], mode: u32) -> io::Result<TempPath> {
    let folder = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The prefix keeps the file from being taken for a component or a signature.
    let made = tempfile::Builder::new().prefix(".toolgate-").tempfile_in(folder);
    // Without the temporary file's name, which nobody gave.
    let mut file = made.map_err(|error| io::Error::from(error.kind()))?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    Ok(file.into_temp_path())
}

/// Writes a file, replacing an existing one.
pub(super) fn write(to: &Path, bytes: &[u8]) -> io::Result<()> {
    Ok(stage(to, bytes, FILE_MODE)?.persist(to)?)
}

/// Writes a file that does not exist yet.
pub(super) fn create(to: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    Ok(stage(to, bytes, mode)?.persist_noclobber(to)?)
}

/// Creates a folder and its missing parents.
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
