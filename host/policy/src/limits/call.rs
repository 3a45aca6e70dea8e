//! Limits of one call, or of all calls of one plugin. Set under `[plugin.limits]` and `[defaults.limits]`.

use super::{GIB, KIB, Limit, MIB, size};

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
    /// Sockets opened and names resolved.
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

    /// The limit of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.name() == name)
    }
}

impl CallLimits {
    /// The value of `limit`.
    pub fn get(&self, limit: CallLimit) -> u64 {
        self.0.get(limit as usize).copied().unwrap_or(limit.spec().default)
    }

    /// The same bounds with `limit` at `value`. An error names the range.
    pub fn set(&mut self, limit: CallLimit, value: i64) -> Result<(), String> {
        let value = limit.spec().check(value)?;
        if let Some(slot) = self.0.get_mut(limit as usize) {
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
    reason: "a call is neither a crawler nor a port scanner",
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
    reason: "sockets opened and names looked up; each socket is a descriptor of the host's, and a call is not a port scanner",
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

/// Stacks of a call beside those on which guest code runs or waits: one cached for reuse, one not yet running.
pub const STACKS_BESIDE: u32 = 2;

/// Address space of one stack. A quarter is for the guest, the rest for host code on the same stack.
pub const STACK_ADDRESSES: usize = size(2 * MIB);

/// Bytes of a stack that a guest can use. Deeper recursion traps.
pub const GUEST_STACK_BYTES: usize = size(512 * KIB);

/// Bytes that a stack counts against the memory of all calls: the guest's part, and as much again for the host.
pub const STACK_BYTES: u64 = 2 * GUEST_STACK_BYTES as u64;

/// Bytes of a stack that stay in memory after its call, for the next.
pub const STACK_KEPT_BYTES: usize = size(16 * KIB);

/// Bytes of all files in a writable granted folder. Set in its grant.
pub const FILES_BYTES_MAX: Limit = Limit {
    name: "bytes_max",
    default: GIB,
    ceiling: 1 << 50,
    reason: "a folder outlives its calls and fills a disk that others share",
};

/// Files, folders and links in a writable granted folder. Set in its grant.
pub const FILES_ENTRIES_MAX: Limit = Limit {
    name: "entries_max",
    default: 10_000,
    ceiling: 10_000_000,
    reason: "an empty file costs the disk an entry, and each count of the folder its time",
};

/// Files and folders below one granted folder that a call may have open. Set in its grant.
pub const FILES_OPEN_MAX: Limit = Limit {
    name: "open_max",
    default: 64,
    ceiling: 4_096,
    reason: "the process has so many descriptors for all calls together",
};

/// Threads for file operations of all calls of one plugin; also of concurrent file operations of one call in a worker.
pub const FILES_THREADS: usize = 8;

/// Threads for the other blocking operations of all plugins, such as their stores. As many again are for slow calls.
pub const GUEST_THREADS: usize = 64;

/// Names that one directory listing may bring into the host's memory.
pub const LISTING_MAX: usize = 65_536;

/// Bytes that each name counts beside its own length, until the listing is closed: an entry in each of two lists, and
/// its allocation.
pub const LISTING_EACH_BYTES: u64 = 192;

/// Bytes of a path, as the kernel counts them (`PATH_MAX`). Longer ones cannot be opened, and would only take memory.
pub const FILES_PATH_BYTES_MAX: usize = 4_096;

/// Fuel for an open, and for each entry visited when a folder is counted again.
pub const OPEN_FUEL: u64 = 10_000;
/// See [`OPEN_FUEL`].
pub const COUNT_FUEL: u64 = 1_000;

const FAULTS_MAX: Limit = Limit {
    name: "faults_max",
    default: 20,
    ceiling: 1_000_000_000,
    reason: "a plugin whose every call fails is put on hold, for whom it fails, and costs its callers and neighbours no more than a refusal",
};

/// Hold of a plugin that failed too often, in milliseconds; doubled after each trial that fails.
pub const HOLD_MS: u64 = 5_000;

/// The longest hold, in milliseconds.
pub const HOLD_MS_MAX: u64 = 300_000;

/// Callers that must fail before a plugin is on hold for other callers as well.
pub const CALLERS_FAILING: usize = 3;

/// Time for which a caller whose last call succeeded passes the hold of others, in milliseconds.
pub const CALLER_GOOD_MS: u64 = 60_000;

/// Callers of one plugin whose last results are remembered.
pub const CALLERS_KEPT: usize = 256;

/// Fuel of a call from guest to host, beside the instructions around it. Such a call takes 50 to 1,000 ns of host time
/// but some ten units of fuel, so loops over cheap imports would be nearly free.
pub const HOST_CALL_FUEL: u64 = 1_000;

/// Fuel after which a running guest yields, and its deadline and cancellation are checked: a fraction of a millisecond.
pub const YIELD_FUEL: u64 = 100_000;

/// Time for a guest that met its deadline inside a host call to return before it is abandoned, in milliseconds.
pub const GRACE_MS: u64 = 200;

/// Time for a plugin that polls for cancellation to end its call, in milliseconds.
pub const CANCEL_GRACE_MS: u64 = 500;

/// Characters of one line of guest output in the log.
pub const LOG_LINE_CHARS_MAX: usize = 500;

/// Progress reports that one call passes on.
pub const REPORTS_MAX: u64 = 1_000;

/// Characters of one progress message.
pub const REPORT_CHARS_MAX: usize = 500;

/// Bytes of random data per request.
pub const RANDOM_BYTES_MAX: u64 = 64 * KIB;

/// Bytes that one read, write or splice moves.
pub const STREAM_BYTES_MAX: u64 = 64 * KIB;

/// Header bytes of one outbound request or response, in the host's memory.
pub const HTTP_FIELD_BYTES_MAX: u64 = 32 * KIB;

/// Bytes of a method's name. The longest that is registered has 17 (RFC 9110, section 18.2).
pub const HTTP_METHOD_BYTES_MAX: usize = 32;

/// Bytes of a request head from a worker: its fields, and a URL at most twice as long.
pub const HTTP_ASK_BYTES_MAX: u64 = 128 * KIB;

/// Idle connections of one rule of an `http` grant. Each is a descriptor of the host.
pub const HTTP_IDLE_MAX: usize = 8;

/// Time a connection stays idle before it is closed, in milliseconds: usually shorter than the servers' limit.
pub const HTTP_IDLE_MS: u64 = 10_000;

/// Age limit of a connection, in milliseconds. A changed DNS answer takes effect after this time at the latest.
pub const HTTP_AGE_MS: u64 = 60_000;

/// Time to connect to one address of a host while others are left, in milliseconds.
pub const HTTP_CONNECT_MS: u64 = 5_000;

/// Time for an idle connection to become ready for a request, in milliseconds: it only has to notice that the last
/// exchange is over.
pub const HTTP_READY_MS: u64 = 100;

/// Fuel of opening a socket or resolving a name, beside the host call: packets, and a descriptor of the host.
pub const SOCKET_FUEL: u64 = 10_000;

/// Sockets being opened and names being resolved at once for one call in a worker. Further ones wait.
pub const SOCKETS_OPENING_MAX: usize = 8;

/// Bytes that a datagram counts beside its content: IP and UDP headers, so that empty ones are not free.
pub const DATAGRAM_BYTES: u64 = 28;

/// Files, requests, hosts and keys listed in one record: for each kind, this many allowed and this many refused.
/// Further ones are counted.
pub const RECORD_PLACES_MAX: usize = 64;

/// Bytes of one listed entry.
pub const RECORD_PLACE_BYTES_MAX: usize = 300;

/// Header fields of one request that a record lists as the reason of its refusal; further ones are counted.
pub const RECORD_HEADERS_MAX: usize = 8;

/// Bytes of one line of the record when it is read back; a longer line is not one of this program's.
pub const RECORD_LINE_BYTES_MAX: usize = size(MIB);

/// Characters of a plugin's last output that a caller sees after a crash.
pub const CRASH_CHARS_MAX: usize = 300;

/// Calls that `learn` makes in a row.
pub const LEARN_TIMES_MAX: u16 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_lie_within_their_ceilings_and_names_are_distinct() {
        for limit in CallLimit::ALL {
            let spec = limit.spec();
            assert!((1..=spec.ceiling).contains(&spec.default), "{}", spec.name);
            assert_eq!(CallLimit::from_name(spec.name), Some(limit));
            assert_eq!(CallLimits::default().get(limit), spec.default);
        }
    }

    #[test]
    fn a_value_is_taken_up_to_its_ceiling_and_refused_beyond() {
        for limit in CallLimit::ALL {
            let ceiling = i64::try_from(limit.spec().ceiling).unwrap_or(i64::MAX);
            let mut limits = CallLimits::default();
            assert_eq!(limits.set(limit, ceiling), Ok(()));
            assert_eq!(limits.get(limit), limit.spec().ceiling);
            for refused in [ceiling + 1, 0, -1] {
                assert!(limits.set(limit, refused).is_err(), "{} = {refused}", limit.name());
            }
            assert_eq!(limits.get(limit), limit.spec().ceiling);
        }
    }
}
