//! `keyvalue`: a store that outlives the call, one for each plugin. Keeping it is the runtime's; how much it may hold is
//! decided here.

use super::Effects;
use crate::Invalid;
use crate::limits::call::{
    KEYVALUE_BYTES_MAX, KEYVALUE_ENTRIES_MAX, KEYVALUE_KEY_BYTES_MAX, KEYVALUE_VALUE_BYTES_MAX,
};

/// Room in the store. Empty: the interface is linked and refuses every use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant(Option<Room>);

/// How much a store may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    bytes_max: u64,
    entries_max: u64,
}

/// What an operator wrote.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoomText {
    /// Keys and values together.
    pub bytes_max: Option<i64>,
    /// Keys.
    pub entries_max: Option<i64>,
}

/// What a store holds. Bytes are those of buckets' names, keys and values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Of all entries together.
    pub bytes: u64,
    /// How many.
    pub entries: u64,
}

/// The guest may use the store, now, within its room.
#[must_use]
#[derive(Debug, Clone, Copy)]
pub struct Pass(Room);

/// No store is granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no room in a store is granted; add to its [plugin.grant]: keyvalue = {{ bytes_max = 1048576 }}")]
pub struct Denied;

/// Something does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// More than the grant gives room for.
    #[error("{name} of the store is {limit}")]
    Store {
        /// The key in the grant.
        name: &'static str,
        /// Its value.
        limit: u64,
    },
    /// One entry too large.
    #[error("{name} is {limit}")]
    Entry {
        /// The limit.
        name: &'static str,
        /// How much it allows, in bytes.
        limit: u64,
    },
}

impl Grant {
    /// Checks what an operator wrote; nothing at all is no room.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub fn new(room: RoomText) -> Result<Self, Vec<Invalid>> {
        let mut problems = Vec::new();
        let mut checked =
            |limit: &crate::limits::Limit, value: Option<i64>| match value.map(|v| limit.check(v)) {
                None => limit.default,
                Some(Ok(value)) => value,
                Some(Err(why)) => {
                    problems.push(Invalid::at(limit.name, why));
                    limit.default
                }
            };
        let granted = room.bytes_max.is_some() || room.entries_max.is_some();
        let room = Room {
            bytes_max: checked(&KEYVALUE_BYTES_MAX, room.bytes_max),
            entries_max: checked(&KEYVALUE_ENTRIES_MAX, room.entries_max),
        };
        if problems.is_empty() { Ok(Self(granted.then_some(room))) } else { Err(problems) }
    }

    /// What it amounts to: what one call writes another reads.
    pub fn effects(&self) -> Effects {
        Effects { reads: self.0.is_some(), writes: self.0.is_some(), reaches_out: false }
    }

    /// Whether a guest may use the store.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn allow(&self) -> Result<Pass, Denied> {
        self.0.map(Pass).ok_or(Denied)
    }
}

impl Pass {
    /// Whether a store that holds `before` may come to hold `after`. It may always shrink, also when the grant has become
    /// smaller than what it holds.
    ///
    /// # Errors
    /// [`Full`], with the limit.
    pub fn grow(&self, before: Held, after: Held) -> Result<(), Full> {
        let Room { bytes_max, entries_max } = self.0;
        let full = |name, limit| Err(Full::Store { name, limit });
        if after.bytes > bytes_max && after.bytes > before.bytes {
            return full(KEYVALUE_BYTES_MAX.name, bytes_max);
        }
        if after.entries > entries_max && after.entries > before.entries {
            return full(KEYVALUE_ENTRIES_MAX.name, entries_max);
        }
        Ok(())
    }

    /// Whether an entry may have a key of `key` bytes and a value of `value` bytes.
    ///
    /// # Errors
    /// [`Full`], with the limit.
    pub fn entry(&self, key: usize, value: usize) -> Result<(), Full> {
        let over = |name, limit: u64| Err(Full::Entry { name, limit });
        if key as u64 > KEYVALUE_KEY_BYTES_MAX {
            return over("the most bytes of a key", KEYVALUE_KEY_BYTES_MAX);
        }
        if value as u64 > KEYVALUE_VALUE_BYTES_MAX {
            return over("the most bytes of a value", KEYVALUE_VALUE_BYTES_MAX);
        }
        Ok(())
    }

    /// How much the store's file may take on disk, in bytes: twice what it may hold, for what a database needs around it.
    pub fn file_bytes_max(&self) -> u64 {
        const EACH: u64 = 256;
        const ITSELF: u64 = 1 << 20;
        let Room { bytes_max, entries_max } = self.0;
        bytes_max.saturating_mul(2).saturating_add(entries_max.saturating_mul(EACH)).saturating_add(ITSELF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(bytes_max: i64, entries_max: i64) -> Pass {
        let room = RoomText { bytes_max: Some(bytes_max), entries_max: Some(entries_max) };
        Grant::new(room).unwrap().allow().unwrap()
    }

    fn held(bytes: u64, entries: u64) -> Held {
        Held { bytes, entries }
    }

    #[test]
    fn an_empty_grant_gives_no_store() {
        assert_eq!(Grant::new(RoomText::default()), Ok(Grant::default()));
        assert_eq!(Grant::default().allow().unwrap_err(), Denied);
        assert_eq!(Grant::default().effects(), Effects::default());
    }

    #[test]
    fn one_of_the_two_bounds_is_enough_for_a_grant() {
        for room in [
            RoomText { bytes_max: Some(1), entries_max: None },
            RoomText { bytes_max: None, entries_max: Some(1) },
        ] {
            assert!(Grant::new(room).unwrap().allow().is_ok());
        }
        let both = RoomText { bytes_max: Some(0), entries_max: Some(-1) };
        assert_eq!(Grant::new(both).unwrap_err().len(), 2);
    }

    #[test]
    fn a_store_grows_up_to_its_room_and_not_beyond() {
        let pass = grant(100, 10);
        for (bytes, fits) in [(99, true), (100, true), (101, false)] {
            assert_eq!(pass.grow(held(50, 1), held(bytes, 1)).is_ok(), fits, "{bytes} bytes");
        }
        for (entries, fits) in [(9, true), (10, true), (11, false)] {
            assert_eq!(pass.grow(held(50, 1), held(50, entries)).is_ok(), fits, "{entries} entries");
        }
    }

    #[test]
    fn a_store_that_holds_too_much_may_shrink() {
        let pass = grant(100, 10);
        assert!(pass.grow(held(500, 50), held(400, 40)).is_ok());
        assert!(pass.grow(held(500, 50), held(501, 40)).is_err());
    }

    #[test]
    fn keys_and_values_have_their_bounds() {
        let pass = grant(100, 10);
        let (key, value) = (KEYVALUE_KEY_BYTES_MAX as usize, KEYVALUE_VALUE_BYTES_MAX as usize);
        assert!(pass.entry(key, value).is_ok());
        assert!(pass.entry(key + 1, 0).is_err());
        assert!(pass.entry(0, value + 1).is_err());
    }
}
