//! What the host holds of a guest's values while they are on their way.

use super::MIB;
use super::call::KEYVALUE_USE_BYTES_MAX;

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
