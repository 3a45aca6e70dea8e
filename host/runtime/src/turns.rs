//! Fair semaphore. While all slots are taken, callers wait; the one that holds the fewest goes next, so that one caller
//! with many calls does not starve others.

mod fair;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use toolgate_policy::principal::Tenant;

use fair::{Key, Waiter};

/// Identity of a caller for fairness, quotas and holds. It grants no permissions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    tenant: Tenant,
    peer: Arc<str>,
    conversation: u64,
}

impl Caller {
    /// A caller of a tenant. `peer` is the widest unit known to be one client: a principal, or an address where nobody
    /// has to say who they are. `conversation` identifies one of its connections or sessions.
    pub fn new(tenant: Tenant, peer: impl Into<Arc<str>>, conversation: u64) -> Self {
        Self { tenant, peer: peer.into(), conversation }
    }

    /// Tenant for which it acts.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Widest unit known to be one client.
    pub fn peer(&self) -> &Arc<str> {
        &self.peer
    }

    /// Connection or session of the peer.
    pub fn conversation(&self) -> u64 {
        self.conversation
    }
}

/// A number of slots with a bounded queue.
pub(crate) struct Turns {
    places: usize,
    queue_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Holders of slots, by the number of the slot.
    running: HashMap<u64, Key>,
    /// Number of slots given so far.
    slots: u64,
    waiting: fair::Queue<oneshot::Sender<Result<TurnSlot, Crowded>>>,
}

/// A slot, released on drop.
pub(crate) struct TurnSlot {
    turns: Arc<Turns>,
    slot: u64,
}

/// No slot was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crowded {
    /// The queue is full, and this caller has no fewer calls in it than others.
    Full,
    /// The call waited and was displaced by a caller with fewer calls in the full queue.
    GaveWay,
}

impl Turns {
    /// `places` slots; `queue_max` callers may wait.
    pub(crate) fn new(places: usize, queue_max: usize) -> Arc<Self> {
        Arc::new(Self { places: places.max(1), queue_max, state: Mutex::default() })
    }

    /// Acquires a slot, waiting for one. Within a peer, its `group`s take turns as well.
    pub(crate) async fn enter(self: &Arc<Self>, caller: &Caller, group: u64) -> Result<TurnSlot, Crowded> {
        self.enter_if(caller, group, || Ok(())).await
    }

    /// Like [`Turns::enter`]; a call that has to wait first runs `may_wait` and holds its result while waiting.
    pub(crate) async fn enter_if<T>(
        self: &Arc<Self>,
        caller: &Caller,
        group: u64,
        may_wait: impl FnOnce() -> Result<T, Crowded>,
    ) -> Result<TurnSlot, Crowded> {
        let (arrival, turn) = match self.join(Key { caller: caller.clone(), group }) {
            Joined::Now(place) => return Ok(place),
            Joined::Crowded => return Err(Crowded::Full),
            Joined::Later { arrival, turn } => (arrival, turn),
        };
        let _leaves = Leaving { turns: self, arrival };
        let _waits = may_wait()?;
        // The sender is dropped only when the process ends.
        turn.await.unwrap_or(Err(Crowded::Full))
    }

    fn join(self: &Arc<Self>, key: Key) -> Joined {
        let mut state = self.state();
        if state.waiting.is_empty() && state.running.len() < self.places {
            let slot = state.occupy(key);
            return Joined::Now(TurnSlot { turns: Arc::clone(self), slot });
        }
        let gives_way = if state.waiting.len() < self.queue_max {
            None
        } else {
            match state.waiting.pushed_out_by(&key) {
                Some(waiting) => Some(waiting),
                None => return Joined::Crowded,
            }
        };
        let (tell, turn) = oneshot::channel();
        let arrival = state.waiting.push(key, tell);
        drop(state);
        if let Some(waiting) = gives_way {
            // The receiver may be gone.
            drop(waiting.tell.send(Err(Crowded::GaveWay)));
        }
        Joined::Later { arrival, turn }
    }

    fn leave(self: &Arc<Self>, slot: u64) {
        let mut state = self.state();
        state.running.remove(&slot);
        let State { running, waiting, .. } = &mut *state;
        let Some(Waiter { key, tell, .. }) = waiting.next(running.values()) else { return };
        let slot = state.occupy(key);
        drop(state);
        // If the receiver is gone, dropping the slot passes it to the next.
        drop(tell.send(Ok(TurnSlot { turns: Arc::clone(self), slot })));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Joined {
    Now(TurnSlot),
    Later { arrival: u64, turn: oneshot::Receiver<Result<TurnSlot, Crowded>> },
    Crowded,
}

impl State {
    fn occupy(&mut self, key: Key) -> u64 {
        self.slots += 1;
        self.running.insert(self.slots, key);
        self.slots
    }
}

impl Drop for TurnSlot {
    fn drop(&mut self) {
        self.turns.leave(self.slot);
    }
}

/// Removes a caller that stops waiting from the queue.
struct Leaving<'a> {
    turns: &'a Arc<Turns>,
    arrival: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.turns.state().waiting.remove(self.arrival);
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
