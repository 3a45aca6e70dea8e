//! What the host holds of a guest's values while they are on their way, in either direction.

use super::keyvalue::KEYVALUE_USE_BYTES_MAX;
use super::{KIB, MIB};

/// Host memory for one crossing from guest to host, in bytes, whatever an answer may have: three times the largest text.
pub const LIFT_BYTES_CEILING: u64 = 192 * MIB;

/// Host bytes for each byte of an answer: a list of bytes takes 60 for each byte of its base64, most other values fewer.
pub const LIFT_BYTES_EACH: u64 = 64;

/// Bytes of a value as a worker says it, for each byte of the answer: an integer has eight bytes where JSON has a digit and a
/// comma, and what JSON leaves out takes some as well.
pub const FRAME_BYTES_EACH: u64 = 8;

/// Bytes of an answer beside what is in it: the names of its members, and its punctuation.
pub const ANSWER_BYTES: u64 = 64;

/// Bytes of a piece of an answer beside its texts, by what it is: the names of its members, and its punctuation.
pub const TEXT_BYTES: u64 = 28;
/// See [`TEXT_BYTES`]: an image, or sound.
pub const MEDIA_BYTES: u64 = 48;
/// See [`TEXT_BYTES`]: a link, with its size.
pub const LINK_BYTES: u64 = 128;
/// See [`TEXT_BYTES`]: a resource.
pub const RESOURCE_BYTES: u64 = 80;
/// See [`TEXT_BYTES`]: for whom a piece is.
pub const ANNOTATIONS_BYTES: u64 = 112;

/// Host bytes that lifting an answer of `output_bytes_max` bytes may take.
pub const fn lift_bytes_max(output_bytes_max: u64) -> u64 {
    let bytes = output_bytes_max.saturating_mul(LIFT_BYTES_EACH);
    if bytes > LIFT_BYTES_CEILING { LIFT_BYTES_CEILING } else { bytes }
}

/// Bytes of an answer of `output_bytes_max` bytes as a worker says it.
pub const fn frame_bytes_max(output_bytes_max: u64) -> u64 {
    output_bytes_max.saturating_mul(FRAME_BYTES_EACH)
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
