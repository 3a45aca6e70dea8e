//! One account per real folder, for all plugins and paths that reach it: its usage and its open files. An open file
//! uses room until it is closed, even after it is unlinked.
//!
//! A folder nested in another is related to it: growth through either is added to both.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::fs::{Mode, OFlags, fstat, open, openat};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock, Semaphore};
use toolgate_policy::capability::room::Usage;

use super::count::{CountError, Id, count};

/// All accounts in use in this process.
static ACCOUNTS: Mutex<BTreeMap<Id, Weak<FolderAccount>>> = Mutex::new(BTreeMap::new());

/// Ancestors of a folder that are examined at most.
const ABOVE_MAX: usize = 4_096;

/// Account of one folder.
pub(super) struct FolderAccount {
    id: Id,
    /// Ancestors of the folder.
    above: Vec<Id>,
    folder: File,
    /// Usage; `None` if not counted yet, or not countable.
    usage: Mutex<Option<Usage>>,
    open: Mutex<Open>,
    /// Entries that were admitted and may not exist yet.
    coming: AtomicU64,
    /// Serialises changes that make the folder grow.
    turn: Arc<Semaphore>,
    /// Read-locked to open or move, write-locked to count: a count must not miss a file that is being moved, or is open
    /// but not yet registered.
    gate: Arc<RwLock<()>>,
}

/// Open files of an account.
#[derive(Default)]
struct Open {
    files: Vec<OpenFile>,
    /// Number of files at which closed ones are pruned next.
    prune_at: usize,
}

struct OpenFile {
    file: Weak<File>,
    /// Opened below this folder, not only below one of its ancestors.
    is_below: bool,
}

/// Admitted entries that may not exist yet; they count until this is dropped.
pub(super) struct Coming(Vec<Arc<FolderAccount>>);

impl Drop for Coming {
    fn drop(&mut self) {
        for account in &self.0 {
            account.coming.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FolderAccount {
    /// Returns the account of a folder, existing or new.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub(super) fn open(host: &Path) -> std::io::Result<Arc<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = File::from(open(host, flags, Mode::empty())?);
        let id = Id::from(&fstat(&folder)?);
        let mut accounts = locked(&ACCOUNTS);
        accounts.retain(|_, account| account.strong_count() > 0);
        if let Some(account) = accounts.get(&id).and_then(Weak::upgrade) {
            return Ok(account);
        }
        let account = Arc::new(Self {
            id,
            above: above(&folder, id),
            folder,
            usage: Mutex::default(),
            open: Mutex::default(),
            coming: AtomicU64::new(0),
            turn: Arc::new(Semaphore::new(1)),
            gate: Arc::default(),
        });
        accounts.insert(id, Arc::downgrade(&account));
        Ok(account)
    }

    /// This account and those of its ancestors and descendants, always in the same order.
    pub(super) fn related(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let accounts: Vec<_> = locked(&ACCOUNTS).values().filter_map(Weak::upgrade).collect();
        let is_related = |other: &Arc<Self>| {
            other.id == self.id || other.above.contains(&self.id) || self.above.contains(&other.id)
        };
        accounts.into_iter().filter(is_related).collect()
    }

    /// Whether this is the folder of `other`, or an ancestor of it.
    fn contains_folder(&self, other: &Self) -> bool {
        self.id == other.id || other.above.contains(&self.id)
    }

    /// Usage, if known.
    pub(super) fn usage(&self) -> Option<Usage> {
        *locked(&self.usage)
    }

    /// Waits for the turn to make the folder grow.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turn).acquire_owned().await.ok()
    }

    /// Takes the turn if it is free.
    pub(super) fn turn_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turn).try_acquire_owned().ok()
    }

    /// Waits until nothing is being opened or moved below the folder, so that it can be counted.
    pub(super) async fn still(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.gate).write_owned().await
    }

    /// Like [`Self::still`], without waiting.
    pub(super) fn still_now(&self) -> Option<OwnedRwLockWriteGuard<()>> {
        Arc::clone(&self.gate).try_write_owned().ok()
    }

    /// Waits until neither it nor a related folder is being counted, so that something can be opened or moved.
    pub(super) async fn moving(self: &Arc<Self>) -> Vec<OwnedRwLockReadGuard<()>> {
        let mut guards = Vec::new();
        for account in self.related() {
            guards.push(Arc::clone(&account.gate).read_owned().await);
        }
        guards
    }

    /// Registers a file that was opened below the folder.
    pub(super) fn opened(self: &Arc<Self>, file: &Arc<File>) {
        for account in self.related() {
            let is_below = account.contains_folder(self);
            let mut open = locked(&account.open);
            if open.files.len() >= open.prune_at {
                open.files.retain(|one| one.file.strong_count() > 0);
                open.prune_at = open.files.len().saturating_mul(2).max(64);
            }
            open.files.push(OpenFile { file: Arc::downgrade(file), is_below });
        }
    }

    /// Adds the usage of a change through this folder, here and in related folders.
    pub(super) fn add(self: &Arc<Self>, bytes: u64, entries: u64) {
        for account in self.related() {
            if let Some(usage) = locked(&account.usage).as_mut() {
                usage.bytes = usage.bytes.saturating_add(bytes);
                usage.entries = usage.entries.saturating_add(entries);
            }
        }
    }

    /// Subtracts bytes truncated from a file below this folder, here and in ancestors. Whether a nested folder
    /// contained the file is unknown until that folder is counted.
    pub(super) fn take_away(self: &Arc<Self>, bytes: u64) {
        for account in self.related().iter().filter(|account| account.contains_folder(self)) {
            if let Some(usage) = locked(&account.usage).as_mut() {
                usage.bytes = usage.bytes.saturating_sub(bytes);
            }
        }
    }

    /// Counts an entry as coming until the result is dropped.
    pub(super) fn coming(self: &Arc<Self>) -> Coming {
        let related = self.related();
        for account in &related {
            account.coming.fetch_add(1, Ordering::SeqCst);
        }
        Coming(related)
    }

    /// Counts the usage, stopping after `entries_max` entries. The caller has the turn and prevents moves.
    ///
    /// # Errors
    /// The usage could not be counted, and is unknown until a count succeeds.
    pub(super) fn recount(
        &self,
        entries_max: u64,
        _still: &OwnedRwLockWriteGuard<()>,
    ) -> Result<Usage, CountError> {
        *locked(&self.usage) = None;
        let open = self.open_files();
        let ids: HashSet<Id> = open.keys().copied().collect();
        let counted = count(self.folder.as_fd(), entries_max, &ids)?;
        let mut usage = counted.usage;
        let unnamed = open.iter().filter(|(id, _)| !counted.named.contains(id));
        for (_, bytes) in unnamed {
            usage.bytes = usage.bytes.saturating_add(*bytes);
            usage.entries = usage.entries.saturating_add(1);
        }
        usage.entries = usage.entries.saturating_add(self.coming.load(Ordering::SeqCst));
        // A count that stopped early is not stored: another grant may allow more entries.
        if counted.usage.entries <= entries_max {
            *locked(&self.usage) = Some(usage);
        }
        Ok(usage)
    }

    /// Open files that use room in this folder if they have no name in it, with their lengths.
    fn open_files(&self) -> HashMap<Id, u64> {
        let files: Vec<_> = {
            let open = locked(&self.open);
            open.files.iter().filter_map(|one| Some((one.file.upgrade()?, one.is_below))).collect()
        };
        let mut lengths = HashMap::new();
        for (file, is_below) in files {
            let Ok(stat) = fstat(&file) else { continue };
            // A file that has a name and was opened through an ancestor may be outside this folder.
            if is_below || stat.st_nlink == 0 {
                lengths.insert(Id::from(&stat), u64::try_from(stat.st_size).unwrap_or(u64::MAX));
            }
        }
        lengths
    }
}

/// Ancestors of a folder, found by going up until this process has no access.
fn above(folder: &File, id: Id) -> Vec<Id> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let (mut ids, mut last) = (Vec::new(), id);
    let mut next = openat(folder, "..", flags, Mode::empty());
    while let Ok(here) = next {
        let Ok(stat) = fstat(&here) else { break };
        let id = Id::from(&stat);
        // The parent of the root is the root.
        if id == last || ids.len() >= ABOVE_MAX {
            break;
        }
        ids.push(id);
        last = id;
        next = openat(&here, "..", flags, Mode::empty());
    }
    ids
}
