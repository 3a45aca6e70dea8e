//! What a worker has seen its guest attempt with what lies inside of it: for the record, as it tells. Of what it reaches outside
//! it tells nothing; that the server has seen itself.

use serde::{Deserialize, Serialize};
use toolgate_policy::capability::attempt::{Attempt, Judged};
use toolgate_state::audit::record::CallTrace;

/// As much as a record lists.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct WorkerAttempts {
    attempts: Vec<(WorkerAttempt, bool)>,
}

/// An attempt, and whether it was allowed.
#[derive(Debug, Serialize, Deserialize)]
enum WorkerAttempt {
    Config(String),
    Clock,
    Random,
}

impl WorkerAttempts {
    /// What stands in the notes of a call; nothing if there is nothing.
    pub(super) fn in_notes(notes: &CallTrace) -> Option<Self> {
        let told = |(attempt, judged)| Some((WorkerAttempt::of(attempt)?, judged == Judged::Allowed));
        let attempts: Vec<_> = notes.listed().into_iter().filter_map(told).collect();
        (!attempts.is_empty()).then_some(Self { attempts })
    }

    /// Notes it.
    pub(super) fn note(self, notes: &CallTrace) {
        for (attempt, allowed) in self.attempts {
            notes.attempt(attempt.into(), if allowed { Judged::Allowed } else { Judged::Refused });
        }
    }
}

impl WorkerAttempt {
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

impl From<WorkerAttempt> for Attempt {
    fn from(inward: WorkerAttempt) -> Self {
        match inward {
            WorkerAttempt::Config(key) => Self::Config(key),
            WorkerAttempt::Clock => Self::Clock,
            WorkerAttempt::Random => Self::Random,
        }
    }
}
