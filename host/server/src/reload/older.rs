//! A trust policy that was put back while a newer one is remembered. What is remembered as revoked serves no more all the same; the
//! operator is told, once a minute until the file is another.

use std::path::Path;
use std::time::{Duration, Instant};

use toolgate_policy::limits::load::REMIND_MS;
use toolgate_runtime::gate::Gate;

use super::Stamp;
use crate::config::load_trust;

/// When the file is looked at again.
#[derive(Default)]
pub(super) struct Older {
    /// The version that is remembered and the file's stamp, as of the last look.
    looked_at: Option<(u64, Option<Stamp>)>,
    /// Whether the file might be taken then.
    is_well: bool,
    /// When the operator was last told.
    told: Option<Instant>,
}

impl Older {
    /// Whether the file is to be read, given the version that is remembered, if that is newer than the policy in force here.
    pub(super) fn is_to_be_looked_at(&mut self, newer: Option<u64>, stamp: Option<Stamp>) -> bool {
        let Some(newer) = newer else {
            self.looked_at = None;
            return false;
        };
        let at = Some((newer, stamp));
        if self.looked_at != at {
            (self.looked_at, self.is_well) = (at, false);
        }
        !self.is_well && self.told.is_none_or(|told| told.elapsed() >= Duration::from_millis(REMIND_MS))
    }

    /// The operator was told, or there was no need.
    pub(super) fn looked(&mut self, told: bool) {
        self.is_well = !told;
        if told {
            self.told = Some(Instant::now());
        }
    }
}

/// Says that the file is older than what is remembered, or another under the same version. Whether it did.
pub(super) fn warn(gate: &Gate, policy: &Path) -> bool {
    let why = match load_trust(policy) {
        Ok(trust) => gate.refuses(&trust),
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
        older.told = Instant::now().checked_sub(Duration::from_millis(REMIND_MS));
        assert!(older.is_to_be_looked_at(Some(2), at(3)), "a minute later");
    }
}
