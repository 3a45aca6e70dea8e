//! Host memory for a guest's values in transit, in either direction.

use super::keyvalue::KEYVALUE_USE_BYTES_MAX;
use super::{KIB, MIB};

/// Host memory for one call from guest to host, in bytes, whatever the answer's limit: three times the largest text.
pub const LIFT_BYTES_CEILING: u64 = 192 * MIB;

/// Host bytes for each byte of an answer: a list of bytes takes 60 for each byte of its base64, most values fewer.
pub const LIFT_BYTES_EACH: u64 = 64;

/// Bytes of a value in a worker's message for each byte of the answer. An integer takes eight bytes where JSON has a
/// digit and a comma, and values that JSON omits take some as well.
pub const FRAME_BYTES_EACH: u64 = 8;

/// Bytes of an answer beside its content: member names and punctuation.
pub const ANSWER_BYTES: u64 = 64;

/// Bytes of a content block beside its texts, by kind: member names and punctuation.
pub const TEXT_BYTES: u64 = 28;
/// See [`TEXT_BYTES`]: an image, or sound.
pub const MEDIA_BYTES: u64 = 48;
/// See [`TEXT_BYTES`]: a link, with its size.
pub const LINK_BYTES: u64 = 128;
/// See [`TEXT_BYTES`]: a resource.
pub const RESOURCE_BYTES: u64 = 80;
/// See [`TEXT_BYTES`]: the audience of a block.
pub const ANNOTATIONS_BYTES: u64 = 112;

/// Host bytes that lifting an answer of `output_bytes_max` bytes may take.
pub const fn lift_bytes_max(output_bytes_max: u64) -> u64 {
    let bytes = output_bytes_max.saturating_mul(LIFT_BYTES_EACH);
    if bytes > LIFT_BYTES_CEILING { LIFT_BYTES_CEILING } else { bytes }
}

/// Bytes of an answer of `output_bytes_max` bytes in a worker's message.
pub const fn frame_bytes_max(output_bytes_max: u64) -> u64 {
    output_bytes_max.saturating_mul(FRAME_BYTES_EACH)
}

/// Host bytes for the arguments of one import: an answer's content, or entries for a store, which take more in memory
/// than they count.
pub const fn import_bytes_max(output_bytes_max: u64) -> u64 {
    let entries = 2 * KEYVALUE_USE_BYTES_MAX;
    let content = output_bytes_max.saturating_add(MIB);
    if content > entries { content } else { entries }
}

/// Host memory for the arguments of one call as values, in bytes: a byte of a `list<u8>` takes some 40. A list of empty
/// records takes far more than its text, so values are counted as they are made.
pub const ARGUMENT_VALUES_BYTES_MAX: u64 = 128 * MIB;

/// Part of these that is made on the protocol's threads. Larger arguments use the threads for large messages.
pub const SMALL_VALUES_BYTES: u64 = 2 * MIB;

/// Part of these that a call may have without counting against the memory of all calls.
pub const UNCOUNTED_VALUES_BYTES: u64 = 64 * KIB;
