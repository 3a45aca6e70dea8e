//! Quota of a granted folder: counted at load, added to on each growth, and recounted when it seems full, since deletions
//! and truncation on open free quota only then. All growth goes through the folder's account, one change at a time.

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

/// Permission to make a folder grow, created where its pass is.
#[derive(Clone)]
pub(super) struct Growth {
    pub(super) account: Arc<FolderAccount>,
    pub(super) threads: Arc<Threads>,
    pub(super) pass: Pass,
    pub(super) meter: Meter,
    pub(super) notes: CallTrace,
    /// Guest path, for the record.
    pub(super) place: String,
}

/// Reason that a folder may not grow.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrowthError {
    /// The quota is used up.
    #[error(transparent)]
    Full(#[from] QuotaExceededError),
    /// The usage cannot be counted.
    #[error(transparent)]
    Uncountable(#[from] CountError),
    /// File system error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Change that makes a folder grow.
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
/// The folder may not grow now: it exceeds its quota, or cannot be counted.
pub(super) fn check(account: &FolderAccount, room: &Quota) -> Result<(), GrowthError> {
    // If either is taken the folder is in use, and its user counts it when needed.
    let (Some(_turn), Some(still)) = (account.turn_now(), account.still_now()) else { return Ok(()) };
    let usage = account.recount(room.entries_max(), &still)?;
    Ok(room.grow(Usage::default(), usage)?)
}

impl Change {
    /// Bytes and entries needed. A write past the end of a file counts with the gap.
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

    /// Makes the change; truncated bytes are subtracted from the usage.
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

/// Result of a change tried without a recount.
enum Attempted {
    Made(Option<Coming>),
    /// The quota seems used up.
    CountFirst,
}

impl Growth {
    /// Admits one more file, folder or link, which counts as coming until the result is dropped.
    pub(super) async fn enter(self) -> Result<Option<Coming>, GrowthError> {
        self.run(Change::Enter).await
    }

    /// Writes at a position in a file, or at its end, and returns the number of bytes.
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

    /// Sets the length of a file in bytes.
    pub(super) async fn set_size(self, file: Arc<File>, size: u64) -> Result<(), GrowthError> {
        self.run(Change::SetSize { file, size }).await.map(drop)
    }

    /// Makes a change on a blocking thread. Once begun it is completed, even if the caller is cancelled.
    async fn run(self, change: Change) -> Result<Option<Coming>, GrowthError> {
        let stopped = || GrowthError::Io(io::ErrorKind::Interrupted.into());
        let mut turns = Vec::new();
        for account in self.account.related() {
            turns.push(account.turn().await.ok_or_else(stopped)?);
        }
        let threads = Arc::clone(&self.threads);
        // The turns move into the work: it keeps them until it is done, even if the caller is cancelled.
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

    /// Makes the change if the last known usage leaves room for it.
    fn attempt(&self, change: &Change) -> Result<Attempted, GrowthError> {
        let (bytes, entries) = change.needs()?;
        let Some(usage) = self.account.usage() else { return Ok(Attempted::CountFirst) };
        if self.pass.room().grow(usage, grown(usage, bytes, entries)).is_err() {
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
        let usage = counted.inspect_err(|error| {
            tracing::warn!(%error, folder = self.place, "a granted folder cannot be counted and may not grow");
            self.notes.full(&self.place, UNCOUNTABLE);
        })?;
        self.meter.charge(usage.entries.saturating_mul(COUNT_FUEL));
        let (bytes, entries) = change.needs()?;
        if let Err(full) = self.pass.room().grow(usage, grown(usage, bytes, entries)) {
            self.notes.full(&self.place, full.name);
            return Err(full.into());
        }
        self.account.add(bytes, entries);
        Ok(change.make(&self.account)?)
    }
}

/// Name in the record instead of a limit.
const UNCOUNTABLE: &str = "uncountable";

fn grown(usage: Usage, bytes: u64, entries: u64) -> Usage {
    Usage { bytes: usage.bytes.saturating_add(bytes), entries: usage.entries.saturating_add(entries) }
}

/// Warns at load about a folder that may not grow.
pub(super) fn warn(host: &Path, error: &GrowthError) {
    let host = host.display();
    match error {
        GrowthError::Full(full) => tracing::warn!(
            "the folder {host} holds more than it may already and will not grow: {full}; raise it, or take something out"
        ),
        error => tracing::warn!("the folder {host} will not grow: it cannot be counted: {error}"),
    }
}
