//! What the host holds of a guest's values while they are on their way, in either direction.

use super::call::KEYVALUE_USE_BYTES_MAX;
use super::{KIB, MIB};

/// Host memory for one crossing from guest to host, in bytes: a value tree costs about 48 bytes an element where the
/// JSON costs one, and never more than this.
pub const LIFT_BYTES_CEILING: u64 = 128 * MIB;

/// Host bytes that lifting an answer of `output_bytes_max` bytes may take.
pub const fn lift_bytes_max(output_bytes_max: u64) -> u64 {
    let bytes = output_bytes_max.saturating_mul(48);
    if bytes > LIFT_BYTES_CEILING { LIFT_BYTES_CEILING } else { bytes }
}

/// Host bytes that what a guest says to one import may take: an answer's content, or entries for a store, which take more in
/// memory than they count.
pub const fn import_bytes_max(output_bytes_max: u64) -> u64 {
    let entries = 2 * KEYVALUE_USE_BYTES_MAX;
    let content = output_bytes_max.saturating_add(MIB);
    if content > entries { content } else { entries }
}

/// Host memory for the arguments of one call as values, in bytes: a byte of a `list<u8>` takes some 40. A list of empty
/// records takes far more than its text, so it is counted while it is made.
pub const ARGUMENT_VALUES_BYTES_MAX: u64 = 128 * MIB;

/// … as many as are made on the protocol's threads. Larger arguments are made on the threads of large messages.
pub const SMALL_VALUES_BYTES: u64 = 2 * MIB;

/// … as many as a call holds without being counted among what all calls together may hold.
pub const UNCOUNTED_VALUES_BYTES: u64 = 64 * KIB;
