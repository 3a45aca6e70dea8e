//! Order of waiting callers: fewest slots held first, then least recently served; compared by peer, then by group
//! within a peer, then by conversation within a group.

use std::collections::HashMap;
use std::sync::Arc;

use toolgate_policy::principal::Tenant;

use super::Caller;

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) caller: Caller,
    pub(super) group: u64,
}

pub(super) struct Waiter<T> {
    pub(super) key: Key,
    arrival: u64,
    pub(super) tell: T,
}

/// Waiting callers, and when their peers, groups and conversations were served last.
pub(super) struct Queue<T> {
    waiting: Vec<Waiter<T>>,
    arrivals: u64,
    served: HashMap<Part, u64>,
    turns: u64,
}

/// Unit of comparison: a peer, one of its groups, a conversation in that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    Peer(Peer),
    Group(Peer, u64),
    Conversation(Peer, u64, u64),
}

/// A peer of a tenant.
type Peer = (Tenant, Arc<str>);

impl Key {
    fn peer(&self) -> Peer {
        (self.caller.tenant.clone(), Arc::clone(&self.caller.peer))
    }

    fn parts(&self) -> [Part; 3] {
        let peer = || self.peer();
        [
            Part::Peer(peer()),
            Part::Group(peer(), self.group),
            Part::Conversation(peer(), self.group, self.caller.conversation),
        ]
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: Vec::new(), arrivals: 0, served: HashMap::new(), turns: 0 }
    }
}

impl<T> Queue<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds a waiter; returns the number for removing it.
    pub(super) fn push(&mut self, key: Key, tell: T) -> u64 {
        self.arrivals += 1;
        self.waiting.push(Waiter { key, arrival: self.arrivals, tell });
        self.arrivals
    }

    pub(super) fn remove(&mut self, arrival: u64) {
        if let Some(at) = self.waiting.iter().position(|waiting| waiting.arrival == arrival) {
            self.waiting.remove(at);
        }
    }

    /// Removes and returns the next waiter, given the holders of slots.
    pub(super) fn next<'a>(&mut self, running: impl Iterator<Item = &'a Key>) -> Option<Waiter<T>> {
        if self.waiting.is_empty() {
            return None;
        }
        let mut held: HashMap<Part, u64> = HashMap::new();
        for key in running {
            key.parts().into_iter().for_each(|part| *held.entry(part).or_default() += 1);
        }
        let count = |counts: &HashMap<Part, u64>, part: &Part| counts.get(part).copied().unwrap_or(0);
        let rank = |waiting: &Waiter<T>| {
            let parts = waiting.key.parts();
            (parts.map(|part| (count(&held, &part), count(&self.served, &part))), waiting.arrival)
        };
        let (at, _) = self.waiting.iter().enumerate().min_by_key(|(_, waiting)| rank(waiting))?;
        let next = self.waiting.remove(at);
        self.turns += 1;
        for part in next.key.parts() {
            self.served.insert(part, self.turns);
        }
        self.forget();
        Some(next)
    }

    /// Removes the waiter that a newcomer displaces from a full queue: the latest of the largest conversation of the
    /// largest peer. `None` if nobody has more than the newcomer would have.
    pub(super) fn pushed_out_by(&mut self, newcomer: &Key) -> Option<Waiter<T>> {
        let mut peers: HashMap<Peer, usize> = HashMap::new();
        let mut conversations: HashMap<&Caller, usize> = HashMap::new();
        for waiting in &self.waiting {
            *peers.entry(waiting.key.peer()).or_default() += 1;
            *conversations.entry(&waiting.key.caller).or_default() += 1;
        }
        let own = peers.get(&newcomer.peer()).copied().unwrap_or(0);
        let (most, count) = peers.iter().max_by_key(|(_, count)| **count)?;
        let (peer, fewer_than) = if *count > own + 1 {
            (most.clone(), usize::MAX)
        } else {
            let own = conversations.get(&newcomer.caller).copied().unwrap_or(0);
            (newcomer.peer(), own + 1)
        };
        let largest =
            conversations.iter().filter(|(caller, _)| (&caller.tenant, &caller.peer) == (&peer.0, &peer.1));
        let (largest, count) = largest.max_by_key(|(_, count)| **count)?;
        if fewer_than != usize::MAX && *count <= fewer_than {
            return None;
        }
        let largest = (*largest).clone();
        let at = self.waiting.iter().rposition(|waiting| waiting.key.caller == largest)?;
        Some(self.waiting.remove(at))
    }

    /// Forgets when callers were served that no longer wait: they start anew.
    fn forget(&mut self) {
        let waiting: std::collections::HashSet<Part> =
            self.waiting.iter().flat_map(|waiting| waiting.key.parts()).collect();
        self.served.retain(|part, _| waiting.contains(part));
    }
}
