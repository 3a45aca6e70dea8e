//! Circuit breaker (closed, open, half open): repeated failures put a caller on hold; later one trial call tests
//! recovery. Faults count against the caller first, and against all callers only when several of them fail. A caller
//! whose own calls succeeded recently is never blocked by the faults of others, and nobody by those of another tenant.

mod hold;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use toolgate_base::outcome::{Blame, Fault, FaultKind, Outcome};
use toolgate_policy::limits::call::{CALLER_GOOD_MS, CALLERS_FAILING, CALLERS_KEPT, CallLimit};
use toolgate_policy::principal::Tenant;

use crate::turns::Caller;
use hold::{Circle, Standing};

/// Circuit breaker of one plugin.
pub(crate) struct Breaker {
    faults_max: u64,
    tenants: Mutex<HashMap<Tenant, State>>,
}

/// State of one tenant.
#[derive(Default)]
struct State {
    everybody: Circle<Arc<str>>,
    peers: HashMap<Arc<str>, Circle<u64>>,
    callers: HashMap<Caller, One>,
}

#[derive(Default)]
struct One {
    circle: Circle<()>,
    /// Time of the caller's last successful call, if none failed since.
    good: Option<Instant>,
    seen: Option<Instant>,
}

/// Scope of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whom {
    /// One connection or session of a client.
    Caller,
    /// All connections of one client.
    Peer,
    /// Everybody of the tenant.
    Everybody,
}

/// State change, reported to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Put on hold for this duration.
    Held(Whom, Duration),
    Released(Whom),
}

/// A call that may run; [`Trial::ended`] reports its outcome.
pub(crate) struct Trial<'a> {
    breaker: &'a Breaker,
    caller: Caller,
    /// Scopes for which this call is the half-open trial.
    tries: Vec<Whom>,
}

impl Breaker {
    pub(super) fn new(faults_max: u64) -> Self {
        Self { faults_max, tenants: Mutex::default() }
    }

    /// Admits a call.
    pub(super) fn begin(&self, caller: &Caller, now: Instant) -> Result<Trial<'_>, Fault> {
        let mut tenants = self.tenants();
        let state = tenants.entry(caller.tenant().clone()).or_default();
        let mut tries = Vec::new();
        for whom in [Whom::Caller, Whom::Peer, Whom::Everybody] {
            if whom != Whom::Caller && state.is_good(caller, now) {
                break;
            }
            match state.standing(whom, caller, now) {
                Standing::Free => {}
                Standing::MayTry => tries.push(whom),
                Standing::Held(left) => return Err(self.on_hold(whom, left)),
            }
        }
        for whom in &tries {
            state.set_trying(*whom, caller, true);
        }
        Ok(Trial { breaker: self, caller: caller.clone(), tries })
    }

    fn on_hold(&self, whom: Whom, left: Duration) -> Fault {
        let (who, held) = match whom {
            Whom::Caller => ("for this client's connection or session", "it"),
            Whom::Peer => ("for all connections from this client's address", "them"),
            Whom::Everybody => ("for several clients", "everybody"),
        };
        let text = format!(
            "the tool's plugin failed too often in a row {who} ({} = {}) and is on hold for {held}; try again in {} s",
            CallLimit::Faults.name(),
            self.faults_max,
            left.as_secs() + 1
        );
        Fault::new(FaultKind::Limit(CallLimit::Faults), text)
    }

    /// The state of each tenant that called; tenants are a closed list.
    fn tenants(&self) -> MutexGuard<'_, HashMap<Tenant, State>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trial<'_> {
    /// Records the outcome and returns the widest state change that it caused. Only the plugin's own faults count.
    pub(super) fn ended(self, outcome: &Outcome, now: Instant) -> Option<Change> {
        let failed = match outcome {
            Outcome::Answer(_) => false,
            Outcome::Fault(fault) if fault.blame() == Blame::Plugin => true,
            Outcome::Fault(_) | Outcome::Denied(_) => return None,
        };
        let mut tenants = self.breaker.tenants();
        let state = tenants.entry(self.caller.tenant().clone()).or_default();
        if failed {
            state.failed(&self.caller, &self.tries, self.breaker.faults_max, now)
        } else {
            // A call that began before the hold and succeeds ends it too.
            state.went_well(&self.caller, now)
        }
    }
}

impl Drop for Trial<'_> {
    /// A trial without a result leaves the next call to try.
    fn drop(&mut self) {
        if !self.tries.is_empty() {
            let mut tenants = self.breaker.tenants();
            let state = tenants.entry(self.caller.tenant().clone()).or_default();
            for whom in &self.tries {
                state.set_trying(*whom, &self.caller, false);
            }
        }
    }
}

impl State {
    fn is_good(&self, caller: &Caller, now: Instant) -> bool {
        let lately = Duration::from_millis(CALLER_GOOD_MS);
        let good = self.callers.get(caller).and_then(|one| one.good);
        good.is_some_and(|at| now.saturating_duration_since(at) < lately)
    }

    fn standing(&self, whom: Whom, caller: &Caller, now: Instant) -> Standing {
        match whom {
            Whom::Caller => self.callers.get(caller).map(|one| one.circle.standing(now)),
            Whom::Peer => self.peers.get(caller.peer()).map(|peer| peer.standing(now)),
            Whom::Everybody => Some(self.everybody.standing(now)),
        }
        .unwrap_or(Standing::Free)
    }

    fn set_trying(&mut self, whom: Whom, caller: &Caller, trying: bool) {
        match whom {
            Whom::Caller => {
                if let Some(one) = self.callers.get_mut(caller) {
                    one.circle.set_trying(trying);
                }
            }
            Whom::Peer => {
                if let Some(peer) = self.peers.get_mut(caller.peer()) {
                    peer.set_trying(trying);
                }
            }
            Whom::Everybody => self.everybody.set_trying(trying),
        }
    }

    fn failed(&mut self, caller: &Caller, tries: &[Whom], faults_max: u64, now: Instant) -> Option<Change> {
        let several = CALLERS_FAILING.min(usize::try_from(faults_max).unwrap_or(CALLERS_FAILING));
        let is_trial = |whom| tries.contains(&whom);
        let one = self.one(caller, now);
        one.good = None;
        let of_caller = one.circle.failed((), 1, faults_max, is_trial(Whom::Caller), now);
        let peer = self.peers.entry(Arc::clone(caller.peer())).or_default();
        let of_peer = peer.failed(caller.conversation(), several, faults_max, is_trial(Whom::Peer), now);
        let peer = Arc::clone(caller.peer());
        let of_all = self.everybody.failed(peer, several, faults_max, is_trial(Whom::Everybody), now);
        let held = |whom| move |lasts| Change::Held(whom, lasts);
        let of_all = of_all.map(held(Whom::Everybody));
        of_all.or(of_peer.map(held(Whom::Peer))).or(of_caller.map(held(Whom::Caller)))
    }

    fn went_well(&mut self, caller: &Caller, now: Instant) -> Option<Change> {
        let one = self.one(caller, now);
        one.good = Some(now);
        let of_caller = one.circle.went_well();
        let of_peer = self.peers.remove(caller.peer()).is_some_and(|mut peer| peer.went_well());
        let of_all = self.everybody.went_well();
        let whom = match (of_caller, of_peer, of_all) {
            (_, _, true) => Whom::Everybody,
            (_, true, false) => Whom::Peer,
            (true, false, false) => Whom::Caller,
            (false, false, false) => return None,
        };
        Some(Change::Released(whom))
    }

    /// State of a caller. At `CALLERS_KEPT` callers the least recently seen one is evicted.
    fn one(&mut self, caller: &Caller, now: Instant) -> &mut One {
        if self.callers.len() >= CALLERS_KEPT && !self.callers.contains_key(caller) {
            let oldest =
                self.callers.iter().min_by_key(|(_, one)| one.seen).map(|(caller, _)| caller.clone());
            if let Some(oldest) = oldest {
                self.callers.remove(&oldest);
                if !self.callers.keys().any(|other| other.peer() == oldest.peer()) {
                    self.peers.remove(oldest.peer());
                }
            }
        }
        let one = self.callers.entry(caller.clone()).or_default();
        one.seen = Some(now);
        one
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
