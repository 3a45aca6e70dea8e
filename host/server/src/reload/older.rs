//! An older trust policy restored over a newer one. Remembered revocations stay in force; the operator is alarmed once
//! a minute until the file changes.

use std::path::Path;
use std::time::{Duration, Instant};

use toolgate_policy::limits::load::REMIND_MS;
use toolgate_runtime::gate::Gate;

use super::Stamp;
use crate::config::load_trust;

/// Schedule of checks of the file.
#[derive(Default)]
pub(super) struct Older {
    /// Remembered version and the file's stamp, as of the last check.
    looked_at: Option<(u64, Option<Stamp>)>,
    /// Whether the file was acceptable then.
    is_well: bool,
    /// Time of the last alarm.
    logged: Option<Instant>,
}

impl Older {
    /// Whether to check the file. `newer` is the remembered version if it is newer than the policy in force here.
    pub(super) fn is_to_be_looked_at(&mut self, newer: Option<u64>, stamp: Option<Stamp>) -> bool {
        let Some(newer) = newer else {
            self.looked_at = None;
            return false;
        };
        let at = Some((newer, stamp));
        if self.looked_at != at {
            (self.looked_at, self.is_well) = (at, false);
        }
        !self.is_well && self.logged.is_none_or(|logged| logged.elapsed() >= Duration::from_millis(REMIND_MS))
    }

    /// Notes the result of a check: whether there was an alarm.
    pub(super) fn looked(&mut self, logged: bool) {
        self.is_well = !logged;
        if logged {
            self.logged = Some(Instant::now());
        }
    }
}

/// Alarms if the file is older than remembered, or different under the same version. Returns whether it did.
pub(super) fn warn(gate: &Gate, policy: &Path) -> bool {
    let why = match load_trust(policy) {
        Ok(trust) => gate.reconciler.refuses(&trust),
        Err(problems) => Some(problems.to_string()),
    };
    if let Some(why) = &why {
        tracing::error!(
            "ALARM: {}: {why}. What the newer version revoked serves no more. Put the newer file back; if this content is meant, \
             give it a higher version",
            policy.display()
        );
    }
    why.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once_and_one_that_is_older_is_told_once_a_minute() {
        let at = |number| Some((1, number, 3, [4; 4]));
        let mut older = Older::default();
        assert!(!older.is_to_be_looked_at(None, at(1)), "nothing newer is remembered");
        assert!(older.is_to_be_looked_at(Some(2), at(1)));
        older.looked(false);
        assert!(!older.is_to_be_looked_at(Some(2), at(1)), "it is the newer one");
        assert!(older.is_to_be_looked_at(Some(2), at(2)), "it is another file");
        older.looked(true);
        for number in [2, 3] {
            assert!(!older.is_to_be_looked_at(Some(2), at(number)), "it was told just now");
        }
        older.logged = Instant::now().checked_sub(Duration::from_millis(REMIND_MS));
        assert!(older.is_to_be_looked_at(Some(2), at(3)), "a minute later");
    }
}
