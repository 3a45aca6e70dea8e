//! Trouble with clients, for the log: each kind once a minute at the most, with how often it happened, so that a client
//! cannot fill the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use toolgate_policy::limits::wire::NOTICE_MS;

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A connection that waited made room for another.
    ConnectionMadeRoom,
    /// All connections are taken.
    Connections,
    /// All streams are.
    Streams,
    /// A session that was idle made room for another.
    SessionMadeRoom,
    /// All sessions are in use.
    Sessions,
    /// As many requests are answered as may be.
    Requests,
    /// Large messages take as much as they may.
    Messages,
    /// Large answers that wait to be written do.
    Answers,
    /// A client did not read its answer.
    Unread,
    /// A client may not talk to this server at all.
    TurnedAway,
}

/// When each kind was told last.
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

    /// What happened, and what to do about it.
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
    /// Tells the operator, unless that kind was told a short while ago.
    pub(crate) fn tell(&self, trouble: Trouble, peer: &str) {
        if let Some(count) = self.count(trouble, Instant::now()) {
            tracing::warn!(%peer, count, "{}", trouble.text());
        }
    }

    /// How often it happened since it was told last, if it is to be told now.
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
