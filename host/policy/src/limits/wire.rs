//! What may come over the wire. The first four are set under `[server.limits]`.

use super::{Limit, MIB};

/// Bytes of one message.
pub const BODY_BYTES_MAX: Limit = Limit {
    name: "body_bytes_max",
    default: 4 * MIB,
    ceiling: 64 * MIB,
    reason: "a message is held in memory, parsed and raw",
};

/// Calls in flight over all plugins.
pub const CALLS_MAX: Limit = Limit {
    name: "calls_max",
    default: 256,
    ceiling: 1_000,
    reason: "sandboxes are taken from a pool of this size",
};

/// Bytes of guest memory over all calls in flight. The default is half of the machine's.
pub const MEMORY_BYTES_MAX: Limit = Limit {
    name: "memory_bytes_max",
    default: 4096 * MIB,
    ceiling: 1 << 44,
    reason: "calls that are each within their own limit must not take the machine down together",
};

/// How long calls in flight may go on after a stop was asked for, in milliseconds.
pub const DRAIN_MS: Limit = Limit {
    name: "drain_ms",
    default: 5_000,
    ceiling: 600_000,
    reason: "a stop has to end, and answers that are nearly there are worth waiting for",
};

/// Nesting of a message.
pub const JSON_DEPTH_MAX: usize = 64;

/// Values in a message: keys, elements and scalars together.
pub const JSON_NODES_MAX: usize = 1_000_000;

/// Bytes of a request's head.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Headers of a request.
pub const HEADERS_MAX: usize = 100;

/// How long a client may take to send a request's head, in milliseconds.
pub const HEAD_MS: u64 = 10_000;

/// How long a client may take to send a request's body, in milliseconds.
pub const BODY_MS: u64 = 30_000;

/// Connections at once.
pub const CONNECTIONS_MAX: usize = 1_024;

/// Sessions of clients that speak a revision with sessions.
pub const SESSIONS_MAX: usize = 1_024;

/// How long such a session lives without a request, in milliseconds.
pub const SESSION_IDLE_MS: u64 = 1_800_000;

/// Streams on which clients wait for changes.
pub const LISTENERS_MAX: usize = 1_024;

/// Problems with a call's arguments that are told at once.
pub const PROBLEMS_MAX: usize = 32;
