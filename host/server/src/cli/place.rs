//! Output files of commands: written atomically, with modes independent of the umask.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempPath;

const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// A written file under a temporary name. Removed on drop if it is never renamed.
pub(super) struct Staged(TempPath);

/// Writes a temporary file beside its destination.
///
/// # Errors
/// Any I/O error.
pub(super) fn stage(to: &Path, bytes: &[u8]) -> io::Result<Staged> {
    stage_with(to, bytes, FILE_MODE)
}

/// The same with a file mode.
///
/// # Errors
/// Any I/O error.
pub(super) fn stage_with(to: &Path, bytes: &[u8], mode: u32) -> io::Result<Staged> {
    let folder = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The prefix keeps the file from being taken for a component or a signature.
    let mut file = tempfile::Builder::new().prefix(".toolgate-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    Ok(Staged(file.into_temp_path()))
}

impl Staged {
    /// Renames it to its destination, replacing an existing file; an existing link is replaced, not followed.
    ///
    /// # Errors
    /// Any I/O error.
    pub(super) fn replace(self, to: &Path) -> io::Result<()> {
        self.0.persist(to).map_err(|error| error.error)
    }

    /// Renames it to a destination that does not exist.
    ///
    /// # Errors
    /// Also if something exists there.
    pub(super) fn create(self, to: &Path) -> io::Result<()> {
        self.0.persist_noclobber(to).map_err(|error| error.error)
    }
}

/// Writes a file, replacing an existing one.
///
/// # Errors
/// Any I/O error.
pub(super) fn write(to: &Path, bytes: &[u8]) -> io::Result<()> {
    stage(to, bytes)?.replace(to)
}

/// Creates a folder and its missing parents.
///
/// # Errors
/// Any I/O error.
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
