//! What a worker has seen its guest attempt with what lies inside of it: for the record, as it tells. Of what it reaches outside
//! it tells nothing; that the server has seen itself.

use serde::{Deserialize, Serialize};
use toolgate_policy::capability::attempt::{Attempt, Judged};

use crate::audit::record::Notes;

/// As much as a record lists.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    attempts: Vec<(Inward, bool)>,
}

/// An attempt, and whether it was allowed.
#[derive(Debug, Serialize, Deserialize)]
enum Inward {
    Config(String),
    Clock,
    Random,
}

impl Seen {
    /// What stands in the notes of a call; nothing if there is nothing.
    pub(super) fn in_notes(notes: &Notes) -> Option<Self> {
        let told = |(attempt, judged)| Some((Inward::of(attempt)?, judged == Judged::Allowed));
        let attempts: Vec<_> = notes.listed().into_iter().filter_map(told).collect();
        (!attempts.is_empty()).then_some(Self { attempts })
    }

    /// Notes it.
    pub(super) fn note(self, notes: &Notes) {
        for (attempt, allowed) in self.attempts {
            notes.attempt(attempt.into(), if allowed { Judged::Allowed } else { Judged::Refused });
        }
    }
}

impl Inward {
    fn of(attempt: Attempt) -> Option<Self> {
        Some(match attempt {
            Attempt::Config(key) => Self::Config(key),
            Attempt::Clock => Self::Clock,
            Attempt::Random => Self::Random,
            Attempt::File { .. }
            | Attempt::Request(_)
            | Attempt::Header { .. }
            | Attempt::NoRequest { .. }
            | Attempt::Keyvalue
            | Attempt::Lookup(_)
            | Attempt::Socket { .. }
            | Attempt::NoSocket { .. } => return None,
        })
    }
}

impl From<Inward> for Attempt {
    fn from(inward: Inward) -> Self {
        match inward {
            Inward::Config(key) => Self::Config(key),
            Inward::Clock => Self::Clock,
            Inward::Random => Self::Random,
        }
    }
}
