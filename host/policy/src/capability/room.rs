//! How much something that outlives the call may hold: a folder that a guest may change, a store.

use crate::InvalidValueError;
use crate::limits::Limit;

/// How much it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    bytes_max: u64,
    entries_max: u64,
}

/// What an operator wrote.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuotaText {
    /// All of it together.
    pub bytes_max: Option<i64>,
    /// Files and folders, or keys.
    pub entries_max: Option<i64>,
}

/// What it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of all entries together.
    pub bytes: u64,
    /// How many.
    pub entries: u64,
}

/// It would hold more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{name} of the grant is {limit}")]
pub struct QuotaExceededError {
    /// The key in the grant.
    pub name: &'static str,
    /// Its value.
    pub limit: u64,
}

impl Quota {
    /// Checks what an operator wrote; what is left out is as much as the limit's default.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
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

    /// As much as where nothing is written.
    pub(super) fn by_default(bytes: &Limit, entries: &Limit) -> Self {
        Self { bytes_max: bytes.default, entries_max: entries.default }
    }

    /// What differs from the defaults: keys and their values.
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

    /// In bytes.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// In entries.
    pub fn entries_max(&self) -> u64 {
        self.entries_max
    }

    /// Whether what holds `before` may come to hold `after`. It may always shrink, also when it holds more than it may.
    ///
    /// # Errors
    /// [`QuotaExceededError`], with the limit.
    pub fn grow(&self, before: Usage, after: Usage) -> Result<(), QuotaExceededError> {
        if after.bytes > self.bytes_max && after.bytes > before.bytes {
            return Err(QuotaExceededError { name: BYTES_MAX, limit: self.bytes_max });
        }
        // Who counts stops where there are too many, and has not seen the bytes of the rest: those may not grow either.
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
