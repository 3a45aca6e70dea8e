//! Log of client trouble: each kind at most once a minute, with a count, so that a client cannot fill the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use toolgate_policy::limits::wire::NOTICE_MS;

/// A kind of client trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// An idle connection was closed for a new one.
    ConnectionMadeRoom,
    /// All connections are in use.
    Connections,
    /// All streams are in use.
    Streams,
    /// An idle session was ended for a new one.
    SessionMadeRoom,
    /// All sessions are in use.
    Sessions,
    /// All request slots are in use.
    Requests,
    /// The memory for large messages is in use.
    Messages,
    /// The memory for large answers is in use.
    Answers,
    /// A client did not read its answer.
    Unread,
    /// A client reset many streams of one connection.
    Resets,
    /// A client is not allowed to use this server.
    TurnedAway,
}

/// Time of the last log entry of each kind.
#[derive(Debug, Default)]
pub(crate) struct Notices(Mutex<BTreeMap<Trouble, Notice>>);

#[derive(Debug, Default)]
struct Notice {
    logged_at: Option<Instant>,
    since: u64,
}

impl Trouble {
    /// Description with the remedy.
    fn text(self) -> String {
        let (what, setting) = match self {
            Self::ConnectionMadeRoom => {
                ("connections that waited for a request were closed for new ones", "connections_max")
            }
            Self::Connections => ("connections were told to come back", "connections_max"),
            Self::Streams => ("streams were told to come back", "streams_max"),
            Self::SessionMadeRoom => ("idle sessions were ended for new ones", "sessions_max"),
            Self::Sessions => ("sessions were told to come back", "sessions_max"),
            Self::Requests => ("requests were told to come back", "requests_max"),
            Self::Messages => ("large messages were told to come back", "messages_bytes_max"),
            Self::Answers => ("large answers were given up", "answers_bytes_max"),
            Self::Unread => {
                return "connections were closed because nobody read their answers for write_ms".to_owned();
            }
            Self::Resets => {
                return "HTTP/2 connections were closed because their clients took back too many requests"
                    .to_owned();
            }
            Self::TurnedAway => return "requests were turned away for their Host or Origin".to_owned(),
        };
        format!("{what}; raise {setting} if these are honest clients")
    }
}

impl Notices {
    /// Logs the trouble, unless its kind was logged within [`NOTICE_MS`].
    pub(crate) fn tell(&self, trouble: Trouble, peer: &str) {
        if let Some(count) = self.count(trouble, Instant::now()) {
            tracing::warn!(%peer, count, "{}", trouble.text());
        }
    }

    /// Occurrences since the last log entry; `None` if it is too early for another.
    fn count(&self, trouble: Trouble, now: Instant) -> Option<u64> {
        let mut notices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let notice = notices.entry(trouble).or_default();
        notice.since += 1;
        let between = Duration::from_millis(NOTICE_MS);
        if notice.logged_at.is_some_and(|logged_at| now.saturating_duration_since(logged_at) < between) {
            return None;
        }
        notice.logged_at = Some(now);
        Some(std::mem::take(&mut notice.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_told_once_a_minute_with_how_often_it_happened() {
        let notices = Notices::default();
        let mut now = Instant::now();
        assert_eq!(notices.count(Trouble::Requests, now), Some(1));
        for _ in 0..1_000 {
            assert_eq!(notices.count(Trouble::Requests, now), None);
        }
        assert_eq!(notices.count(Trouble::Streams, now), Some(1), "another kind is told by itself");
        now += Duration::from_millis(NOTICE_MS);
        assert_eq!(notices.count(Trouble::Requests, now), Some(1_001));
    }
}
