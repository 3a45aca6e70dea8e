//! Exclusive writing of files shared by people and commands: `toolgate.lock`, `trust.toml`, `toolgate.toml`. Read,
//! change and replace happen under a lock. Readers need none, since files are replaced atomically.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::OFlags;
use toolgate_base::file::OPEN_FLAGS;
use toolgate_policy::limits::load::{FILE_LOCK_MS, FILE_LOCK_POLL_MS};

use super::access::{Access, AccessError};
use super::unless;

/// Exclusive locks on a set of files, released on drop and by the system when the process ends.
///
/// The lock of `NAME` is a flock on `.NAME.flock` beside it, which other users cannot open and which is removed
/// afterwards. One left by a killed process is unlocked and harmless. Links are followed first, so that all paths to a
/// file use one lock.
#[derive(Debug)]
pub struct FileLocks {
    /// Sorted by path, so that two commands that lock the same files cannot deadlock.
    held: Vec<LockedFile>,
}

#[derive(Debug)]
struct LockedFile {
    target: PathBuf,
    beside: PathBuf,
    file: File,
}

/// A file cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum FileLockError {
    /// I/O error.
    #[error("lock {0} for a change")]
    Io(PathBuf, #[source] io::Error),
    /// Another process holds the lock for too long.
    #[error(
        "lock {0} for a change: another command has been changing it for {seconds} seconds; wait for it, or end it",
        seconds = FILE_LOCK_MS / 1_000
    )]
    Busy(PathBuf),
    /// The lock file belongs to another user.
    #[error("lock {0} for a change: {1} belongs to another user; remove it")]
    Owner(PathBuf, PathBuf),
    /// Its replacement could not have the same access.
    #[error("change {0}: {1}; nothing was written")]
    Access(PathBuf, AccessError),
}

impl FileLocks {
    /// Locks these files, which need not exist, waiting up to `FILE_LOCK_MS` for other commands. Also checks that a
    /// replacement of each can have its owner, group, mode and access control list.
    ///
    /// # Errors
    /// [`FileLockError`]. Nothing is locked then.
    pub fn take<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self, FileLockError> {
        let mut targets = BTreeSet::new();
        for path in paths {
            let target = resolve(path).map_err(|error| FileLockError::Io(path.to_owned(), error))?;
            targets.insert(target);
        }
        let until = Instant::now() + Duration::from_millis(FILE_LOCK_MS);
        let mut held = Vec::new();
        for target in targets {
            held.push(LockedFile::take(target, until)?);
        }
        Ok(Self { held })
    }

    /// Replaces a locked file atomically and durably. An existing file keeps its owner, group, mode and access control
    /// list; a new one gets `mode` less the umask.
    ///
    /// # Errors
    /// I/O errors, or if the file is not locked. The file is unchanged then, unless only the last step failed: syncing
    /// its folder.
    pub fn replace(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let target = resolve(path)?;
        if !self.held.iter().any(|held| held.target == target) {
            return Err(io::Error::other("it is not locked by this command, or leads elsewhere by now"));
        }
        let access = Access::of(&target)?;
        let mut fresh = Fresh::make(&target, if access.is_some() { 0o600 } else { mode })?;
        // Set before it has any content.
        access.map_or(Ok(()), |access| access.give(&fresh.file))?;
        fresh.file.write_all(bytes)?;
        fresh.file.sync_all()?;
        std::fs::rename(&fresh.path, &target)?;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl LockedFile {
    fn take(target: PathBuf, until: Instant) -> Result<Self, FileLockError> {
        let beside = beside(&target, "flock").map_err(|error| FileLockError::Io(target.clone(), error))?;
        loop {
            let fail = |error| FileLockError::Io(target.clone(), error);
            let file = open(&beside).map_err(fail)?;
            let metadata = file.metadata().map_err(fail)?;
            if !metadata.is_file() || metadata.uid() != rustix::process::geteuid().as_raw() {
                return Err(FileLockError::Owner(target, beside));
            }
            match file.try_lock() {
                // The previous holder may have removed the file; its name then refers to another file, or to none.
                Ok(()) if is_at(&beside, &metadata) => {
                    let held = Self { target, beside, file };
                    return match try_access(&held.target) {
                        // Other errors appear when writing: an unwritable lockfile must not prevent a revocation.
                        Ok(()) | Err(AccessError::Io(_)) => Ok(held),
                        Err(error) => Err(FileLockError::Access(held.target.clone(), error)),
                    };
                }
                Ok(()) => continue,
                Err(TryLockError::Error(error)) => return Err(fail(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            if Instant::now() >= until {
                return Err(FileLockError::Busy(target));
            }
            std::thread::sleep(Duration::from_millis(FILE_LOCK_POLL_MS));
        }
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Removed while locked, so that nobody can lock a removed file. If removal fails, the file is harmless.
        drop(std::fs::remove_file(&self.beside));
        // Explicit, since a child that is being started shares this descriptor until its program begins.
        drop(self.file.unlock());
    }
}

/// Opens the lock file. Other users cannot open it, and links are not followed.
fn open(beside: &Path) -> io::Result<File> {
    let flags = OPEN_FLAGS | OFlags::NOFOLLOW.bits().cast_signed();
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(beside)
}

fn is_at(path: &Path, metadata: &Metadata) -> bool {
    std::fs::symlink_metadata(path)
        .is_ok_and(|other| (other.dev(), other.ino()) == (metadata.dev(), metadata.ino()))
}

/// Resolves links; for a file that does not exist, those of its folder.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or(error)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            Ok(folder.unwrap_or(Path::new(".")).canonicalize()?.join(name))
        }
        other => other,
    }
}

/// `.NAME.ENDING` beside a file.
fn beside(target: &Path, ending: &str) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or_else(|| io::Error::other("it has no name"))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".");
    beside.push(ending);
    Ok(target.with_file_name(beside))
}

/// A new file `.NAME.new` that will replace a target. Removed if it does not.
struct Fresh {
    path: PathBuf,
    file: File,
}

impl Fresh {
    /// Creates the file. One name suffices under the lock; a leftover of a killed command is removed.
    fn make(target: &Path, mode: u32) -> io::Result<Self> {
        let path = beside(target, "new")?;
        unless(std::fs::remove_file(&path), io::ErrorKind::NotFound)?;
        let file = File::options().write(true).create_new(true).mode(mode).open(&path)?;
        Ok(Self { path, file })
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Fails harmlessly after a rename.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Checks that a replacement of a file can have the same owner, group, mode and access control list.
fn try_access(target: &Path) -> Result<(), AccessError> {
    let Some(access) = Access::of(target)? else { return Ok(()) };
    access.give(&Fresh::make(target, 0o600)?.file)
}

/// A lock on a file of the state directory, which other users cannot open. Released on drop.
#[derive(Debug)]
pub(crate) struct DirLock(File);

impl DirLock {
    /// Takes the lock exclusively, waiting for another process of the same user.
    pub(crate) fn take(dir: &Dir, name: &str) -> io::Result<Self> {
        let file = Self::open(dir, name)?;
        file.lock()?;
        Ok(Self(file))
    }

    /// Takes the lock shared with other readers.
    pub(crate) fn share(dir: &Dir, name: &str) -> io::Result<Self> {
        let file = Self::open(dir, name)?;
        file.lock_shared()?;
        Ok(Self(file))
    }

    fn open(dir: &Dir, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        Ok(dir.open_with(name, options)?.into_std())
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Explicit for the same reason as above: a child that is being started shares this descriptor.
        drop(self.0.unlock());
    }
}

/// Replaces a file of the state directory atomically and durably.
pub(crate) fn replace_in(dir: &Dir, name: &str, bytes: &[&[u8]]) -> io::Result<()> {
    let fresh = format!(".{name}.{}", unique());
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let written = (|| {
        let mut file = dir.open_with(&fresh, options)?;
        for part in bytes {
            file.write_all(part)?;
        }
        file.sync_all()?;
        dir.rename(&fresh, dir, name)?;
        dir.open(".")?.sync_all()
    })();
    if written.is_err() {
        // Fails harmlessly if it was not created.
        drop(dir.remove_file(&fresh));
    }
    written
}

/// A random part of a file name, since process ids repeat among containers that share a folder.
pub fn unique() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

#[cfg(test)]
#[path = "file_lock_tests.rs"]
mod tests;
