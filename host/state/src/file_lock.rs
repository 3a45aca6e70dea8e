//! One writer at a time for files that people and commands share: `toolgate.lock`, `trust.toml`, `toolgate.toml`. They are read,
//! changed and replaced while a lock beside them is held. Readers need no lock: a file is replaced whole.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::OFlags;
use toolgate_policy::limits::load::{FILE_LOCK_MS, FILE_LOCK_POLL_MS};

use super::access::{Access, AccessError};

/// Exclusive locks on a set of files. Given back when dropped, and by the system when the process ends in any way.
///
/// The lock of `NAME` is a flock on `.NAME.flock` beside it, which others cannot open and which is removed again. What a killed
/// process leaves behind is an ordinary file that nobody holds. Files that are links are followed first, so that every way to a
/// file leads to the same lock.
#[derive(Debug)]
pub struct FileLocks {
    /// In the order of their paths: two commands that want the same files cannot wait for each other.
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    target: PathBuf,
    beside: PathBuf,
    file: File,
}

/// A file cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum FileLockError {
    /// The file system does not let us.
    #[error("lock {0} for a change")]
    Io(PathBuf, #[source] io::Error),
    /// Another process holds the lock and does not let go.
    #[error(
        "lock {0} for a change: another command has been changing it for {seconds} seconds; wait for it, or end it",
        seconds = FILE_LOCK_MS / 1_000
    )]
    Busy(PathBuf),
    /// Somebody else made the file that is locked.
    #[error("lock {0} for a change: {1} belongs to another user; remove it")]
    Owner(PathBuf, PathBuf),
    /// What replaces it could not be read by whoever reads it now.
    #[error("change {0}: {1}; nothing was written")]
    Access(PathBuf, AccessError),
}

impl FileLocks {
    /// Takes the locks of all these files, which need not exist. Waits for other commands, up to a bound. Of each it is tried whether
    /// a file in its place can have its owner, group, mode and access control list.
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
            held.push(Held::take(target, until)?);
        }
        Ok(Self { held })
    }

    /// Replaces one of the locked files. When this returns, the new content is on the disk under the file's name; whoever
    /// reads meanwhile finds the old content or the new. An existing file keeps its owner, group, mode and access control list; a new one
    /// gets mode `mode`, less what the umask takes away.
    ///
    /// # Errors
    /// Whatever the file system says; or that this file is not among the locked ones. The file is as it was then, unless only the last
    /// step failed: to write its folder to the disk.
    pub fn replace(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let target = resolve(path)?;
        if !self.held.iter().any(|held| held.target == target) {
            return Err(io::Error::other("it is not locked by this command, or leads elsewhere by now"));
        }
        let access = Access::of(&target)?;
        let mut fresh = Fresh::make(&target, if access.is_some() { 0o600 } else { mode })?;
        // Before anything is in it.
        access.map_or(Ok(()), |access| access.give(&fresh.file))?;
        fresh.file.write_all(bytes)?;
        fresh.file.sync_all()?;
        std::fs::rename(&fresh.path, &target)?;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Held {
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
                // Who held it before may have removed the file: then its name means another, or none.
                Ok(()) if is_at(&beside, &metadata) => {
                    let held = Self { target, beside, file };
                    return match try_access(&held.target) {
                        // What else is wrong is said when it is written: a lock that cannot be written keeps nothing from being revoked.
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

impl Drop for Held {
    fn drop(&mut self) {
        // Removed while it is held, so that nobody else can hold this very file. If that fails it stays, and does no harm.
        drop(std::fs::remove_file(&self.beside));
        // Explicitly: a process that was being started meanwhile has this descriptor until its program begins.
        drop(self.file.unlock());
    }
}

/// Opens the file that is locked. Others can neither open it nor lead us elsewhere by a link.
fn open(beside: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
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

/// The file that a path means, links followed; a file that does not exist yet by the folder it would be in.
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

/// A file that is about to take another's place: `.NAME.new` beside it. Removed if it does not.
struct Fresh {
    path: PathBuf,
    file: File,
}

impl Fresh {
    /// Makes it. One name is enough while nobody else writes; what a killed command left there is in nobody's way.
    fn make(target: &Path, mode: u32) -> io::Result<Self> {
        let path = beside(target, "new")?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = File::options().write(true).create_new(true).mode(mode).open(&path)?;
        Ok(Self { path, file })
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Nothing is there under this name once it has its own.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Whether a file in place of this one can have the same owner, group, mode and access control list.
fn try_access(target: &Path) -> Result<(), AccessError> {
    let Some(access) = Access::of(target)? else { return Ok(()) };
    access.give(&Fresh::make(target, 0o600)?.file)
}

/// An exclusive lock on a file of the state directory. Given back when dropped. Nobody else can open that file.
#[derive(Debug)]
pub(crate) struct DirLock(File);

impl DirLock {
    /// Takes the lock, waiting for whoever has it: a process of the same user, for a moment.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn take(dir: &Dir, name: &str) -> io::Result<Self> {
        let file = Self::open(dir, name)?;
        file.lock()?;
        Ok(Self(file))
    }

    /// The same, beside others who only read.
    ///
    /// # Errors
    /// Whatever the file system says.
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
        // As above: a process that is being started has this descriptor, too.
        drop(self.0.unlock());
    }
}

/// Replaces a file of the state directory whole, and waits until it is on the disk.
///
/// # Errors
/// Whatever the file system says.
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
        // It may not even be there.
        drop(dir.remove_file(&fresh));
    }
    written
}

/// A part of a name that no other process has: process numbers repeat among containers that share a folder.
pub fn unique() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

#[cfg(test)]
#[path = "file_lock_tests.rs"]
mod tests;
