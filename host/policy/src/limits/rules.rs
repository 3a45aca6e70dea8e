//! Bounds of access rules: how large a set of rules may be, and what is remembered of verdicts.

use super::{KIB, MIB, size};

/// `[[allow]]` rows. Each is compared with the caller where no verdict is remembered.
pub const ROWS_MAX: usize = 1_000;

/// Entries of one set of a row.
pub const ROW_ENTRIES_MAX: usize = 1_000;

/// Characters of one entry of a row. A subject has at most 256 (identity tokens), its issuer's name stands before it.
pub const ROW_ENTRY_CHARS_MAX: usize = 512;

/// Bytes of the file of Cedar policies. A thousand policies are about 200 KiB.
pub const CEDAR_BYTES_MAX: usize = size(MIB);

/// Bytes of one Cedar policy, so that one that is too long is not read at all. A set of two hundred names fits.
pub const CEDAR_POLICY_BYTES_MAX: usize = size(16 * KIB);

/// Operators, brackets, dots and `if`s of one Cedar policy, by their characters. Its conditions are at most so deep.
pub const CEDAR_POLICY_OPERATORS_MAX: usize = 256;

/// Stack on which policies are read and validated; most of it is never touched. A development build needs about 60 KiB
/// for each step of depth, and overflows 2 MiB at 40.
pub const CEDAR_STACK_BYTES: usize = size(64 * MIB);

/// Cedar policies of a file. A verdict costs about 1 µs for each that concerns the tool.
pub const CEDAR_POLICIES_MAX: usize = 1_000;

/// Tools that Cedar policies can be bound to; each is an action. Those beyond are denied.
pub const CEDAR_ACTIONS_MAX: usize = 10_000;

/// Characters of a rule's `@reason`, which the caller sees.
pub const RULE_REASON_CHARS_MAX: usize = 200;

/// Characters of a message of the policy language that are passed on.
pub const CEDAR_MESSAGE_CHARS_MAX: usize = 400;

/// Scopes that an issuer can grant beyond those in a token. A refused call may be decided once for each.
pub const OBTAINABLE_SCOPES_MAX: usize = 64;

/// Depth of an argument's type that rules can see. What lies deeper is hidden from them.
pub const ARGUMENT_TYPE_DEPTH_MAX: usize = 8;

/// Callers whose verdicts are remembered. Whoever has not called for the longest time is forgotten first.
pub const MEMO_PRINCIPALS_MAX: usize = 1_000;

/// Verdicts that are remembered of all callers together, each of about 100 bytes.
pub const MEMO_DECISIONS_MAX: usize = 200_000;

/// Questions of one file of `toolgate policy test`. Each is decided in microseconds; ten for each tool of a large server.
pub const POLICY_CASES_MAX: usize = 10_000;
