//! Limits of outbound connections beside those of their call, which are in [`super::call`].

use super::{KIB, MIB};

/// Addresses of one name that are used, however many DNS returns: a name is not a list of hosts to try.
pub const NAME_ADDRESSES_MAX: usize = 8;

/// Age at which the list of this machine's own addresses is refreshed, in milliseconds. A new interface counts after
/// this time.
pub const OWN_ADDRESSES_AGE_MS: u64 = 1_000;

/// Responses of status 1xx before the final one. Servers send one or two (100, 103).
pub const HTTP_INFORMATIONAL_MAX: u64 = 8;

/// Time a response head is held back until the guest ends a body that must be empty, in milliseconds, so that a
/// non-empty body is an error first. After it the guest goes on.
pub const HTTP_EMPTY_BODY_MS: u64 = 1_000;

/// Threads for the connections of all plugins. They compute little: TLS and message framing.
pub const HTTP_THREADS: usize = 2;

/// Age at which the system's certificate authorities are read again, in milliseconds. Reading takes some ten
/// milliseconds; a rule's own `ca` file is checked for each request.
pub const AUTHORITIES_AGE_MS: u64 = 10_000;

/// Bytes of a rule's certificate file. All public web authorities together have a quarter of a MiB.
pub const AUTHORITIES_BYTES_MAX: u64 = 4 * MIB;

/// Length from which encoded forms of a secret are searched for, in bytes. A shorter form would match by accident and
/// reveal nothing.
pub const SECRET_FORM_BYTES_MIN: usize = 4;

/// White space in a row that may break a base64 form of a secret: a line break and indentation. It bounds the bytes
/// held back while a match is undecided.
pub const SECRET_BREAK_BYTES_MAX: u32 = 32;

/// Bytes that a fetch of the host may move before the response head is complete: TLS handshake, 1xx responses and the
/// head.
pub const FETCH_HEAD_BYTES_MAX: u64 = 256 * KIB;
