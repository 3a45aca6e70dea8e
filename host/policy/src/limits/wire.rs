//! Limits of client connections, and of the host's memory for them. Each [`Limit`] is set under `[server.limits]`.

use super::{KIB, Limit, MIB, size};

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

/// Bytes of guest memory over all calls in flight. The default is half of the machine's memory.
pub const MEMORY_BYTES_MAX: Limit = Limit {
    name: "memory_bytes_max",
    default: 4096 * MIB,
    ceiling: 1 << 44,
    reason: "calls that are each within their own limit must not take the machine down together",
};

/// Time for calls in flight after a stop was requested, in milliseconds.
pub const DRAIN_MS: Limit = Limit {
    name: "drain_ms",
    default: 5_000,
    ceiling: 600_000,
    reason: "a stop has to end, and answers that are nearly there are worth waiting for",
};

/// The same for a server on stdio alone without `drain_ms`: clients kill a server two seconds after asking it to stop.
pub const STDIO_DRAIN_MS: u64 = 1_000;

/// Time for calls after stdin was closed, in milliseconds. A pipe that ends with a request still gets a quick answer.
pub const HANG_UP_MS: u64 = 250;

/// Time for the rest of the shutdown over stdio after that, in milliseconds: cancelling and recording calls, writing
/// answers. Together less than the two seconds after which clients send SIGTERM.
pub const HANG_UP_END_MS: u64 = 1_650;

/// Bytes of large messages, over all clients, from before they are read until their calls end.
pub const MESSAGES_BYTES_MAX: Limit = Limit {
    name: "messages_bytes_max",
    default: 256 * MIB,
    ceiling: 1 << 40,
    reason: "clients that send large messages slowly, or whose calls wait, must not fill the memory together",
};

/// Bytes of large answers, over all clients, until they are written.
pub const ANSWERS_BYTES_MAX: Limit = Limit {
    name: "answers_bytes_max",
    default: 256 * MIB,
    ceiling: 1 << 40,
    reason: "clients that do not read their answers must not fill the memory together",
};

/// Share of a common limit that one peer may use, in percent.
pub const PEER_PERCENT: Limit = Limit {
    name: "peer_percent",
    default: 50,
    ceiling: 100,
    reason: "one client must not take everything; behind a proxy all clients are one peer, so write 100 there",
};

/// Bytes of a message that is handled on the protocol's threads. Larger ones have threads of their own.
pub const SMALL_MESSAGE_BYTES: usize = size(64 * KIB);

/// Threads for large messages: one for each two cores, up to this number.
pub const LARGE_THREADS_MAX: usize = 8;

/// Large messages being received or waiting to be read.
pub const LARGE_MESSAGES_MAX: u64 = 128;

/// Bytes of a message beside the arguments of a call. The longest honest ones, with all client information, have 4 KiB.
pub const ENVELOPE_BYTES_MAX: usize = size(64 * KIB);

/// Values in a message beside a call's arguments: the protocol library tries many message types for each.
pub const ENVELOPE_NODES_MAX: usize = 2_048;

/// Nesting of a message: [`super::load::SCHEMA_DEPTH_MAX`] types, two levels each at most.
pub const JSON_DEPTH_MAX: usize = 64;

/// Values in a message: keys, elements and scalars together. Only lists of numbers have as many.
pub const JSON_NODES_MAX: usize = 1_000_000;

/// Keys of one object. A type has at most [`super::load::SCHEMA_NODES_MAX`]; maps of untyped tools have more.
pub const JSON_KEYS_MAX: usize = 65_536;

/// Bytes of a key. A type's have at most [`super::load::NAME_BYTES_MAX`]; a map's keys may be URLs.
pub const JSON_KEY_BYTES_MAX: usize = size(4 * KIB);

/// Bytes of the id by which a message that is not read in full is answered. Ids are numbers or short names.
pub const ID_BYTES_MAX: usize = size(4 * KIB);

/// Bytes of a request's head.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Headers of a request.
pub const HEADERS_MAX: usize = 100;

/// Time for a client to send a request's head, in milliseconds.
pub const HEAD_MS: u64 = 10_000;

/// Streams that a client may have open on one HTTP/2 connection: as many as browsers and proxies use.
pub const H2_STREAMS_MAX: u32 = 100;

/// Bytes of the header list of an HTTP/2 request. The longest honest ones carry a token of 16 KiB at most.
pub const H2_HEADERS_BYTES_MAX: u32 = 16 * 1024;

/// Streams that a client may reset within [`H2_RESETS_MS`]: beyond that it makes work and takes it back (CVE-2023-44487).
pub const H2_RESETS_MAX: usize = 100;

/// Time within which resets are counted, in milliseconds.
pub const H2_RESETS_MS: u64 = 10_000;

/// Bytes that a client may send on an HTTP/2 connection before they are read. They are held in memory.
pub const H2_WINDOW_BYTES: u32 = 256 * 1024;

/// Bytes of an answer that are handed to an HTTP/2 connection at once: what it holds of each stream that is not read.
pub const H2_PART_BYTES: usize = size(16 * KIB);

/// Time without a frame after which an HTTP/2 client is asked whether it is there, in milliseconds.
pub const H2_PING_MS: u64 = 20_000;

/// Time for its answer, in milliseconds.
pub const H2_PING_ANSWER_MS: u64 = 10_000;

/// Bytes of a file with certificates, or with a private key. The longest honest chains have 20 KiB.
pub const TLS_FILE_BYTES_MAX: u64 = 256 * KIB;

/// Certificates of a chain. Clients refuse longer ones.
pub const TLS_CHAIN_MAX: usize = 10;

/// Bits of the smallest RSA key that is served: what clients and RFC 9325, section 4.3, require.
pub const TLS_RSA_BITS_MIN: usize = 2_048;

/// Time before the expiry of a certificate from which it is warned of, in seconds: two weeks.
pub const TLS_EXPIRY_WARNING_S: i64 = 14 * 24 * 3_600;

/// Networks of trusted proxies. Each is compared with each hop of a request.
pub const TRUSTED_PROXIES_MAX: usize = 64;

/// Time for a client to send a request's body, in milliseconds.
pub const BODY_MS: u64 = 30_000;

/// Time for which a refused body is still received, so that the client reads the refusal, in milliseconds.
pub const REFUSED_BODY_MS: u64 = 2_000;

/// Time to wait for the id of a message that is far too long, in milliseconds.
pub const REFUSED_ID_MS: u64 = 200;

/// Time for a client to read any part of its pending answer, in milliseconds.
pub const WRITE_MS: Limit = Limit {
    name: "write_ms",
    default: 20_000,
    ceiling: 3_600_000,
    reason: "an answer that nobody reads is held in memory, and its connection by the system",
};

/// Connections at once, beside those of notification streams.
pub const CONNECTIONS_MAX: Limit = Limit {
    name: "connections_max",
    default: 1_024,
    ceiling: 65_536,
    reason: "each is a descriptor and a buffer; when all are taken, the one that has waited longest for a request makes room",
};

/// Connections beyond that, which serve health probes and answer everything else with a retry.
pub const SPARE_CONNECTIONS_MAX: usize = 64;

/// Lifetime of such a connection, in milliseconds.
pub const SPARE_MS: u64 = 2_000;

/// Notifications accepted at once when no request slot is free, so that a client at its limit can still cancel.
pub const SPARE_NOTIFICATIONS_MAX: u64 = 64;

/// Bytes of one such notification.
pub const SPARE_NOTIFICATION_BYTES_MAX: u64 = 4 * KIB;

/// Time for a client to send it, in milliseconds.
pub const SPARE_NOTIFICATION_MS: u64 = 1_000;

/// Age of an incomplete body after which its connection may be closed for another when all are taken, in milliseconds.
pub const SLOW_BODY_MS: u64 = 2_000;

/// Streams on which clients wait for notifications.
pub const STREAMS_MAX: Limit = Limit {
    name: "streams_max",
    default: 1_024,
    ceiling: 65_536,
    reason: "each is a descriptor for as long as the client likes, so they are counted apart from connections",
};

/// Requests that are being answered at once.
pub const REQUESTS_MAX: Limit = Limit {
    name: "requests_max",
    default: 1_024,
    ceiling: 65_536,
    reason: "each holds its message, and a client of a revision with sessions can go away and leave it",
};

/// Sessions of clients with a protocol revision that has sessions.
pub const SESSIONS_MAX: Limit = Limit {
    name: "sessions_max",
    default: 1_024,
    ceiling: 65_536,
    reason: "clients rarely say goodbye; when there are as many, the one that was idle longest makes room",
};

/// Time for which an unused session is kept, in milliseconds.
pub const SESSION_IDLE_MS: Limit = Limit {
    name: "session_idle_ms",
    default: 1_800_000,
    ceiling: 86_400_000,
    reason: "a session takes memory, and a client that was away longer can begin anew",
};

/// Messages that one stream of a session holds for a client that does not read.
pub const STREAM_MESSAGES_MAX: usize = 16;

/// Seconds after which a refused client should retry.
pub const RETRY_AFTER_S: u64 = 5;

/// Interval at which one kind of client trouble is logged at most once, in milliseconds.
pub const NOTICE_MS: u64 = 60_000;

/// Prefix of an IPv6 address that identifies a peer, in bits: the size a provider assigns to one customer.
pub const PEER_PREFIX_BITS: u8 = 64;

/// Tools of one page of the list. Many clients read the first page only, so it has more than a model can use.
pub const PAGE_TOOLS_MAX: usize = 1_000;

/// Bytes of one page of the list, if it has more than one tool.
pub const PAGE_BYTES_MAX: usize = size(MIB);

/// Principals whose view of the list is cached.
pub const LIST_VIEWS_MAX: usize = 256;

/// Problems with a call's arguments that are reported at once.
pub const PROBLEMS_MAX: usize = 32;

/// Problems with a call's arguments after which the search stops.
pub const PROBLEMS_COUNTED_MAX: usize = 1_000;
