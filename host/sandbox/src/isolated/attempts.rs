//! Uses of capabilities inside a worker, for the record. What it reaches outside of itself the server has recorded.

use toolgate_policy::capability::attempt::{Attempt, AttemptVerdict};
use toolgate_state::audit::record::CallTrace;

use crate::protocol::frame::WorkerAttempt;

/// The attempts of a call as a message has them, each with whether it was allowed.
pub(super) fn listed(notes: &CallTrace) -> Vec<(WorkerAttempt, bool)> {
    let each = |(attempt, judged)| Some((to_wire(attempt)?, judged == AttemptVerdict::Allowed));
    notes.listed().into_iter().filter_map(each).collect()
}

/// Records the attempts of a message.
pub(super) fn record(attempts: Vec<(WorkerAttempt, bool)>, notes: &CallTrace) {
    for (attempt, allowed) in attempts {
        let attempt = match attempt {
            WorkerAttempt::Config(key) => Attempt::Config(key),
            WorkerAttempt::Clock => Attempt::Clock,
            WorkerAttempt::Random => Attempt::Random,
        };
        notes.attempt(attempt, if allowed { AttemptVerdict::Allowed } else { AttemptVerdict::Refused });
    }
}

fn to_wire(attempt: Attempt) -> Option<WorkerAttempt> {
    Some(match attempt {
        Attempt::Config(key) => WorkerAttempt::Config(key),
        Attempt::Clock => WorkerAttempt::Clock,
        Attempt::Random => WorkerAttempt::Random,
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
