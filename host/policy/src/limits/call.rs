//! What one call, or all calls of one plugin, may use. Set under `[plugin.limits]` and `[defaults.limits]`.

use super::size;
use super::{GIB, KIB, Limit, MIB};

/// A bound on what a call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallLimit {
    /// Instructions, host calls and bytes moved.
    Fuel,
    /// Wall clock from arrival, in milliseconds.
    Deadline,
    /// All memories and tables together, in bytes.
    Memory,
    /// The answer, in bytes of JSON.
    Output,
    /// Captured stdout and stderr, in bytes.
    Log,
    /// Calls of a plugin at once.
    Concurrency,
    /// Calls of a plugin waiting.
    Queue,
    /// Host resources a call holds at once.
    Handles,
    /// Outbound HTTP requests.
    HttpRequests,
    /// Bytes of outbound HTTP, both ways.
    HttpBytes,
    /// Faults in a row.
    Faults,
    /// Sockets opened and names looked up for them.
    Sockets,
    /// Bytes over sockets, both ways.
    SocketBytes,
    /// Stacks a call holds at once.
    Stacks,
}

/// The bounds of one plugin's calls, each within its ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLimits([u64; CallLimit::ALL.len()]);

impl CallLimit {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Fuel,
        Self::Deadline,
        Self::Memory,
        Self::Output,
        Self::Log,
        Self::Concurrency,
        Self::Queue,
        Self::Handles,
        Self::HttpRequests,
        Self::HttpBytes,
        Self::Faults,
        Self::Sockets,
        Self::SocketBytes,
        Self::Stacks,
    ];

    /// Name, default, ceiling, reason.
    pub const fn spec(self) -> &'static Limit {
        match self {
            Self::Fuel => &FUEL,
            Self::Deadline => &DEADLINE_MS,
            Self::Memory => &MEMORY_BYTES_MAX,
            Self::Output => &OUTPUT_BYTES_MAX,
            Self::Log => &LOG_BYTES_MAX,
            Self::Concurrency => &CONCURRENCY,
            Self::Queue => &QUEUE,
            Self::Handles => &HANDLES_MAX,
            Self::HttpRequests => &HTTP_REQUESTS_MAX,
            Self::HttpBytes => &HTTP_BYTES_MAX,
            Self::Faults => &FAULTS_MAX,
            Self::Sockets => &SOCKETS_MAX,
            Self::SocketBytes => &SOCKET_BYTES_MAX,
            Self::Stacks => &STACKS_MAX,
        }
    }

    /// The key in the configuration.
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// The limit that `name` means.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.name() == name)
    }

    const fn index(self) -> usize {
        self as usize
    }
}

impl CallLimits {
    /// The value of `limit`.
    pub fn get(&self, limit: CallLimit) -> u64 {
        self.0.get(limit.index()).copied().unwrap_or(limit.spec().default)
    }

    /// The same bounds with `limit` at `value`.
    ///
    /// # Errors
    /// A sentence that names the range, when `value` lies outside.
    pub fn set(&mut self, limit: CallLimit, value: i64) -> Result<(), String> {
        let value = limit.spec().check(value)?;
        if let Some(slot) = self.0.get_mut(limit.index()) {
            *slot = value;
        }
        Ok(())
    }
}

impl Default for CallLimits {
    fn default() -> Self {
        Self(CallLimit::ALL.map(|limit| limit.spec().default))
    }
}

const FUEL: Limit = Limit {
    name: "fuel",
    default: 1_000_000_000,
    ceiling: 1_000_000_000_000,
    reason: "ends a loop; about one per instruction, HOST_CALL_FUEL per host call, one per byte moved",
};
const DEADLINE_MS: Limit = Limit {
    name: "deadline_ms",
    default: 10_000,
    ceiling: 3_600_000,
    reason: "ends a wait; wall clock from arrival, time in the queue included",
};
const MEMORY_BYTES_MAX: Limit = Limit {
    name: "memory_bytes_max",
    default: 64 * MIB,
    ceiling: GIB,
    reason: "all memories and tables of a call together, so that many small ones are no way round",
};
const OUTPUT_BYTES_MAX: Limit = Limit {
    name: "output_bytes_max",
    default: MIB,
    ceiling: 64 * MIB,
    reason: "an answer is held in memory several times on its way to the client",
};
const LOG_BYTES_MAX: Limit = Limit {
    name: "log_bytes_max",
    default: 64 * KIB,
    ceiling: 16 * MIB,
    reason: "stdout and stderr are kept for the operator; what exceeds it is counted and dropped, the call goes on",
};
const CONCURRENCY: Limit = Limit {
    name: "concurrency",
    default: 16,
    ceiling: 1_024,
    reason: "one plugin cannot take every sandbox",
};
const QUEUE: Limit = Limit {
    name: "queue",
    default: 64,
    ceiling: 4_096,
    reason: "more waiting calls than this would only meet their deadline; refusing at once lets the caller back off",
};
const HANDLES_MAX: Limit = Limit {
    name: "handles_max",
    default: 1_000,
    ceiling: 100_000,
    reason: "each stream, descriptor, timer or request costs the host memory, or a descriptor of its own",
};
const HTTP_REQUESTS_MAX: Limit = Limit {
    name: "http_requests_max",
    default: 32,
    ceiling: 10_000,
    reason: "a call is no crawler and no port scanner",
};
const HTTP_BYTES_MAX: Limit = Limit {
    name: "http_bytes_max",
    default: 16 * MIB,
    ceiling: GIB,
    reason: "all bytes of a call's HTTP connections, sent and received: heads, bodies, their framing and TLS",
};
const SOCKETS_MAX: Limit = Limit {
    name: "sockets_max",
    default: 32,
    ceiling: 10_000,
    reason: "sockets opened and names looked up; each socket is a descriptor of the host's, and a call is no port scanner",
};
const SOCKET_BYTES_MAX: Limit = Limit {
    name: "socket_bytes_max",
    default: 16 * MIB,
    ceiling: GIB,
    reason: "what is sent and received over all sockets of a call, DATAGRAM_BYTES a datagram included",
};
const STACKS_MAX: Limit = Limit {
    name: "stacks_max",
    default: 8,
    ceiling: 16,
    reason: "each component inside a component that waits in a synchronous call holds a stack, and all calls share a pool that has this ceiling for each of them",
};

/// Stacks that a call may have beside those on which guest code runs or waits: one that is kept for the next use, and one on
/// which nothing runs yet.
pub const STACKS_BESIDE: u32 = 2;

/// Addresses of one stack. A guest has a quarter of them, what the host does for it on the same stack the rest.
pub const STACK_ADDRESSES: usize = size(2 * MIB);

/// Bytes of a stack that a guest can use. It crashes when it recurses deeper.
pub const GUEST_STACK_BYTES: usize = size(512 * KIB);

/// Bytes that a stack counts against the memory for all calls: the guest's part, and as much again for the host's.
pub const STACK_BYTES: u64 = 2 * GUEST_STACK_BYTES as u64;

/// Bytes of a stack that stay in memory when its call has ended, for the next.
pub const STACK_KEPT_BYTES: usize = size(16 * KIB);

/// What a folder granted for changing may hold, in bytes of its files. Set in its grant.
pub const FILES_BYTES_MAX: Limit = Limit {
    name: "bytes_max",
    default: GIB,
    ceiling: 1 << 50,
    reason: "a folder outlives its calls and fills a disk that others share",
};

/// How many files, folders and links it may hold. Set in its grant.
pub const FILES_ENTRIES_MAX: Limit = Limit {
    name: "entries_max",
    default: 10_000,
    ceiling: 10_000_000,
    reason: "an empty file costs the disk an entry, and each count of the folder its time",
};

/// How many files and folders below one granted folder a call may have open. Set in its grant.
pub const FILES_OPEN_MAX: Limit = Limit {
    name: "open_max",
    default: 64,
    ceiling: 4_096,
    reason: "the process has so many descriptors for all calls together",
};

/// Threads on which all calls of one plugin wait for the folders it is granted. What one call in a worker asks of them at once
/// is no more.
pub const FILES_THREADS: usize = 8;

/// Threads on which guests wait for what is left, all plugins together: their stores, one thread each at a time. As many
/// again for calls that are slow.
pub const GUEST_THREADS: usize = 64;

/// Names that one listing of a folder brings into the host's memory at the most.
pub const LISTING_MAX: usize = 65_536;

/// Bytes that each of them counts beside its own, until the listing is closed: an entry of two lists, one made of the other,
/// and its allocation.
pub const LISTING_EACH_BYTES: u64 = 192;

/// Bytes of a path, as the kernel counts them (`PATH_MAX`). A longer one leads nowhere and would only be held meanwhile.
pub const FILES_PATH_BYTES_MAX: usize = 4_096;

/// Fuel that opening something costs, and each entry that is looked at to count a folder again.
pub const OPEN_FUEL: u64 = 10_000;
/// See [`OPEN_FUEL`].
pub const COUNT_FUEL: u64 = 1_000;

const FAULTS_MAX: Limit = Limit {
    name: "faults_max",
    default: 20,
    ceiling: 1_000_000_000,
    reason: "a plugin whose every call fails is put on hold, for whom it fails, and costs its callers and neighbours no more than a refusal",
};

/// How long a plugin that failed too often is on hold, in milliseconds; twice as long after each trial that fails.
pub const HOLD_MS: u64 = 5_000;

/// The longest hold, in milliseconds.
pub const HOLD_MS_MAX: u64 = 300_000;

/// Callers that must fail before a plugin is on hold for others than them.
pub const CALLERS_FAILING: usize = 3;

/// For how long a caller whose last call went well is let through, though others failed since, in milliseconds.
pub const CALLER_GOOD_MS: u64 = 60_000;

/// Callers of one plugin whose last calls are remembered.
pub const CALLERS_KEPT: usize = 256;

/// Fuel that a call from guest to host costs beside the instructions around it: such a call takes 50 to 1,000 ns of host
/// time and only some ten units of fuel, so a loop over cheap imports would be nearly free.
pub const HOST_CALL_FUEL: u64 = 1_000;

/// Fuel after which a running guest gives others a turn, and the deadline and a cancellation are looked at: a fraction of
/// a millisecond of instructions.
pub const YIELD_FUEL: u64 = 100_000;

/// How long a guest that met its deadline inside the host may take to let go before it is left behind, in milliseconds.
pub const GRACE_MS: u64 = 200;

/// How long a plugin that looks whether it was cancelled may take to end by itself, in milliseconds.
pub const CANCEL_GRACE_MS: u64 = 500;

/// Characters of one line of what a guest writes that the log shows.
pub const LOG_LINE_CHARS_MAX: usize = 500;

/// Reports of progress that one call passes on.
pub const REPORTS_MAX: u64 = 1_000;

/// Characters of the words of one report.
pub const REPORT_CHARS_MAX: usize = 500;

/// Bytes of random data that one request hands out at the most.
pub const RANDOM_BYTES_MAX: u64 = 64 * KIB;

/// Bytes that one read, write or splice moves at the most.
pub const STREAM_BYTES_MAX: u64 = 64 * KIB;

/// Header bytes of one outbound request or response, in the host's memory.
pub const HTTP_FIELD_BYTES_MAX: u64 = 32 * KIB;

/// Bytes of a method's name. The longest that is registered has 17 (RFC 9110, section 18.2).
pub const HTTP_METHOD_BYTES_MAX: usize = 32;

/// Bytes of a request's head as a worker says it: its fields, and a URL that is at most twice as long.
pub const HTTP_ASK_BYTES_MAX: u64 = 128 * KIB;

/// Connections of one rule of an `http` grant that wait for the next request. Each is a descriptor of the host's.
pub const HTTP_IDLE_MAX: usize = 8;

/// How long a connection waits for the next request, in milliseconds: shorter than servers wait, as a rule.
pub const HTTP_IDLE_MS: u64 = 10_000;

/// How old a connection grows, in milliseconds. A name that leads elsewhere by now counts after this time at the latest.
pub const HTTP_AGE_MS: u64 = 60_000;

/// How long one address of a host may take to be connected to while others are left, in milliseconds.
pub const HTTP_CONNECT_MS: u64 = 5_000;

/// How long a connection that waited may take to be ready for a request, in milliseconds: it has only to notice that the
/// last one is over.
pub const HTTP_READY_MS: u64 = 100;

/// Fuel that opening a socket or looking up a name costs beside the host call: packets, and a descriptor of the host's.
pub const SOCKET_FUEL: u64 = 10_000;

/// Sockets that one call in a worker has being opened at once, names being looked up for it included. More wait for a turn.
pub const SOCKETS_OPENING_MAX: usize = 8;

/// Bytes that a datagram counts beside what is in it: the headers of IP and UDP, so that empty ones are not free.
pub const DATAGRAM_BYTES: u64 = 28;

/// Files, requests, hosts and keys that one record lists, of each kind so many that were allowed and as many that were refused; more
/// are counted.
pub const RECORD_PLACES_MAX: usize = 64;

/// Bytes of one of them.
pub const RECORD_PLACE_BYTES_MAX: usize = 300;

/// Header fields of one request that a record lists as the reason for which it was refused; more are counted.
pub const RECORD_HEADERS_MAX: usize = 8;

/// Bytes of one line of the record that is read back; a longer one was not written here.
pub const RECORD_LINE_BYTES_MAX: usize = size(MIB);

/// Characters of what a plugin wrote last that a caller is told when it crashed.
pub const CRASH_CHARS_MAX: usize = 300;

/// Calls that `learn` makes in a row.
pub const LEARN_TIMES_MAX: u16 = 100;

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
