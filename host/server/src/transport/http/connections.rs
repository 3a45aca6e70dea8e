//! Open connections: their number by peer, their phases, and the one to be closed when all are in use. A connection
//! that is idle or slow may be closed; one whose request is being answered is not.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use toolgate_policy::limits::wire::{PEER_PREFIX_BITS, SLOW_BODY_MS, SPARE_CONNECTIONS_MAX};

/// All open connections.
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
    /// A trusted proxy's, with requests of many clients: a peer's own limit is not for it.
    is_shared: bool,
    activity: Mutex<Activity>,
    cut: CancellationToken,
}

#[derive(Clone, Copy)]
struct Activity {
    /// Phase of the request that is furthest; over HTTP/2 there are several.
    phase: Phase,
    since: Instant,
    is_spare: bool,
    /// Requests in each phase beyond the first.
    requests: [usize; 3],
    /// Whether there ever was a request.
    has_asked: bool,
}

/// An open connection, unregistered on drop.
pub(super) struct Connection {
    /// Unique number of the connection.
    pub(super) id: u64,
    open: Arc<Open>,
    connections: Arc<Connections>,
}

/// Result of accepting a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdmitResult {
    /// A free place.
    Free,
    /// A place of a connection closed for it.
    MadeRoom,
    /// Above the limit: probes are answered, all other requests get a retry.
    Spare,
}

/// Phase of a connection; the first are closed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Waiting for the head of a request.
    Waiting,
    /// Receiving a body.
    Receiving,
    /// Answering a request.
    Answering,
    /// Sending notifications; it counts as a stream.
    Streaming,
}

impl Phase {
    /// All but the first, in order.
    const BEYOND_WAITING: [Self; 3] = [Self::Receiving, Self::Answering, Self::Streaming];

    /// Index among these.
    fn index(self) -> Option<usize> {
        Self::BEYOND_WAITING.iter().position(|phase| *phase == self)
    }
}

/// Identity of a peer, as far as its address shows.
pub(super) fn peer_of(address: IpAddr) -> Arc<str> {
    let address = match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let mask = u128::MAX << (128 - u32::from(PEER_PREFIX_BITS));
            IpAddr::V6((u128::from(address) & mask).into())
        }
    };
    format!("http@{address}").into()
}

impl Connections {
    /// Places for `max` connections, of which one peer may have `peer_max`.
    pub(super) fn new(max: u64, peer_max: u64) -> Arc<Self> {
        let size = |value| usize::try_from(value).unwrap_or(usize::MAX);
        Arc::new(Self { state: Mutex::default(), max: size(max), peer_max: size(peer_max) })
    }

    /// Accepts a connection; `None` if there are too many even for a retry answer.
    /// A trusted proxy's may be as many as there are.
    pub(super) fn accept(
        self: &Arc<Self>,
        peer: &Arc<str>,
        is_shared: bool,
    ) -> Option<(Connection, AdmitResult)> {
        let mut state = self.state();
        let now = Instant::now();
        let accepted = match self.full(&state, peer, is_shared) {
            None => AdmitResult::Free,
            Some(of_peer) => match state.makes_room(of_peer.then_some(peer), false, now) {
                true => AdmitResult::MadeRoom,
                false => {
                    let spares = state.open.values().filter(|open| open.activity().is_spare).count();
                    if spares >= SPARE_CONNECTIONS_MAX && !state.makes_room(None, true, now) {
                        return None;
                    }
                    AdmitResult::Spare
                }
            },
        };
        let is_spare = accepted == AdmitResult::Spare;
        let activity =
            Activity { phase: Phase::Waiting, since: now, is_spare, requests: [0; 3], has_asked: false };
        let (peer, activity, cut) = (Arc::clone(peer), Mutex::new(activity), CancellationToken::new());
        let open = Arc::new(Open { peer, is_shared, activity, cut });
        state.last += 1;
        let id = state.last;
        state.open.insert(id, Arc::clone(&open));
        Some((Connection { id, open, connections: Arc::clone(self) }, accepted))
    }

    /// Closes the connection idle longest, when the system is out of descriptors.
    pub(super) fn make_room(&self) {
        self.state().makes_room(None, false, Instant::now());
    }

    /// Whether all places are taken; if so, whether by the peer's own limit.
    fn full(&self, state: &State, peer: &Arc<str>, is_shared: bool) -> Option<bool> {
        let counted = || state.open.values().filter(|open| open.counts());
        if !is_shared && counted().filter(|open| open.peer == *peer).count() >= self.peer_max {
            return Some(true);
        }
        (counted().count() >= self.max).then_some(false)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Closes the connection idle longest, else one with a slow body. Returns whether there was one.
    fn makes_room(&mut self, of: Option<&Arc<str>>, among_spares: bool, now: Instant) -> bool {
        let candidates = self.open.iter().filter(|(_, open)| of.is_none_or(|peer| open.peer == *peer));
        let slow = Duration::from_millis(SLOW_BODY_MS);
        let ranked = candidates.filter_map(|(id, open)| {
            let Activity { phase, since, is_spare, .. } = *open.activity();
            let is_slow = phase == Phase::Receiving && now.saturating_duration_since(since) >= slow;
            let is_candidate = is_spare == among_spares && (phase == Phase::Waiting || is_slow);
            is_candidate.then_some((phase, since, *id))
        });
        let Some((_, _, id)) = ranked.min() else { return false };
        if let Some(open) = self.open.remove(&id) {
            open.cut.cancel();
        }
        true
    }
}

impl Open {
    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it counts as a connection.
    fn counts(&self) -> bool {
        let Activity { phase, is_spare, .. } = *self.activity();
        !is_spare && phase != Phase::Streaming
    }
}

impl Connection {
    /// Peer of the connection.
    pub(super) fn peer(&self) -> &Arc<str> {
        &self.open.peer
    }

    /// Whether it is above the limit. It stops being so once a place is free.
    pub(super) fn is_spare(&self) -> bool {
        if !self.open.activity().is_spare {
            return false;
        }
        let state = self.connections.state();
        let is_spare = self.connections.full(&state, &self.open.peer, self.open.is_shared).is_some();
        self.open.activity().is_spare = is_spare;
        is_spare
    }

    /// A request begins, and waits.
    pub(super) fn begin(&self) {
        self.open.activity().has_asked = true;
    }

    /// Whether there ever was a request.
    pub(super) fn has_asked(&self) -> bool {
        self.open.activity().has_asked
    }

    /// A request goes from one phase to another.
    pub(super) fn change(&self, from: Phase, to: Phase) {
        let mut activity = self.open.activity();
        if let Some(count) = from.index().and_then(|index| activity.requests.get_mut(index)) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = to.index().and_then(|index| activity.requests.get_mut(index)) {
            *count += 1;
        }
        let furthest = Phase::BEYOND_WAITING.into_iter().zip(activity.requests).rev();
        let phase = furthest.into_iter().find_map(|(phase, count)| (count > 0).then_some(phase));
        let phase = phase.unwrap_or(Phase::Waiting);
        // Bodies that follow each other without a pause do not make a connection new.
        if phase != activity.phase || phase != Phase::Receiving {
            activity.since = Instant::now();
        }
        activity.phase = phase;
    }

    /// Waits until there was no request for this time.
    pub(super) async fn idle(&self, patience: Duration) {
        loop {
            let Activity { phase, since, .. } = *self.open.activity();
            let left = patience.saturating_sub(since.elapsed());
            if phase != Phase::Waiting {
                tokio::time::sleep(patience).await;
            } else if left.is_zero() {
                return;
            } else {
                tokio::time::sleep(left).await;
            }
        }
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
        connections.accept(&peer(name), false).unwrap()
    }

    fn is_cut(connection: &Connection) -> bool {
        connection.open.cut.is_cancelled()
    }

    #[test]
    fn the_one_that_waits_longest_makes_room() {
        let connections = Connections::new(3, 3);
        let held: Vec<_> = (0..3).map(|_| accept(&connections, "a").0).collect();
        held[0].change(Phase::Waiting, Phase::Answering);
        held[1].change(Phase::Waiting, Phase::Waiting);
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
        held.iter().for_each(|connection| connection.change(Phase::Waiting, Phase::Answering));
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
        only.change(Phase::Waiting, Phase::Answering);
        let spares: Vec<_> = (0..SPARE_CONNECTIONS_MAX).map(|_| accept(&connections, "b").0).collect();
        assert_eq!(accept(&connections, "b").1, AdmitResult::Spare);
        assert_eq!(spares.iter().filter(|spare| is_cut(spare)).count(), 1);
        let (_last, _) = accept(&connections, "b");
        spares.iter().for_each(|spare| spare.change(Phase::Waiting, Phase::Answering));
        connections.state().open.values().for_each(|open| open.activity().phase = Phase::Answering);
        assert!(connections.accept(&peer("b"), false).is_none());
    }

    #[test]
    fn a_connection_is_as_far_as_the_furthest_of_its_requests() {
        let connections = Connections::new(1, 1);
        let (only, _) = accept(&connections, "a");
        let phase = || only.open.activity().phase;
        assert!(!only.has_asked());
        only.begin();
        only.change(Phase::Waiting, Phase::Answering);
        only.change(Phase::Waiting, Phase::Receiving);
        assert_eq!((only.has_asked(), phase()), (true, Phase::Answering));
        only.change(Phase::Answering, Phase::Waiting);
        assert_eq!(phase(), Phase::Receiving);
        only.change(Phase::Waiting, Phase::Streaming);
        only.change(Phase::Receiving, Phase::Waiting);
        assert_eq!(phase(), Phase::Streaming);
        only.change(Phase::Streaming, Phase::Waiting);
        assert_eq!((phase(), only.open.activity().requests), (Phase::Waiting, [0; 3]));
    }

    #[test]
    fn a_trusted_proxy_may_have_more_connections_than_one_client() {
        let connections = Connections::new(3, 1);
        let proxy = || connections.accept(&peer("proxy"), true).unwrap();
        let held: Vec<_> = (0..3).map(|_| proxy()).collect();
        assert!(held.iter().all(|(_, accepted)| *accepted == AdmitResult::Free));
        assert_eq!(proxy().1, AdmitResult::MadeRoom);
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
