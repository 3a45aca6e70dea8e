//! Consecutive faults within a scope (one caller, one peer, everybody), and the hold that results from them.

use std::time::Duration;

use tokio::time::Instant;
use toolgate_policy::limits::call::{HOLD_MS, HOLD_MS_MAX};

/// Fault state of one scope. `M` identifies its members.
pub(super) struct Circle<M> {
    faults: u64,
    /// Distinct members that failed since the last success, at most `members_min`.
    failing: Vec<M>,
    hold: Option<Hold>,
}

struct Hold {
    until: Instant,
    lasts: Duration,
    /// A trial call is running.
    trying: bool,
}

/// Admission decision of this scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Free,
    /// The hold is over; one call may try.
    MayTry,
    /// On hold, with the time remaining.
    Held(Duration),
}

impl<M> Default for Circle<M> {
    fn default() -> Self {
        Self { faults: 0, failing: Vec::new(), hold: None }
    }
}

impl<M: PartialEq> Circle<M> {
    pub(super) fn standing(&self, now: Instant) -> Standing {
        let Some(hold) = &self.hold else { return Standing::Free };
        let left = hold.until.saturating_duration_since(now);
        if hold.trying || !left.is_zero() { Standing::Held(left) } else { Standing::MayTry }
    }

    pub(super) fn set_trying(&mut self, trying: bool) {
        if let Some(hold) = &mut self.hold {
            hold.trying = trying;
        }
    }

    /// Counts a fault. A hold takes `faults_max` faults by `members_min` members; its duration is returned when it
    /// begins or is extended.
    pub(super) fn failed(
        &mut self,
        by: M,
        members_min: usize,
        faults_max: u64,
        is_trial: bool,
        now: Instant,
    ) -> Option<Duration> {
        self.faults = self.faults.saturating_add(1);
        if self.failing.len() < members_min && !self.failing.contains(&by) {
            self.failing.push(by);
        }
        let lasts = match &self.hold {
            // The call began before the hold.
            Some(_) if !is_trial => return None,
            Some(hold) => hold.lasts.saturating_mul(2).min(Duration::from_millis(HOLD_MS_MAX)),
            None if self.faults >= faults_max && self.failing.len() >= members_min => {
                Duration::from_millis(HOLD_MS)
            }
            None => return None,
        };
        self.hold = Some(Hold { until: now + lasts, lasts, trying: false });
        Some(lasts)
    }

    /// Resets the counters after a success. Returns true if that ends a hold.
    pub(super) fn went_well(&mut self) -> bool {
        self.faults = 0;
        self.failing.clear();
        self.hold.take().is_some()
    }
}
