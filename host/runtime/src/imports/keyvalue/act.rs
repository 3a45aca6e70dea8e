//! A use of the plugin's store, as it is asked for: paid for, asked of the grant, noted, done.

use serde::{Deserialize, Serialize};
use toolgate_policy::capability::attempt::{Attempt, Judged};
use toolgate_policy::capability::keyvalue::{Denied, Pass};
use toolgate_policy::limits::keyvalue::{
    KEYVALUE_EACH_BYTES, KEYVALUE_READ_FUEL, KEYVALUE_USE_BYTES_MAX, KEYVALUE_WRITE_FUEL,
};

use crate::imports::outside::Here;
use crate::imports::outside::words::{Blob, Many};
use crate::state::keyvalue::NotDone;

/// What is wanted of the store.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Act {
    /// To use a bucket at all.
    Open { bucket: String },
    /// The values of keys.
    Get { bucket: String, keys: Many<String> },
    /// To set all of these, or none.
    Set { bucket: String, entries: Many<(String, Blob)> },
    /// To delete these.
    Delete { bucket: String, keys: Many<String> },
    /// Whether a key is there.
    Exists { bucket: String, key: String },
    /// Keys after a cursor.
    Keys { bucket: String, cursor: Option<u64> },
    /// To add to a number.
    Increment { bucket: String, key: String, by: u64 },
}

/// What comes of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Came {
    Done,
    Values(Vec<Option<(String, Blob)>>),
    There(bool),
    Page { keys: Vec<String>, cursor: Option<u64> },
    Number(u64),
}

/// Why nothing does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Refused {
    /// No store is granted.
    Denied,
    /// In words for the guest.
    Other(String),
}

impl From<NotDone> for Refused {
    fn from(error: NotDone) -> Self {
        if let NotDone::Database(error) = &error {
            tracing::warn!(%error, "a store could not be used");
        }
        Self::Other(error.to_string())
    }
}

impl Act {
    /// Whether it brings no more than one use may.
    ///
    /// # Errors
    /// [`Refused::Other`].
    pub(crate) fn check(&self) -> Result<(), Refused> {
        let bytes: u64 = match self {
            Self::Open { bucket: one } | Self::Exists { key: one, .. } | Self::Increment { key: one, .. } => {
                one.len() as u64
            }
            Self::Get { keys: Many(keys), .. } | Self::Delete { keys: Many(keys), .. } => {
                keys.iter().map(|key| key.len() as u64 + KEYVALUE_EACH_BYTES).sum()
            }
            Self::Set { entries: Many(entries), .. } => {
                let bytes = |(key, Blob(value)): &(String, Blob)| (key.len() + value.len()) as u64;
                entries.iter().map(|entry| bytes(entry) + KEYVALUE_EACH_BYTES).sum()
            }
            Self::Keys { .. } => 0,
        };
        if bytes <= KEYVALUE_USE_BYTES_MAX {
            return Ok(());
        }
        let max = KEYVALUE_USE_BYTES_MAX;
        Err(Refused::Other(format!("one use of a store brings {max} bytes at the most; bring less at once")))
    }

    /// What it costs before anything is done.
    fn fuel(&self) -> u64 {
        // The first of several costs what one costs.
        let more = |entries: usize| KEYVALUE_READ_FUEL.saturating_mul(entries.saturating_sub(1) as u64);
        match self {
            Self::Open { .. } | Self::Exists { .. } | Self::Keys { .. } => KEYVALUE_READ_FUEL,
            Self::Get { keys: Many(keys), .. } => KEYVALUE_READ_FUEL.saturating_add(more(keys.len())),
            Self::Set { entries: Many(entries), .. } => {
                KEYVALUE_WRITE_FUEL.saturating_add(more(entries.len()))
            }
            Self::Delete { keys: Many(keys), .. } => KEYVALUE_WRITE_FUEL.saturating_add(more(keys.len())),
            Self::Increment { .. } => KEYVALUE_WRITE_FUEL,
        }
    }
}

impl Here {
    /// Does something with the plugin's store, if it has one.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) async fn act(&self, act: Act) -> Result<Came, Refused> {
        self.meter.charge(act.fuel());
        let pass = self.ask_store().map_err(|Denied| Refused::Denied)?;
        let store = self.powers.store.as_ref().ok_or(Refused::Denied)?;
        Ok(match act {
            Act::Open { bucket } => {
                self.fits(pass, [(bucket.as_str(), 0)])?;
                Came::Done
            }
            Act::Get { bucket, keys: Many(keys) } => {
                let found = store.get(&bucket, keys).await?;
                let bytes = found.iter().flatten().map(|(key, value)| (key.len() + value.len()) as u64);
                self.meter.charge(bytes.sum());
                let told = |(key, value)| (key, Blob(value));
                Came::Values(found.into_iter().map(|entry| entry.map(told)).collect())
            }
            Act::Set { bucket, entries: Many(entries) } => {
                self.fits(pass, entries.iter().map(|(key, Blob(value))| (key.as_str(), value.len())))?;
                let entries = entries.into_iter().map(|(key, Blob(value))| (key, value)).collect();
                store.set(pass, &bucket, entries).await?;
                Came::Done
            }
            Act::Delete { bucket, keys: Many(keys) } => {
                store.delete(pass, &bucket, keys).await?;
                Came::Done
            }
            Act::Exists { bucket, key } => Came::There(store.exists(&bucket, key).await?),
            Act::Keys { bucket, cursor } => {
                let page = store.keys(&bucket, cursor).await?;
                self.meter.charge(page.keys.iter().map(|key| key.len() as u64).sum());
                Came::Page { keys: page.keys, cursor: page.cursor }
            }
            Act::Increment { bucket, key, by } => {
                self.fits(pass, [(key.as_str(), 0)])?;
                Came::Number(store.increment(pass, &bucket, key, by).await?)
            }
        })
    }

    /// Asks for a use of the store, and notes it.
    fn ask_store(&self) -> Result<Pass, Denied> {
        let allowed = self.powers.keyvalue.allow();
        let judged = if allowed.is_ok() { Judged::Allowed } else { Judged::Refused };
        self.notes.attempt(Attempt::Keyvalue, judged);
        allowed
    }

    /// Whether these entries may be at all.
    fn fits<'e>(
        &self,
        pass: Pass,
        entries: impl IntoIterator<Item = (&'e str, usize)>,
    ) -> Result<(), NotDone> {
        for (key, value) in entries {
            self.meter.charge((key.len() + value) as u64);
            pass.entry(key.len(), value)?;
        }
        Ok(())
    }
}
