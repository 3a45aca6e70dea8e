//! A use of the plugin's store, as it is asked for: paid for, asked of the grant, noted, done.

use serde::{Deserialize, Serialize};
use toolgate_policy::capability::attempt::{Attempt, Judged};
use toolgate_policy::capability::keyvalue::{KeyvalueDeniedError, Pass};
use toolgate_policy::limits::keyvalue::{
    KEYVALUE_EACH_BYTES, KEYVALUE_READ_FUEL, KEYVALUE_USE_BYTES_MAX, KEYVALUE_WRITE_FUEL,
};

use crate::imports::host_calls::Broker;
use crate::imports::host_calls::protocol::{BoundedVec, ByteBlob};
use crate::state::keyvalue::KeyvalueError;

/// What is wanted of the store.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum KeyvalueRequest {
    /// To use a bucket at all.
    Open { bucket: String },
    /// The values of keys.
    Get { bucket: String, keys: BoundedVec<String> },
    /// To set all of these, or none.
    Set { bucket: String, entries: BoundedVec<(String, ByteBlob)> },
    /// To delete these.
    Delete { bucket: String, keys: BoundedVec<String> },
    /// Whether a key is there.
    Exists { bucket: String, key: String },
    /// Keys after a cursor.
    Keys { bucket: String, cursor: Option<u64> },
    /// To add to a number.
    Increment { bucket: String, key: String, by: u64 },
}

/// What comes of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum KeyvalueResponse {
    Done,
    Values(Vec<Option<(String, ByteBlob)>>),
    There(bool),
    Page { keys: Vec<String>, cursor: Option<u64> },
    Number(u64),
}

/// Why nothing does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum KeyvalueFault {
    /// No store is granted.
    Denied,
    /// In words for the guest.
    Other(String),
}

impl From<KeyvalueError> for KeyvalueFault {
    fn from(error: KeyvalueError) -> Self {
        if let KeyvalueError::Database(error) = &error {
            tracing::warn!(%error, "a store could not be used");
        }
        Self::Other(error.to_string())
    }
}

impl KeyvalueRequest {
    /// Whether it brings no more than one use may.
    ///
    /// # Errors
    /// [`Refused::Other`].
    pub(crate) fn check(&self) -> Result<(), KeyvalueFault> {
        let bytes: u64 = match self {
            Self::Open { bucket: one } | Self::Exists { key: one, .. } | Self::Increment { key: one, .. } => {
                one.len() as u64
            }
            Self::Get { keys: BoundedVec(keys), .. } | Self::Delete { keys: BoundedVec(keys), .. } => {
                keys.iter().map(|key| key.len() as u64 + KEYVALUE_EACH_BYTES).sum()
            }
            Self::Set { entries: BoundedVec(entries), .. } => {
                let bytes = |(key, ByteBlob(value)): &(String, ByteBlob)| (key.len() + value.len()) as u64;
                entries.iter().map(|entry| bytes(entry) + KEYVALUE_EACH_BYTES).sum()
            }
            Self::Keys { .. } => 0,
        };
        if bytes <= KEYVALUE_USE_BYTES_MAX {
            return Ok(());
        }
        let max = KEYVALUE_USE_BYTES_MAX;
        Err(KeyvalueFault::Other(format!(
            "one use of a store brings {max} bytes at the most; bring less at once"
        )))
    }

    /// What it costs before anything is done.
    fn fuel(&self) -> u64 {
        // The first of several costs what one costs.
        let more = |entries: usize| KEYVALUE_READ_FUEL.saturating_mul(entries.saturating_sub(1) as u64);
        match self {
            Self::Open { .. } | Self::Exists { .. } | Self::Keys { .. } => KEYVALUE_READ_FUEL,
            Self::Get { keys: BoundedVec(keys), .. } => KEYVALUE_READ_FUEL.saturating_add(more(keys.len())),
            Self::Set { entries: BoundedVec(entries), .. } => {
                KEYVALUE_WRITE_FUEL.saturating_add(more(entries.len()))
            }
            Self::Delete { keys: BoundedVec(keys), .. } => {
                KEYVALUE_WRITE_FUEL.saturating_add(more(keys.len()))
            }
            Self::Increment { .. } => KEYVALUE_WRITE_FUEL,
        }
    }
}

impl Broker {
    /// Does something with the plugin's store, if it has one.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) async fn act(&self, act: KeyvalueRequest) -> Result<KeyvalueResponse, KeyvalueFault> {
        self.meter.charge(act.fuel());
        let pass = self.ask_store().map_err(|KeyvalueDeniedError| KeyvalueFault::Denied)?;
        let store = self.powers.store.as_ref().ok_or(KeyvalueFault::Denied)?;
        Ok(match act {
            KeyvalueRequest::Open { bucket } => {
                self.fits(pass, [(bucket.as_str(), 0)])?;
                KeyvalueResponse::Done
            }
            KeyvalueRequest::Get { bucket, keys: BoundedVec(keys) } => {
                let found = store.get(&bucket, keys).await?;
                let bytes = found.iter().flatten().map(|(key, value)| (key.len() + value.len()) as u64);
                self.meter.charge(bytes.sum());
                let told = |(key, value)| (key, ByteBlob(value));
                KeyvalueResponse::Values(found.into_iter().map(|entry| entry.map(told)).collect())
            }
            KeyvalueRequest::Set { bucket, entries: BoundedVec(entries) } => {
                self.fits(pass, entries.iter().map(|(key, ByteBlob(value))| (key.as_str(), value.len())))?;
                let entries = entries.into_iter().map(|(key, ByteBlob(value))| (key, value)).collect();
                store.set(pass, &bucket, entries).await?;
                KeyvalueResponse::Done
            }
            KeyvalueRequest::Delete { bucket, keys: BoundedVec(keys) } => {
                store.delete(pass, &bucket, keys).await?;
                KeyvalueResponse::Done
            }
            KeyvalueRequest::Exists { bucket, key } => {
                KeyvalueResponse::There(store.exists(&bucket, key).await?)
            }
            KeyvalueRequest::Keys { bucket, cursor } => {
                let page = store.keys(&bucket, cursor).await?;
                self.meter.charge(page.keys.iter().map(|key| key.len() as u64).sum());
                KeyvalueResponse::Page { keys: page.keys, cursor: page.cursor }
            }
            KeyvalueRequest::Increment { bucket, key, by } => {
                self.fits(pass, [(key.as_str(), 0)])?;
                KeyvalueResponse::Number(store.increment(pass, &bucket, key, by).await?)
            }
        })
    }

    /// Asks for a use of the store, and notes it.
    fn ask_store(&self) -> Result<Pass, KeyvalueDeniedError> {
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
    ) -> Result<(), KeyvalueError> {
        for (key, value) in entries {
            self.meter.charge((key.len() + value) as u64);
            pass.entry(key.len(), value)?;
        }
        Ok(())
    }
}
