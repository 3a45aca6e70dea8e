//! How much a granted folder may hold: counted at load, added to at each growth, and counted again when it seems to be full,
//! since what is deleted or cut short gives its room back only then. All growth of a folder goes through its account, one
//! change at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedRwLockWriteGuard;
use toolgate_base::meter::Meter;
use toolgate_policy::capability::files::Pass;
use toolgate_policy::capability::room::{Quota, QuotaExceededError, Usage};
use toolgate_policy::limits::call::COUNT_FUEL;
use toolgate_state::audit::record::CallTrace;

use super::account::{Coming, FolderAccount};
use super::count::CountError;
use super::threads::Threads;

/// A guest that is about to make a folder grow. Made where the pass for it is.
#[derive(Clone)]
pub(super) struct Growth {
    pub(super) account: Arc<FolderAccount>,
    pub(super) threads: Arc<Threads>,
    pub(super) pass: Pass,
    pub(super) meter: Meter,
    pub(super) notes: CallTrace,
    /// Where, for the record.
    pub(super) place: String,
}

/// Why it does not grow.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrowthError {
    /// There is no room for it.
    #[error(transparent)]
    Full(#[from] QuotaExceededError),
    /// Nobody can say whether there is.
    #[error(transparent)]
    Uncountable(#[from] CountError),
    /// The file system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A change that makes a folder grow.
enum Change {
    /// One more file, folder or link.
    Enter,
    Write {
        file: Arc<File>,
        at: Option<u64>,
        bytes: Bytes,
    },
    SetSize {
        file: Arc<File>,
        size: u64,
    },
}

/// Counts a folder at load.
///
/// # Errors
/// Why it may not grow now: it holds more than it may, or cannot be counted.
pub(super) fn check(account: &FolderAccount, room: &Quota) -> Result<(), GrowthError> {
    // Whoever has them is using the folder, and counts it when that is needed.
    let (Some(_turn), Some(still)) = (account.turn_now(), account.still_now()) else { return Ok(()) };
    let held = account.recount(room.entries_max(), &still)?;
    Ok(room.grow(Usage::default(), held)?)
}

impl Change {
    /// Bytes and entries that it takes. What comes after bytes that are not there counts with the gap.
    fn needs(&self) -> io::Result<(u64, u64)> {
        Ok(match self {
            Self::Enter => (0, 1),
            Self::Write { file, at, bytes } => {
                let size = file.metadata()?.len();
                let end = at.unwrap_or(size).saturating_add(bytes.len() as u64);
                (end.saturating_sub(size), 0)
            }
            Self::SetSize { file, size } => (size.saturating_sub(file.metadata()?.len()), 0),
        })
    }

    /// Makes the change. What is cut off gives its room back.
    fn make(&self, account: &Arc<FolderAccount>) -> io::Result<Option<Coming>> {
        match self {
            Self::Enter => Ok(Some(account.coming())),
            Self::Write { file, at, bytes } => {
                let at = match at {
                    Some(at) => *at,
                    None => file.metadata()?.len(),
                };
                file.write_all_at(bytes, at)?;
                Ok(None)
            }
            Self::SetSize { file, size } => {
                let before = file.metadata()?.len();
                file.set_len(*size)?;
                account.take_away(before.saturating_sub(*size));
                Ok(None)
            }
        }
    }
}

/// What came of a change for which nothing was counted.
enum Attempted {
    Made(Option<Coming>),
    /// There seems to be no room for it.
    CountFirst,
}

impl Growth {
    /// One more file, folder or link, which counts as coming until the answer is dropped.
    ///
    /// # Errors
    /// [`GrowthError`].
    pub(super) async fn enter(self) -> Result<Option<Coming>, GrowthError> {
        self.run(Change::Enter).await
    }

    /// Writes at a place in a file, or at its end, and says how much.
    ///
    /// # Errors
    /// [`GrowthError`].
    pub(super) async fn write(
        self,
        file: Arc<File>,
        at: Option<u64>,
        bytes: Bytes,
    ) -> Result<usize, GrowthError> {
        let len = bytes.len();
        self.run(Change::Write { file, at, bytes }).await?;
        Ok(len)
    }

    /// Makes a file so long.
    ///
    /// # Errors
    /// [`GrowthError`].
    pub(super) async fn set_size(self, file: Arc<File>, size: u64) -> Result<(), GrowthError> {
        self.run(Change::SetSize { file, size }).await.map(drop)
    }

    /// Makes a change on a thread that may wait. Once begun it is done to its end, also when nobody waits any more.
    async fn run(self, change: Change) -> Result<Option<Coming>, GrowthError> {
        let stopped = || GrowthError::Io(io::ErrorKind::Interrupted.into());
        let mut turns = Vec::new();
        for account in self.account.related() {
            turns.push(account.turn().await.ok_or_else(stopped)?);
        }
        let threads = Arc::clone(&self.threads);
        // They travel with the work: what has begun keeps its turns, and not only for as long as somebody waits.
        let work = Arc::new((self, change, turns));
        let first = Arc::clone(&work);
        let made = threads.spawn(move || {
            let (growth, change, _turns) = &*first;
            growth.attempt(change)
        });
        if let Attempted::Made(coming) = made.await.map_err(|_| stopped())?? {
            return Ok(coming);
        }
        let still = work.0.account.still().await;
        let made = threads.spawn(move || {
            let (growth, change, _turns) = &*work;
            growth.attempt_after_count(change, &still)
        });
        made.await.map_err(|_| stopped())?
    }

    /// Makes the change if there seems to be room for it.
    fn attempt(&self, change: &Change) -> Result<Attempted, GrowthError> {
        let (bytes, entries) = change.needs()?;
        let Some(held) = self.account.held() else { return Ok(Attempted::CountFirst) };
        if self.pass.room().grow(held, grown(held, bytes, entries)).is_err() {
            return Ok(Attempted::CountFirst);
        }
        self.account.add(bytes, entries);
        Ok(Attempted::Made(change.make(&self.account)?))
    }

    fn attempt_after_count(
        &self,
        change: &Change,
        still: &OwnedRwLockWriteGuard<()>,
    ) -> Result<Option<Coming>, GrowthError> {
        let counted = self.account.recount(self.pass.room().entries_max(), still);
        let held = counted.inspect_err(|error| {
            tracing::warn!(%error, folder = self.place, "a granted folder cannot be counted and may not grow");
            self.notes.full(&self.place, UNCOUNTABLE);
        })?;
        self.meter.charge(held.entries.saturating_mul(COUNT_FUEL));
        let (bytes, entries) = change.needs()?;
        if let Err(full) = self.pass.room().grow(held, grown(held, bytes, entries)) {
            self.notes.full(&self.place, full.name);
            return Err(full.into());
        }
        self.account.add(bytes, entries);
        Ok(change.make(&self.account)?)
    }
}

/// What the record of a call says instead of a limit.
const UNCOUNTABLE: &str = "uncountable";

fn grown(held: Usage, bytes: u64, entries: u64) -> Usage {
    Usage { bytes: held.bytes.saturating_add(bytes), entries: held.entries.saturating_add(entries) }
}

/// What to say of a folder that may not grow, at load.
pub(super) fn warn(host: &Path, error: &GrowthError) {
    let host = host.display();
    match error {
        GrowthError::Full(full) => tracing::warn!(
            "the folder {host} holds more than it may already and will not grow: {full}; raise it, or take something out"
        ),
        error => tracing::warn!("the folder {host} will not grow: it cannot be counted: {error}"),
    }
}
