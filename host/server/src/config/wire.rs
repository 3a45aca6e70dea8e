//! `[server.limits]` for clients, all together and each.

use toolgate_policy::limits::Limit;
use toolgate_policy::limits::wire::{
    ANSWERS_BYTES_MAX, BODY_BYTES_MAX, CONNECTIONS_MAX, MESSAGES_BYTES_MAX, PEER_PERCENT, REQUESTS_MAX,
    SESSION_IDLE_MS, SESSIONS_MAX, STREAMS_MAX, WRITE_MS,
};

/// Limits on clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireLimits {
    /// Bytes of one message.
    pub(crate) body_bytes_max: u64,
    /// Bytes of large messages at once.
    pub(crate) messages_bytes_max: u64,
    /// Bytes of large answers waiting to be written.
    pub(crate) answers_bytes_max: u64,
    /// Share of these that one peer may use, in percent.
    pub(crate) peer_percent: u64,
    /// Connections.
    pub(crate) connections_max: u64,
    /// Streams on which clients wait for notifications.
    pub(crate) streams_max: u64,
    /// Requests being answered.
    pub(crate) requests_max: u64,
    /// Sessions.
    pub(crate) sessions_max: u64,
    /// Time an unused session is kept, in milliseconds.
    pub(crate) session_idle_ms: u64,
    /// Time for a client to read any part of its pending answer, in milliseconds.
    pub(crate) write_ms: u64,
}

impl WireLimits {
    /// Limits with the value that `value` gives for each.
    pub(super) fn of(value: impl Fn(&Limit) -> u64) -> Self {
        Self {
            body_bytes_max: value(&BODY_BYTES_MAX),
            messages_bytes_max: value(&MESSAGES_BYTES_MAX),
            answers_bytes_max: value(&ANSWERS_BYTES_MAX),
            peer_percent: value(&PEER_PERCENT),
            connections_max: value(&CONNECTIONS_MAX),
            streams_max: value(&STREAMS_MAX),
            requests_max: value(&REQUESTS_MAX),
            sessions_max: value(&SESSIONS_MAX),
            session_idle_ms: value(&SESSION_IDLE_MS),
            write_ms: value(&WRITE_MS),
        }
    }

    /// Checks that the largest message fits one peer's share, as text and parsed.
    ///
    /// # Errors
    /// A sentence with the remedy.
    pub(super) fn check(&self) -> Result<(), String> {
        let share = self.messages_bytes_max.saturating_mul(self.peer_percent) / 100;
        let needed = self.body_bytes_max.saturating_mul(2);
        if share >= needed {
            return Ok(());
        }
        let least = needed.saturating_mul(100) / self.peer_percent.max(1);
        Err(format!(
            "one client may hold {share} bytes of it ({} = {}), which is less than twice {} = {}; write {least} or more",
            PEER_PERCENT.name, self.peer_percent, BODY_BYTES_MAX.name, self.body_bytes_max
        ))
    }
}
