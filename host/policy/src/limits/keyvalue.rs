//! Limits of a plugin's store, and of one use of it.

use super::{GIB, KIB, Limit, MIB};

/// Bytes of bucket names, keys and values in a plugin's store. Set in its grant.
pub const KEYVALUE_BYTES_MAX: Limit = Limit {
    name: "bytes_max",
    default: MIB,
    ceiling: 4 * GIB,
    reason: "a store outlives its calls and fills a disk that others share",
};

/// Entries in a plugin's store. Set in its grant.
pub const KEYVALUE_ENTRIES_MAX: Limit = Limit {
    name: "entries_max",
    default: 10_000,
    ceiling: 10_000_000,
    reason: "an entry costs the disk more than its bytes",
};

/// Bytes of a key in a store, and of a bucket's name.
pub const KEYVALUE_KEY_BYTES_MAX: u64 = KIB;

/// Bytes of a value in a store: it is held whole in the host's memory.
pub const KEYVALUE_VALUE_BYTES_MAX: u64 = MIB;

/// Bytes of one answer of a store, however much is requested at once.
pub const KEYVALUE_ANSWER_BYTES_MAX: u64 = 2 * MIB;

/// Bytes of keys and values in one use of a store, with [`KEYVALUE_EACH_BYTES`] for each.
pub const KEYVALUE_USE_BYTES_MAX: u64 = 8 * MIB;

/// Bytes that an entry counts beside its content: an empty one takes memory as well.
pub const KEYVALUE_EACH_BYTES: u64 = 64;

/// Keys that one answer lists.
pub const KEYVALUE_PAGE: u64 = 1_000;

/// Time a call waits for another process that writes to the same store, in milliseconds.
pub const KEYVALUE_WAIT_MS: u64 = 2_000;

/// Fuel of one read of a store, and of one write, which is on disk before it is acknowledged.
pub const KEYVALUE_READ_FUEL: u64 = 10_000;
/// See [`KEYVALUE_READ_FUEL`].
pub const KEYVALUE_WRITE_FUEL: u64 = 100_000;
