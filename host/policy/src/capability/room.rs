//! Quota of what outlives a call: a writable folder, a store.

use crate::InvalidValueError;
use crate::limits::Limit;

/// Upper bounds on bytes and entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    bytes_max: u64,
    entries_max: u64,
}

/// A quota as the operator wrote it.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuotaText {
    /// Bytes of all entries together.
    pub bytes_max: Option<i64>,
    /// Number of files and folders, or of keys.
    pub entries_max: Option<i64>,
}

/// Current size of a folder or store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all entries together.
    pub bytes: u64,
    /// Number of entries.
    pub entries: u64,
}

/// A change that would exceed the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{name} of the grant is {limit}")]
pub struct QuotaExceededError {
    /// Key of the limit in the grant.
    pub name: &'static str,
    /// Value of the limit.
    pub limit: u64,
}

impl Quota {
    /// Checks what an operator wrote; a missing key takes the limit's default. Names everything that is wrong, each
    /// with its key.
    pub fn new(text: QuotaText, bytes: &Limit, entries: &Limit) -> Result<Self, Vec<InvalidValueError>> {
        let mut problems = Vec::new();
        let mut checked = |name, limit: &Limit, value: Option<i64>| match value.map(|v| limit.check(v)) {
            None => limit.default,
            Some(Ok(value)) => value,
            Some(Err(why)) => {
                problems.push(InvalidValueError::at(name, why));
                limit.default
            }
        };
        let room = Self {
            bytes_max: checked(BYTES_MAX, bytes, text.bytes_max),
            entries_max: checked(ENTRIES_MAX, entries, text.entries_max),
        };
        if problems.is_empty() { Ok(room) } else { Err(problems) }
    }

    /// A quota of the limits' defaults.
    pub(super) fn by_default(bytes: &Limit, entries: &Limit) -> Self {
        Self { bytes_max: bytes.default, entries_max: entries.default }
    }

    /// The bounds that differ from `default`: keys and values.
    pub(super) fn beside(&self, default: Self) -> Vec<(&'static str, u64)> {
        let bounds = [
            (BYTES_MAX, self.bytes_max, default.bytes_max),
            (ENTRIES_MAX, self.entries_max, default.entries_max),
        ];
        bounds
            .into_iter()
            .filter(|(_, is, by_default)| is != by_default)
            .map(|(key, is, _)| (key, is))
            .collect()
    }

    /// Limit in bytes.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Limit in entries.
    pub fn entries_max(&self) -> u64 {
        self.entries_max
    }

    /// Checks that usage may go from `before` to `after`. Shrinking is always allowed, even above the quota.
    pub fn grow(&self, before: Usage, after: Usage) -> Result<(), QuotaExceededError> {
        if after.bytes > self.bytes_max && after.bytes > before.bytes {
            return Err(QuotaExceededError { name: BYTES_MAX, limit: self.bytes_max });
        }
        // Counting stops above `entries_max`, without the bytes of the uncounted rest. So bytes may not grow either.
        let grows = after.entries > before.entries || after.bytes > before.bytes;
        if after.entries > self.entries_max && grows {
            return Err(QuotaExceededError { name: ENTRIES_MAX, limit: self.entries_max });
        }
        Ok(())
    }
}

const BYTES_MAX: &str = "bytes_max";
const ENTRIES_MAX: &str = "entries_max";

#[cfg(test)]
mod tests {
    use super::*;

    fn held(bytes: u64, entries: u64) -> Usage {
        Usage { bytes, entries }
    }

    const ROOM: Quota = Quota { bytes_max: 100, entries_max: 10 };

    #[test]
    fn it_grows_up_to_its_room_and_not_beyond() {
        for (bytes, fits) in [(99, true), (100, true), (101, false)] {
            assert_eq!(ROOM.grow(held(50, 1), held(bytes, 1)).is_ok(), fits, "{bytes} bytes");
        }
        for (entries, fits) in [(9, true), (10, true), (11, false)] {
            assert_eq!(ROOM.grow(held(50, 1), held(50, entries)).is_ok(), fits, "{entries} entries");
        }
    }

    #[test]
    fn what_holds_too_much_may_shrink() {
        assert!(ROOM.grow(held(500, 50), held(400, 40)).is_ok());
        assert!(ROOM.grow(held(500, 50), held(501, 40)).is_err());
        assert!(ROOM.grow(held(500, 50), held(400, 51)).is_err());
        assert!(ROOM.grow(held(5, 11), held(6, 11)).is_err(), "too many to be counted to the end");
    }
}
