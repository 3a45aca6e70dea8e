//! A plugin that keeps failing is put on hold, so that it costs nothing but a refusal; after a while one call tries whether it
//! works again. (The field's name for this is a circuit breaker: closed, open, half open.)

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use toolgate_policy::limits::call::{CallLimit, HOLD_MS, HOLD_MS_MAX};

use crate::outcome::{Blame, Fault, FaultKind, Outcome};

/// Of one plugin.
pub(crate) struct Breaker {
    faults_max: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In a row.
    faults: u64,
    hold: Option<Hold>,
}

struct Hold {
    until: Instant,
    lasts: Duration,
    /// Whether a call is trying.
    trying: bool,
}

/// What the operator is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is on hold, for so long.
    Held(Duration),
    /// It works again.
    Released,
}

/// A call that may run. What becomes of it is told with [`Trial::ended`].
pub(crate) struct Trial<'a> {
    breaker: &'a Breaker,
    /// Whether it is the one call by which a plugin on hold is tried.
    only: bool,
}

impl Breaker {
    pub(super) fn new(faults_max: u64) -> Self {
        Self { faults_max, state: Mutex::default() }
    }

    /// Whether a call may run now.
    ///
    /// # Errors
    /// That the plugin is on hold, and until when.
    pub(super) fn begin(&self, now: Instant) -> Result<Trial<'_>, Fault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(hold) = &mut state.hold else { return Ok(Trial { breaker: self, only: false }) };
        let left = hold.until.saturating_duration_since(now);
        if hold.trying || !left.is_zero() {
            return Err(self.on_hold(left));
        }
        hold.trying = true;
        Ok(Trial { breaker: self, only: true })
    }

    fn on_hold(&self, left: Duration) -> Fault {
        let told = format!(
            "the tool's plugin failed too often in a row ({} = {}) and is on hold; try again in {} s",
            CallLimit::Faults.name(),
            self.faults_max,
            left.as_secs() + 1
        );
        Fault::new(FaultKind::Limit(CallLimit::Faults), told)
    }
}

impl Trial<'_> {
    /// Tells how it ended. What is not the plugin's fault says nothing about the plugin.
    pub(crate) fn ended(self, outcome: &Outcome, now: Instant) -> Option<Change> {
        let failed = match outcome {
            Outcome::Answer(_) => false,
            Outcome::Fault(fault) if fault.blame() == Blame::Plugin => true,
            Outcome::Fault(_) | Outcome::Denied(_) => return None,
        };
        let mut state = self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed {
            state.faults = 0;
            // Calls that began before the hold and went well end it too.
            return state.hold.take().map(|_| Change::Released);
        }
        state.faults = state.faults.saturating_add(1);
        let lasts = match &state.hold {
            // One of those that began before the hold.
            Some(_) if !self.only => return None,
            Some(hold) => hold.lasts.saturating_mul(2).min(Duration::from_millis(HOLD_MS_MAX)),
            None if state.faults >= self.breaker.faults_max => Duration::from_millis(HOLD_MS),
            None => return None,
        };
        state.hold = Some(Hold { until: now + lasts, lasts, trying: false });
        Some(Change::Held(lasts))
    }
}

impl Drop for Trial<'_> {
    /// A trial that came to nothing leaves the next call to try.
    fn drop(&mut self) {
        if self.only {
            let mut state = self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(hold) = &mut state.hold {
                hold.trying = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Answer, Content, Verdict};

    fn fine() -> Outcome {
        Outcome::Answer(Answer::new(Verdict::Err, Content::Nothing))
    }

    fn fault(kind: FaultKind) -> Outcome {
        Outcome::Fault(Fault::new(kind, ""))
    }

    fn call(breaker: &Breaker, outcome: &Outcome, now: Instant) -> Option<Change> {
        breaker.begin(now).ok().unwrap().ended(outcome, now)
    }

    const FIRST: Duration = Duration::from_millis(HOLD_MS);

    #[test]
    fn faults_in_a_row_hold_it_and_one_that_works_between_does_not() {
        let now = Instant::now();
        let breaker = Breaker::new(3);
        for _ in 0..2 {
            assert_eq!(call(&breaker, &fault(FaultKind::Trap), now), None);
            assert_eq!(call(&breaker, &fault(FaultKind::Lift), now), None);
            assert_eq!(call(&breaker, &fine(), now), None);
        }
        for _ in 0..2 {
            assert_eq!(call(&breaker, &fault(FaultKind::Trap), now), None);
        }
        assert_eq!(call(&breaker, &fault(FaultKind::Limit(CallLimit::Fuel)), now), Some(Change::Held(FIRST)));
        let told = breaker.begin(now).err().unwrap();
        assert!(told.told().contains("faults_max = 3") && told.told().contains("try again in"), "{told:?}");
    }

    #[test]
    fn faults_of_callers_and_host_say_nothing_about_the_plugin() {
        let now = Instant::now();
        let breaker = Breaker::new(1);
        for kind in [
            FaultKind::Arguments,
            FaultKind::Cancelled,
            FaultKind::Stopping,
            FaultKind::Internal,
            FaultKind::Budget,
        ] {
            assert_eq!(call(&breaker, &fault(kind), now), None, "{kind:?}");
        }
        assert!(breaker.begin(now).is_ok());
    }

    #[test]
    fn after_the_hold_one_call_tries_and_decides() {
        let mut now = Instant::now();
        let breaker = Breaker::new(1);
        assert_eq!(call(&breaker, &fault(FaultKind::Trap), now), Some(Change::Held(FIRST)));
        now += FIRST;
        let trial = breaker.begin(now).ok().unwrap();
        assert!(breaker.begin(now).is_err(), "one at a time");
        assert_eq!(trial.ended(&fault(FaultKind::Trap), now), Some(Change::Held(FIRST * 2)));
        now += FIRST;
        assert!(breaker.begin(now).is_err(), "twice as long");
        now += FIRST;
        drop(breaker.begin(now).ok().unwrap());
        let trial = breaker.begin(now).ok().unwrap();
        assert_eq!(trial.ended(&fault(FaultKind::Cancelled), now), None);
        assert_eq!(call(&breaker, &fine(), now), Some(Change::Released));
        assert!(breaker.begin(now).is_ok() && breaker.begin(now).is_ok());
    }

    #[test]
    fn a_hold_never_lasts_longer_than_its_bound() {
        let mut now = Instant::now();
        let breaker = Breaker::new(1);
        let mut lasts = Duration::ZERO;
        for _ in 0..20 {
            now += lasts;
            let Some(Change::Held(next)) = call(&breaker, &fault(FaultKind::Trap), now) else {
                panic!("held")
            };
            lasts = next;
        }
        assert_eq!(lasts, Duration::from_millis(HOLD_MS_MAX));
    }
}
