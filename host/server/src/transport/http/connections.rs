//! The open connections: how many there are of whom, what each does, and which makes room when all places are taken. A
//! client that sends nothing, or sends slowly, makes room; one whose request is being answered does not.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use toolgate_policy::limits::wire::{PEER_PREFIX_BITS, SLOW_BODY_MS, SPARE_CONNECTIONS_MAX};

/// All of them.
pub(super) struct Connections {
    state: Mutex<State>,
    max: usize,
    peer_max: usize,
}

#[derive(Default)]
struct State {
    last: u64,
    open: HashMap<u64, Arc<Open>>,
}

struct Open {
    peer: Arc<str>,
    phase: AtomicU8,
    since: Mutex<Instant>,
    is_spare: std::sync::atomic::AtomicBool,
    cut: CancellationToken,
}

/// One of them. It is closed when this is dropped.
pub(super) struct Connection {
    id: u64,
    open: Arc<Open>,
    connections: Arc<Connections>,
}

/// What became of a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdmitResult {
    /// There was a place.
    Free,
    /// Another made room.
    MadeRoom,
    /// It is beyond what there may be: a probe is answered, everything else is told to come back.
    Spare,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// It waits for the head of a request.
    Waiting = 0,
    /// It receives a body.
    Receiving = 1,
    /// Its request is being answered.
    Answering = 2,
    /// Its client waits for changes; it counts as a stream.
    Streaming = 3,
}

/// Who is one client, as far as an address tells.
pub(super) fn peer_of(address: IpAddr) -> Arc<str> {
    let address = match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let kept = u128::MAX << (128 - u32::from(PEER_PREFIX_BITS));
            IpAddr::V6((u128::from(address) & kept).into())
        }
    };
    format!("http@{address}").into()
}

impl Connections {
    /// Room for `max`, of which one peer may hold `peer_max`.
    pub(super) fn new(max: u64, peer_max: u64) -> Arc<Self> {
        let size = |value| usize::try_from(value).unwrap_or(usize::MAX);
        Arc::new(Self { state: Mutex::default(), max: size(max), peer_max: size(peer_max) })
    }

    /// Takes a new one in; none if there are too many even to tell it so.
    pub(super) fn accept(self: &Arc<Self>, peer: &Arc<str>) -> Option<(Connection, AdmitResult)> {
        let mut state = self.state();
        let now = Instant::now();
        let accepted = match self.full(&state, peer) {
            None => AdmitResult::Free,
            Some(of_peer) => match state.makes_room(of_peer.then_some(peer), false, now) {
                true => AdmitResult::MadeRoom,
                false => {
                    let spares = state.open.values().filter(|open| open.is_spare()).count();
                    if spares >= SPARE_CONNECTIONS_MAX && !state.makes_room(None, true, now) {
                        return None;
                    }
                    AdmitResult::Spare
                }
            },
        };
        let open = Arc::new(Open {
            peer: Arc::clone(peer),
            phase: AtomicU8::new(Phase::Waiting as u8),
            since: Mutex::new(now),
            is_spare: (accepted == AdmitResult::Spare).into(),
            cut: CancellationToken::new(),
        });
        state.last += 1;
        let id = state.last;
        state.open.insert(id, Arc::clone(&open));
        Some((Connection { id, open, connections: Arc::clone(self) }, accepted))
    }

    /// Closes the one that has waited longest, where the system has no descriptor left.
    pub(super) fn make_room(&self) {
        self.state().makes_room(None, false, Instant::now());
    }

    /// Whether there is no place for another, and if so, whether that is the peer's own doing.
    fn full(&self, state: &State, peer: &Arc<str>) -> Option<bool> {
        let counted = || state.open.values().filter(|open| open.counts());
        if counted().filter(|open| open.peer == *peer).count() >= self.peer_max {
            return Some(true);
        }
        (counted().count() >= self.max).then_some(false)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Closes one that waits, the longest first, or else one whose body is slow. Whether there was one.
    fn makes_room(&mut self, of: Option<&Arc<str>>, among_spares: bool, now: Instant) -> bool {
        let candidates = self
            .open
            .iter()
            .filter(|(_, open)| open.is_spare() == among_spares && of.is_none_or(|peer| open.peer == *peer));
        let slow = Duration::from_millis(SLOW_BODY_MS);
        let ranked = candidates.filter_map(|(id, open)| {
            let since = *open.since.lock().unwrap_or_else(PoisonError::into_inner);
            let phase = open.phase.load(Ordering::Relaxed);
            let is_slow = phase == Phase::Receiving as u8 && now.saturating_duration_since(since) >= slow;
            (phase == Phase::Waiting as u8 || is_slow).then_some((phase, since, *id))
        });
        let Some((_, _, id)) = ranked.min() else { return false };
        if let Some(open) = self.open.remove(&id) {
            open.cut.cancel();
        }
        true
    }
}

impl Open {
    fn is_spare(&self) -> bool {
        self.is_spare.load(Ordering::Relaxed)
    }

    /// Whether it counts as a connection.
    fn counts(&self) -> bool {
        !self.is_spare() && self.phase.load(Ordering::Relaxed) != Phase::Streaming as u8
    }
}

impl Connection {
    /// Its number: no other has it.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Whose it is.
    pub(super) fn peer(&self) -> &Arc<str> {
        &self.open.peer
    }

    /// Whether it is beyond what there may be. One for which there is a place by now is not.
    pub(super) fn is_spare(&self) -> bool {
        if !self.open.is_spare() {
            return false;
        }
        let state = self.connections.state();
        let is_spare = self.connections.full(&state, &self.open.peer).is_some();
        self.open.is_spare.store(is_spare, Ordering::Relaxed);
        is_spare
    }

    /// From now on it does this.
    pub(super) fn enter(&self, phase: Phase) {
        *self.open.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.open.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Waits until it is to be closed for another.
    pub(super) async fn cut(&self) {
        self.open.cut.cancelled().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.state().open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> Arc<str> {
        name.into()
    }

    fn accept(connections: &Arc<Connections>, name: &str) -> (Connection, AdmitResult) {
        connections.accept(&peer(name)).unwrap()
    }

    fn is_cut(connection: &Connection) -> bool {
        connection.open.cut.is_cancelled()
    }

    #[test]
    fn the_one_that_waits_longest_makes_room() {
        let connections = Connections::new(3, 3);
        let held: Vec<_> = (0..3).map(|_| accept(&connections, "a").0).collect();
        held[0].enter(Phase::Answering);
        held[1].enter(Phase::Waiting);
        let (_new, accepted) = accept(&connections, "b");
        assert_eq!(accepted, AdmitResult::MadeRoom);
        assert_eq!(held.iter().map(is_cut).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn a_peer_with_its_share_makes_room_for_itself() {
        let connections = Connections::new(10, 2);
        let (other, _) = accept(&connections, "b");
        let held: Vec<_> = (0..2).map(|_| accept(&connections, "a").0).collect();
        let (_third, accepted) = accept(&connections, "a");
        assert_eq!(accepted, AdmitResult::MadeRoom);
        assert!(is_cut(&held[0]) && !is_cut(&held[1]) && !is_cut(&other));
    }

    #[test]
    fn where_all_are_answered_one_more_is_told_so_and_gets_a_place_that_became_free() {
        let connections = Connections::new(2, 2);
        let mut held: Vec<_> = (0..2).map(|_| accept(&connections, "a").0).collect();
        held.iter().for_each(|connection| connection.enter(Phase::Answering));
        let (spare, accepted) = accept(&connections, "b");
        assert_eq!(accepted, AdmitResult::Spare);
        assert!(spare.is_spare());
        held.pop();
        assert!(!spare.is_spare());
        assert_eq!(accept(&connections, "c").1, AdmitResult::MadeRoom, "it counts and waits");
    }

    #[test]
    fn spares_make_room_for_each_other_and_end() {
        let connections = Connections::new(1, 1);
        let (only, _) = accept(&connections, "a");
        only.enter(Phase::Answering);
        let spares: Vec<_> = (0..SPARE_CONNECTIONS_MAX).map(|_| accept(&connections, "b").0).collect();
        assert_eq!(accept(&connections, "b").1, AdmitResult::Spare);
        assert_eq!(spares.iter().filter(|spare| is_cut(spare)).count(), 1);
        let (_last, _) = accept(&connections, "b");
        spares.iter().for_each(|spare| spare.enter(Phase::Answering));
        connections.state().open.values().for_each(|open| open.phase.store(2, Ordering::Relaxed));
        assert!(connections.accept(&peer("b")).is_none());
    }

    #[test]
    fn streams_count_apart() {
        let connections = Connections::new(1, 1);
        let (stream, _) = accept(&connections, "a");
        stream.enter(Phase::Streaming);
        assert_eq!(accept(&connections, "a").1, AdmitResult::Free);
    }

    #[test]
    fn one_customer_is_one_peer() {
        let peer = |text: &str| peer_of(text.parse().unwrap()).to_string();
        assert_eq!(peer("192.0.2.1"), "http@192.0.2.1");
        assert_eq!(peer("::ffff:192.0.2.1"), "http@192.0.2.1");
        assert_eq!(peer("2001:db8:1:2:3:4:5:6"), peer("2001:db8:1:2::9"));
        assert_ne!(peer("2001:db8:1:2::9"), peer("2001:db8:1:3::9"));
    }
}
