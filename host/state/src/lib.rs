//! Persistent state: one directory, opened once and accessed through that handle alone. Its content belongs to other
//! modules; their formats are not known here.

// A number that another type cannot hold is not cut short unseen.
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod access;
pub mod audit;
pub mod blobs;
pub mod file_lock;
pub mod key_uses;
pub mod keyvalue;
pub mod lockfile;
pub mod owner;
pub mod rollback;

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _, MetadataExt as _};

/// The state directory, with mode 0700 and owned by this process's user.
pub struct StateDir {
    root: Dir,
    path: PathBuf,
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be created or opened.
    #[error("open the state directory {0}")]
    Open(PathBuf, #[source] io::Error),
    /// It does not exist, and if root created it, the owner of its parent could not use it.
    #[error(
        "make the state directory {path}: the folder {folder} belongs to user {owner}, and this process runs as root, so that user {owner} \
         could not use it; run this as user {owner}, or make it first for whoever is to run Toolgate: \
         `install -d -m 700 -o USER {path}`"
    )]
    Foreign {
        /// Path of the state directory.
        path: PathBuf,
        /// Nearest existing parent.
        folder: PathBuf,
        /// User id of that folder's owner.
        owner: u32,
    },
    /// Others can write to it.
    #[error("use the state directory {0}: others can write to it; run `chmod go-w` on it")]
    Writable(PathBuf),
    /// It belongs to another user.
    #[error("use the state directory {0}: it belongs to user {1}, this process runs as user {2}")]
    Owner(PathBuf, u32, u32),
    /// Others can replace it.
    #[error("use the state directory {0}")]
    Replaceable(PathBuf, #[source] owner::OwnerError),
}

impl StateDir {
    /// Opens the directory, creating it if it is missing; root does not create it in another user's folder.
    ///
    /// # Errors
    /// [`StateError`]. Owner and mode are checked before any content is read.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let fail = |error| StateError::Open(path.to_owned(), error);
        let user = rustix::process::geteuid();
        if user.is_root() {
            refuse_foreign(path, user.as_raw())?;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(fail)?;
        }
        let made = std::fs::DirBuilder::new().mode(0o700).create(path);
        unless(made, io::ErrorKind::AlreadyExists).map_err(fail)?;
        let root = Dir::open_ambient_dir(path, ambient_authority()).map_err(fail)?;
        let metadata = root.dir_metadata().map_err(fail)?;
        let user = user.as_raw();
        if metadata.uid() != user {
            return Err(StateError::Owner(path.to_owned(), metadata.uid(), user));
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(StateError::Writable(path.to_owned()));
        }
        owner::check(path, metadata.uid())
            .map_err(|error| StateError::Replaceable(path.to_owned(), error))?;
        Ok(Self { root, path: path.to_owned() })
    }

    /// Handle of the directory.
    pub fn root(&self) -> &Dir {
        &self.root
    }

    /// Path, for display.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a subdirectory, creating it with mode 0700 if it is missing.
    pub fn dir(&self, name: &str) -> io::Result<Dir> {
        let made = self.root.create_dir_with(name, DirBuilder::new().mode(0o700));
        unless(made, io::ErrorKind::AlreadyExists)?;
        self.root.open_dir(name)
    }
}

/// The result of an operation, unless it failed for this reason, which does not matter.
fn unless(result: io::Result<()>, reason: io::ErrorKind) -> io::Result<()> {
    result.or_else(|error| if error.kind() == reason { Ok(()) } else { Err(error) })
}

/// Refuses to create a directory whose nearest existing parent belongs to another user.
fn refuse_foreign(path: &Path, user: u32) -> Result<(), StateError> {
    let fail = |error| StateError::Open(path.to_owned(), error);
    let named = std::path::absolute(path).map_err(fail)?;
    for folder in named.ancestors() {
        let owner = match std::fs::metadata(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => std::os::unix::fs::MetadataExt::uid(&other.map_err(fail)?),
        };
        if folder != named && owner != user {
            let (path, folder) = (path.to_owned(), folder.to_owned());
            return Err(StateError::Foreign { path, folder, owner });
        }
        break;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_for_its_user_alone() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDir::open(&base.path().join("a/b")).unwrap();
        state.dir("cache").unwrap();
        for path in ["a/b", "a/b/cache"] {
            let mode = std::fs::metadata(base.path().join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{path}");
        }
    }

    #[test]
    fn one_that_others_can_write_to_is_refused() {
        let base = tempfile::tempdir().unwrap();
        std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(StateDir::open(base.path()), Err(StateError::Writable(_))));
    }

    #[test]
    fn one_in_whose_place_others_can_put_another_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("state");
        std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(StateDir::open(&path), Err(StateError::Replaceable(..))));
        std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(StateDir::open(&path).is_ok(), "in a sticky folder only its owner can move it");
    }

    #[test]
    fn a_link_inside_leads_nowhere() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDir::open(&base.path().join("state")).unwrap();
        std::os::unix::fs::symlink("/tmp", base.path().join("state/cache")).unwrap();
        assert!(state.dir("cache").is_err());
    }
}
