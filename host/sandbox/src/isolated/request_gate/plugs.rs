//! What a worker asks for of sockets: a few to be opened at once, and of each one thing at a time in either direction and one
//! beside. It holds no more than a call may open.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use toolgate_policy::limits::call::{CallLimit, CallLimits, SOCKETS_OPENING_MAX};

use super::turn;
use crate::imports::sockets::open_socket::OpenSocket;
use crate::imports::sockets::request::{SocketLane, SocketOp, SocketRequest};

/// The sockets of one call, by number.
pub(super) struct SocketTable {
    opening: Arc<Semaphore>,
    plugs: HashMap<u64, SocketSlot>,
    most: usize,
}

/// A socket, and who has a turn with it.
struct SocketSlot {
    held: Arc<OpenSocket>,
    out: Arc<Semaphore>,
    back: Arc<Semaphore>,
    beside: Arc<Semaphore>,
    /// What is not answered is said once of either direction and once of the whole.
    end: Arc<Semaphore>,
}

/// What it is about, and the turn.
type Turn = (Option<Arc<OpenSocket>>, OwnedSemaphorePermit);

impl SocketTable {
    pub(super) fn within(limits: &CallLimits) -> Self {
        let sockets = usize::try_from(limits.get(CallLimit::Sockets)).unwrap_or(usize::MAX);
        Self {
            opening: Arc::new(Semaphore::new(SOCKETS_OPENING_MAX)),
            plugs: HashMap::new(),
            // Those that are refused are let go of after that.
            most: sockets.saturating_add(SOCKETS_OPENING_MAX),
        }
    }

    /// Takes something that is asked for; nothing if it may not be asked for now.
    pub(super) fn take(&mut self, number: u64, act: &SocketRequest) -> Option<Turn> {
        match act {
            SocketRequest::LookUp(_) => Some((None, Arc::clone(&self.opening).try_acquire_owned().ok()?)),
            SocketRequest::Open(_) => {
                let turn = Arc::clone(&self.opening).try_acquire_owned().ok()?;
                if self.plugs.len() >= self.most {
                    return None;
                }
                let plug = SocketSlot::new();
                let held = Arc::clone(&plug.held);
                self.plugs.insert(number, plug);
                Some((Some(held), turn))
            }
            SocketRequest::Of(number, wanted) => {
                let plug = self.plugs.get(number)?;
                let lane = match wanted.lane() {
                    SocketLane::Send => &plug.out,
                    SocketLane::Back => &plug.back,
                    SocketLane::Control => &plug.beside,
                    SocketLane::End => &plug.end,
                };
                let turn = Arc::clone(lane).try_acquire_owned().ok()?;
                let held = Arc::clone(&plug.held);
                if let SocketOp::Close = wanted {
                    self.plugs.remove(number);
                }
                Some((Some(held), turn))
            }
        }
    }
}

/// What is not answered is said so often of one socket.
const ENDS: usize = 3;

/// Turns of one socket: three lanes, and the ends.
pub(super) const TURNS: usize = 3 + ENDS;

impl SocketSlot {
    fn new() -> Self {
        Self {
            held: Arc::default(),
            out: turn(),
            back: turn(),
            beside: turn(),
            end: Arc::new(Semaphore::new(ENDS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::sockets::request::{Direction, SocketKind};

    fn plugs() -> SocketTable {
        SocketTable::within(&CallLimits::default())
    }

    fn open() -> SocketRequest {
        SocketRequest::Open(SocketKind { datagrams: false, v6: false })
    }

    #[test]
    fn of_a_socket_one_thing_is_asked_in_either_direction_and_one_beside() {
        let mut plugs = plugs();
        assert!(plugs.take(1, &open()).is_some());
        let asks = [SocketOp::Receive(1), SocketOp::Local, SocketOp::Disconnect];
        let asks = asks.map(|wanted| SocketRequest::Of(1, wanted));
        let turns: Vec<_> = asks.iter().map(|act| plugs.take(2, act).unwrap()).collect();
        assert!(asks.iter().all(|act| plugs.take(3, act).is_none()), "none is answered");
        drop(turns);
        assert!(asks.iter().all(|act| plugs.take(4, act).is_some()));
        let shut = || SocketRequest::Of(1, SocketOp::Shut(Direction::Out));
        assert!(plugs.take(5, &SocketRequest::Of(2, SocketOp::Local)).is_none(), "it is another's");
        let ends: Vec<_> = (0..4).map(|_| plugs.take(6, &shut())).collect();
        assert!(ends.iter().filter(|end| end.is_some()).count() == 3, "nobody says it so often");
        drop(ends);
        assert!(plugs.take(7, &SocketRequest::Of(1, SocketOp::Close)).is_some());
        assert!(plugs.take(8, &SocketRequest::Of(1, SocketOp::Local)).is_none(), "it is closed");
    }

    #[test]
    fn a_few_sockets_are_opened_at_once_and_no_more_are_held_than_a_call_may_open() {
        let mut plugs = plugs();
        let turns: Vec<_> = (1..=8).map(|number| plugs.take(number, &open()).unwrap()).collect();
        assert!(
            plugs.take(9, &open()).is_none()
                && plugs.take(9, &SocketRequest::LookUp("a".to_owned())).is_none()
        );
        drop(turns);
        let held = (9..).take_while(|number| plugs.take(*number, &open()).is_some()).count();
        assert_eq!(held as u64, CallLimits::default().get(CallLimit::Sockets));
        assert!(plugs.take(100, &SocketRequest::Of(1, SocketOp::Close)).is_some());
        assert!(plugs.take(101, &open()).is_some(), "one was let go of");
    }
}
