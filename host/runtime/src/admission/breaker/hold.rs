//! Faults in a row within a circle of callers, and the hold that comes of them.

use std::time::Duration;

use tokio::time::Instant;
use toolgate_policy::limits::call::{HOLD_MS, HOLD_MS_MAX};

/// One caller, those of one peer, or everybody. `M` tells its members apart.
pub(super) struct Circle<M> {
    /// In a row.
    faults: u64,
    /// Who failed since the last call that went well: as many as it takes.
    failing: Vec<M>,
    hold: Option<Hold>,
}

struct Hold {
    until: Instant,
    lasts: Duration,
    /// Whether a call is trying.
    trying: bool,
}

/// Whether a call may run, as far as this circle goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Free,
    /// The hold is over; one call may try.
    MayTry,
    /// On hold, for so long yet.
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

    /// Counts a fault. If a hold begins with it, or goes on, how long it lasts: a hold takes `faults_max` faults by
    /// `members_min` members.
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
            // One of those that began before the hold.
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

    /// A call went well: everything is as at the beginning. Whether that ends a hold.
    pub(super) fn went_well(&mut self) -> bool {
        self.faults = 0;
        self.failing.clear();
        self.hold.take().is_some()
    }
}
