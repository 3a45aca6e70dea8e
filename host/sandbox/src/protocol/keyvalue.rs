//! Requests and responses of `keyvalue`.

use serde::{Deserialize, Serialize};
use toolgate_policy::limits::keyvalue::{
    KEYVALUE_EACH_BYTES, KEYVALUE_READ_FUEL, KEYVALUE_USE_BYTES_MAX, KEYVALUE_WRITE_FUEL,
};

use super::blob::{BoundedVec, ByteBlob};

/// A use of the plugin's store.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum KeyvalueRequest {
    Open {
        bucket: String,
    },
    Get {
        bucket: String,
        keys: BoundedVec<String>,
    },
    /// Sets all of these, or none.
    Set {
        bucket: String,
        entries: BoundedVec<(String, ByteBlob)>,
    },
    Delete {
        bucket: String,
        keys: BoundedVec<String>,
    },
    Exists {
        bucket: String,
        key: String,
    },
    /// Lists keys after a cursor.
    Keys {
        bucket: String,
        cursor: Option<u64>,
    },
    /// Adds to a number.
    Increment {
        bucket: String,
        key: String,
        by: u64,
    },
}

/// The result of a use.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum KeyvalueResponse {
    Done,
    Values(Vec<Option<(String, ByteBlob)>>),
    There(bool),
    Page { keys: Vec<String>, cursor: Option<u64> },
    Number(u64),
}

/// Reason that a use failed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum KeyvalueFault {
    /// No store is granted.
    Denied,
    /// Text for the guest.
    Other(String),
}

impl KeyvalueRequest {
    /// Checks the total size against the limit of one request.
    ///
    /// # Errors
    /// [`KeyvalueFault::Other`].
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

    /// Fuel that this costs before anything is done.
    pub(crate) fn fuel(&self) -> u64 {
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
