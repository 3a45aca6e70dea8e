//! What outbound connections may use beside the limits of their call, which are in [`super::call`].

use super::{KIB, MIB};

/// Addresses of one name that are used, whatever the name server answers: a name is not a list of hosts to try.
pub const NAME_ADDRESSES_MAX: usize = 8;

/// How long the list of this machine's own addresses is used before it is asked for anew, in milliseconds. An interface that
/// comes up counts after this time.
pub const OWN_ADDRESSES_AGE_MS: u64 = 1_000;

/// Answers of status 1xx before the answer to one request. Servers send one or two (100, 103).
pub const HTTP_INFORMATIONAL_MAX: u64 = 8;

/// How long the head of a response waits for the guest to end a body that must be empty, in milliseconds, so that one that is
/// not is an error before anything is answered. A guest that does not end it goes on then.
pub const HTTP_EMPTY_BODY_MS: u64 = 1_000;

/// Threads that move the bytes of all plugins' connections. They compute little: TLS, and the framing of messages.
pub const HTTP_THREADS: usize = 2;

/// How long the system's certificate authorities are used before they are read anew, in milliseconds. Reading them takes the
/// machine some ten milliseconds; a file that a rule names is looked at for each request.
pub const AUTHORITIES_AGE_MS: u64 = 10_000;

/// Bytes of a file of certificates that a rule names. All authorities of the web together have a quarter of a MiB.
pub const AUTHORITIES_BYTES_MAX: u64 = 4 * MIB;

/// Bytes of a secret's forms that are looked for at the least. A shorter form would match by accident and tell nobody
/// anything.
pub const SECRET_FORM_BYTES_MIN: usize = 4;

/// White space within a base64 text that a form of a secret may be broken by, in a row: a line break and an indentation. What
/// is held back until it is known whether a form goes on is bounded by it.
pub const SECRET_BREAK_BYTES_MAX: u32 = 32;

/// Bytes that the host's own request may move before its answer's head is there: the handshake of TLS, answers of status 1xx
/// and the head.
pub const FETCH_HEAD_BYTES_MAX: u64 = 256 * KIB;
