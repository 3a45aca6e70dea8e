//! How much a granted folder holds: counted when it is opened, added to at each growth, and counted again when it seems to
//! be full, since what is deleted or cut short gives its room back only then. All growth of a folder by one plugin goes
//! through here, one piece at a time.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tokio::sync::Semaphore;
use toolgate_policy::capability::room::{Full, Held, Room};
use toolgate_policy::limits::call::COUNT_FUEL;

use super::threads::Threads;
use crate::audit::record::Notes;
use crate::meter::Meter;

/// What one granted folder holds.
pub(super) struct Quota {
    folder: Dir,
    held: Mutex<Held>,
    /// One at a time: a plugin that waits for its disk takes one thread and no more.
    turn: Arc<Semaphore>,
    threads: Arc<Threads>,
}

/// A guest that is about to make a folder grow. Made where the pass for it is.
#[derive(Clone)]
pub(super) struct Growth {
    pub(super) quota: Arc<Quota>,
    pub(super) room: Room,
    pub(super) meter: Meter,
    pub(super) notes: Notes,
    /// Where, for the record.
    pub(super) place: String,
}

/// Why it does not grow.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotGrown {
    /// There is no room for it.
    #[error(transparent)]
    Full(#[from] Full),
    /// The file system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Quota {
    /// Counts what a folder holds.
    ///
    /// # Errors
    /// That it cannot be read, or holds more than it may already.
    pub(super) fn open(host: &str, room: &Room, threads: &Arc<Threads>) -> Result<Self, NotGrown> {
        let folder = Dir::open_ambient_dir(host, ambient_authority())?;
        let held = count(&folder, room.entries_max())?;
        room.grow(Held::default(), held)?;
        let turn = Arc::new(Semaphore::new(1));
        Ok(Self { folder, held: Mutex::new(held), turn, threads: Arc::clone(threads) })
    }
}

impl Growth {
    /// One more file, folder or link.
    ///
    /// # Errors
    /// [`NotGrown`].
    pub(super) async fn enter(self) -> Result<(), NotGrown> {
        self.run(|growth, held| growth.admit(held, 0, 1)).await
    }

    /// Writes at a place in a file, or at its end, and says how much. What comes after bytes that are not there counts with
    /// the gap.
    ///
    /// # Errors
    /// [`NotGrown`].
    pub(super) async fn write(
        self,
        file: Arc<std::fs::File>,
        at: Option<u64>,
        bytes: Bytes,
    ) -> Result<usize, NotGrown> {
        self.run(move |growth, held| {
            let size = file.metadata()?.len();
            let at = at.unwrap_or(size);
            let end = at.saturating_add(bytes.len() as u64);
            growth.admit(held, end.saturating_sub(size), 0)?;
            file.write_all_at(&bytes, at)?;
            Ok(bytes.len())
        })
        .await
    }

    /// Makes a file so long. What is cut off gives its room back.
    ///
    /// # Errors
    /// [`NotGrown`].
    pub(super) async fn set_size(self, file: Arc<std::fs::File>, size: u64) -> Result<(), NotGrown> {
        self.run(move |growth, held| {
            let before = file.metadata()?.len();
            growth.admit(held, size.saturating_sub(before), 0)?;
            file.set_len(size)?;
            held.bytes = held.bytes.saturating_sub(before.saturating_sub(size));
            Ok(())
        })
        .await
    }

    /// Grows the account, counting anew what the folder holds before it says no.
    fn admit(&self, held: &mut Held, bytes: u64, entries: u64) -> Result<(), NotGrown> {
        let grown = |held: Held| Held {
            bytes: held.bytes.saturating_add(bytes),
            entries: held.entries.saturating_add(entries),
        };
        if self.room.grow(*held, grown(*held)).is_err() {
            *held = count(&self.quota.folder, self.room.entries_max())?;
            self.meter.charge(held.entries.saturating_mul(COUNT_FUEL));
            if let Err(full) = self.room.grow(*held, grown(*held)) {
                self.notes.full(&self.place, full.name);
                return Err(full.into());
            }
        }
        *held = grown(*held);
        Ok(())
    }

    /// Does something on a thread that may wait. Once begun it is done to its end, also when nobody waits any more.
    async fn run<T: Send + 'static>(
        self,
        act: impl FnOnce(&Self, &mut Held) -> Result<T, NotGrown> + Send + 'static,
    ) -> Result<T, NotGrown> {
        let stopped = || NotGrown::Io(io::ErrorKind::Interrupted.into());
        let turn = Arc::clone(&self.quota.turn).acquire_owned().await.map_err(|_| stopped())?;
        let threads = Arc::clone(&self.quota.threads);
        let acted = threads.spawn(move || {
            // Held until it is done, and not only for as long as somebody waits.
            let _turn = turn;
            let mut held = self.quota.held.lock().unwrap_or_else(PoisonError::into_inner);
            act(&self, &mut held)
        });
        acted.await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// What lies below a folder, until it is more than it may be. Links are not followed; what may not be looked into cannot be
/// made to grow either.
fn count(folder: &Dir, entries_max: u64) -> io::Result<Held> {
    let mut held = Held::default();
    let mut below = vec![PathBuf::new()];
    while let Some(path) = below.pop() {
        let inside = if path.as_os_str().is_empty() { folder.try_clone() } else { folder.open_dir(&path) };
        let entries = match inside.and_then(|inside| inside.entries()) {
            Err(error) if is_passing(&error) => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Err(error) if is_passing(&error) => continue,
                metadata => metadata?,
            };
            held.entries += 1;
            if metadata.is_file() {
                held.bytes = held.bytes.saturating_add(metadata.len());
            }
            if metadata.is_dir() {
                below.push(Path::join(&path, entry.file_name()));
            }
            if held.entries > entries_max {
                return Ok(held);
            }
        }
    }
    Ok(held)
}

/// Gone meanwhile, or closed to this process.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_folders_and_links_are_counted_and_links_are_not_followed() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(base.path().join("a/b")).unwrap();
        std::fs::write(base.path().join("a/b/file"), [0; 100]).unwrap();
        std::fs::File::create(base.path().join("sparse")).unwrap().set_len(1 << 40).unwrap();
        symlink("/usr", base.path().join("link")).unwrap();
        let folder = Dir::open_ambient_dir(base.path(), ambient_authority()).unwrap();
        assert_eq!(count(&folder, 100).unwrap(), Held { bytes: (1 << 40) + 100, entries: 5 });
        assert_eq!(count(&folder, 2).unwrap().entries, 3, "it stops where it is too much");
    }
}
