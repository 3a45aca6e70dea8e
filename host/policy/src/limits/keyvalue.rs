//! What a plugin's store may hold, and what one use of it may bring and take.

use super::{GIB, KIB, Limit, MIB};

/// What a plugin's store may hold, in bytes of buckets' names, keys and values. Set in its grant.
pub const KEYVALUE_BYTES_MAX: Limit = Limit {
    name: "bytes_max",
    default: MIB,
    ceiling: 4 * GIB,
    reason: "a store outlives its calls and fills a disk that others share",
};

/// How many entries it may hold. Set in its grant.
pub const KEYVALUE_ENTRIES_MAX: Limit = Limit {
    name: "entries_max",
    default: 10_000,
    ceiling: 10_000_000,
    reason: "an entry costs the disk more than its bytes",
};

/// Bytes of a key in a store, and of a bucket's name.
pub const KEYVALUE_KEY_BYTES_MAX: u64 = KIB;

/// Bytes of a value in a store: it passes through the host's memory whole.
pub const KEYVALUE_VALUE_BYTES_MAX: u64 = MIB;

/// Bytes that one answer of a store holds at the most, whatever is asked for at once.
pub const KEYVALUE_ANSWER_BYTES_MAX: u64 = 2 * MIB;

/// Bytes that one use of a store brings at the most, keys and values, and [`KEYVALUE_EACH_BYTES`] for each.
pub const KEYVALUE_USE_BYTES_MAX: u64 = 8 * MIB;

/// Bytes that an entry counts beside what is in it: an empty one takes memory as well.
pub const KEYVALUE_EACH_BYTES: u64 = 64;

/// Keys that one answer lists at the most.
pub const KEYVALUE_PAGE: u64 = 1_000;

/// How long a call waits for another process that writes to the same store, in milliseconds.
pub const KEYVALUE_WAIT_MS: u64 = 2_000;

/// Fuel that one look into a store costs, and one change, which is on disk before it is acknowledged.
pub const KEYVALUE_READ_FUEL: u64 = 10_000;
/// See [`KEYVALUE_READ_FUEL`].
pub const KEYVALUE_WRITE_FUEL: u64 = 100_000;
