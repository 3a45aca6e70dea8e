//! What a worker asks for of sockets: a few to be opened at once, and of each one thing at a time in either direction and one
//! beside. It holds no more than a call may open.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use toolgate_policy::limits::call::{CallLimit, CallLimits, SOCKETS_OPENING_MAX};

use super::turn;
use crate::imports::sockets::act::{Act, Lane, Use};
use crate::imports::sockets::held::Held;

/// The sockets of one call, by number.
pub(super) struct Plugs {
    opening: Arc<Semaphore>,
    plugs: HashMap<u64, Plug>,
    most: usize,
}

/// A socket, and who has a turn with it.
struct Plug {
    held: Arc<Held>,
    out: Arc<Semaphore>,
    back: Arc<Semaphore>,
    beside: Arc<Semaphore>,
    /// What is not answered is said once of either direction and once of the whole.
    end: Arc<Semaphore>,
}

/// What it is about, and the turn.
type Turn = (Option<Arc<Held>>, OwnedSemaphorePermit);

impl Plugs {
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
    pub(super) fn take(&mut self, number: u64, act: &Act) -> Option<Turn> {
        match act {
            Act::LookUp(_) => Some((None, Arc::clone(&self.opening).try_acquire_owned().ok()?)),
            Act::Open(_) => {
                let turn = Arc::clone(&self.opening).try_acquire_owned().ok()?;
                if self.plugs.len() >= self.most {
                    return None;
                }
                let plug = Plug::new();
                let held = Arc::clone(&plug.held);
                self.plugs.insert(number, plug);
                Some((Some(held), turn))
            }
            Act::Of(number, wanted) => {
                let plug = self.plugs.get(number)?;
                let lane = match wanted.lane() {
                    Lane::Out => &plug.out,
                    Lane::Back => &plug.back,
                    Lane::Beside => &plug.beside,
                    Lane::End => &plug.end,
                };
                let turn = Arc::clone(lane).try_acquire_owned().ok()?;
                let held = Arc::clone(&plug.held);
                if let Use::Close = wanted {
                    self.plugs.remove(number);
                }
                Some((Some(held), turn))
            }
        }
    }
}

impl Plug {
    fn new() -> Self {
        const ENDS: usize = 3;
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
    use crate::imports::sockets::act::{Direction, Kind};

    fn plugs() -> Plugs {
        Plugs::within(&CallLimits::default())
    }

    fn open() -> Act {
        Act::Open(Kind { datagrams: false, v6: false })
    }

    #[test]
    fn of_a_socket_one_thing_is_asked_in_either_direction_and_one_beside() {
        let mut plugs = plugs();
        assert!(plugs.take(1, &open()).is_some());
        let asks = [Use::Receive(1), Use::Local, Use::Disconnect];
        let asks = asks.map(|wanted| Act::Of(1, wanted));
        let turns: Vec<_> = asks.iter().map(|act| plugs.take(2, act).unwrap()).collect();
        assert!(asks.iter().all(|act| plugs.take(3, act).is_none()), "none is answered");
        drop(turns);
        assert!(asks.iter().all(|act| plugs.take(4, act).is_some()));
        let shut = || Act::Of(1, Use::Shut(Direction::Out));
        assert!(plugs.take(5, &Act::Of(2, Use::Local)).is_none(), "it is another's");
        let ends: Vec<_> = (0..4).map(|_| plugs.take(6, &shut())).collect();
        assert!(ends.iter().filter(|end| end.is_some()).count() == 3, "nobody says it so often");
        drop(ends);
        assert!(plugs.take(7, &Act::Of(1, Use::Close)).is_some());
        assert!(plugs.take(8, &Act::Of(1, Use::Local)).is_none(), "it is closed");
    }

    #[test]
    fn a_few_sockets_are_opened_at_once_and_no_more_are_held_than_a_call_may_open() {
        let mut plugs = plugs();
        let turns: Vec<_> = (1..=8).map(|number| plugs.take(number, &open()).unwrap()).collect();
        assert!(plugs.take(9, &open()).is_none() && plugs.take(9, &Act::LookUp("a".to_owned())).is_none());
        drop(turns);
        let held = (9..).take_while(|number| plugs.take(*number, &open()).is_some()).count();
        assert_eq!(held as u64, CallLimits::default().get(CallLimit::Sockets));
        assert!(plugs.take(100, &Act::Of(1, Use::Close)).is_some());
        assert!(plugs.take(101, &open()).is_some(), "one was let go of");
    }
}
