//! Log of client trouble: each kind at most once a minute, with a count, so that a client cannot fill the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use toolgate_policy::limits::wire::NOTICE_MS;

/// A kind of client trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// A client is not allowed to use this server.
    TurnedAway,
}

/// Time of the last log entry of each kind.
#[derive(Debug, Default)]
pub(crate) struct Notices([Mutex<Notice>; Trouble::ALL.len()]);

#[derive(Debug, Default)]
struct Notice {
    told: Option<Instant>,
    since: u64,
}

impl Trouble {
    const ALL: [Self; 10] = [
        Self::ConnectionMadeRoom,
        Self::Connections,
        Self::Streams,
        Self::SessionMadeRoom,
        Self::Sessions,
        Self::Requests,
        Self::Messages,
        Self::Answers,
        Self::Unread,
        Self::TurnedAway,
    ];

    /// Description with the remedy.
    fn text(self) -> &'static str {
        match self {
            Self::ConnectionMadeRoom => {
                "connections that waited for a request were closed for new ones; raise connections_max if these are honest clients"
            }
            Self::Connections => {
                "connections were told to come back; raise connections_max if these are honest clients"
            }
            Self::Streams => "streams were told to come back; raise streams_max if these are honest clients",
            Self::SessionMadeRoom => {
                "idle sessions were ended for new ones; raise sessions_max if these are honest clients"
            }
            Self::Sessions => {
                "sessions were told to come back; raise sessions_max if these are honest clients"
            }
            Self::Requests => {
                "requests were told to come back; raise requests_max if these are honest clients"
            }
            Self::Messages => {
                "large messages were told to come back; raise messages_bytes_max if these are honest clients"
            }
            Self::Answers => {
                "large answers were given up; raise answers_bytes_max if these are honest clients"
            }
            Self::Unread => "connections were closed because nobody read their answers for write_ms",
            Self::TurnedAway => "requests were turned away for their Host or Origin",
        }
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
        let mut notice = self.0.get(trouble as usize)?.lock().unwrap_or_else(PoisonError::into_inner);
        notice.since += 1;
        let between = Duration::from_millis(NOTICE_MS);
        if notice.told.is_some_and(|told| now.saturating_duration_since(told) < between) {
            return None;
        }
        notice.told = Some(now);
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

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        for (place, trouble) in Trouble::ALL.into_iter().enumerate() {
            assert_eq!(trouble as usize, place);
        }
    }
}
