//! What a worker has seen its guest attempt with what lies inside of it: for the record, as it tells. Of what it reaches outside
//! it tells nothing; that the server has seen itself.

use serde::{Deserialize, Serialize};
use toolgate_policy::address::Host;
use toolgate_policy::capability::attempt::{Attempt, Judged};
use toolgate_policy::capability::sockets::Protocol;

use crate::audit::record::Notes;

/// As much as a record lists.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    attempts: Vec<(Inward, bool)>,
    hosts: Vec<String>,
}

/// An attempt, and whether it was allowed.
#[derive(Debug, Serialize, Deserialize)]
enum Inward {
    Config(String),
    Clock,
    Random,
    Lookup(String),
    Tcp(String, u16),
    Udp(String, u16),
    NoSocket(String, String),
}

impl Seen {
    /// What stands in the notes of a call; nothing if there is nothing.
    pub(super) fn in_notes(notes: &Notes) -> Option<Self> {
        let (attempts, hosts) = notes.listed();
        let told = |(attempt, judged)| Some((Inward::of(attempt)?, judged == Judged::Allowed));
        let seen = Self { attempts: attempts.into_iter().filter_map(told).collect(), hosts };
        let some = !seen.attempts.is_empty() || !seen.hosts.is_empty();
        some.then_some(seen)
    }

    /// Notes it. Nothing if it is nothing that a worker could have seen.
    pub(super) fn note(self, notes: &Notes) -> Option<()> {
        for (attempt, allowed) in self.attempts {
            notes.attempt(attempt.told()?, if allowed { Judged::Allowed } else { Judged::Refused });
        }
        self.hosts.iter().for_each(|host| notes.host(host));
        Some(())
    }
}

impl Inward {
    fn of(attempt: Attempt) -> Option<Self> {
        Some(match attempt {
            Attempt::Config(key) => Self::Config(key),
            Attempt::Clock => Self::Clock,
            Attempt::Random => Self::Random,
            Attempt::Lookup(host) => Self::Lookup(host.to_string()),
            Attempt::Socket { protocol: Protocol::Tcp, host, port } => Self::Tcp(host.to_string(), port),
            Attempt::Socket { protocol: Protocol::Udp, host, port } => Self::Udp(host.to_string(), port),
            Attempt::NoSocket { text, why } => Self::NoSocket(text, why),
            Attempt::File { .. } | Attempt::Request(_) | Attempt::NoRequest { .. } | Attempt::Keyvalue => {
                return None;
            }
        })
    }

    fn told(self) -> Option<Attempt> {
        let host = |host: &str| Host::parse(host).ok();
        let socket = |protocol, at: &str, port| Some(Attempt::Socket { protocol, host: host(at)?, port });
        match self {
            Self::Config(key) => Some(Attempt::Config(key)),
            Self::Clock => Some(Attempt::Clock),
            Self::Random => Some(Attempt::Random),
            Self::Lookup(name) => host(&name).map(Attempt::Lookup),
            Self::Tcp(at, port) => socket(Protocol::Tcp, &at, port),
            Self::Udp(at, port) => socket(Protocol::Udp, &at, port),
            Self::NoSocket(text, why) => Some(Attempt::NoSocket { text, why }),
        }
    }
}
