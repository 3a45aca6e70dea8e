//! Lanes with their places. A request keeps its place in a lane until it is being answered.

use std::sync::Arc;

use tokio::sync::Semaphore;
use toolgate_policy::limits::call::{FILES_THREADS, SOCKETS_OPENING_MAX};

use crate::protocol::route::{CallLane, HandleLane};

/// The lanes of one call.
pub(crate) struct CallLanes {
    keyvalue: Arc<Semaphore>,
    files: Arc<Semaphore>,
    opening: Arc<Semaphore>,
}

impl CallLanes {
    /// Requests in all of them at once.
    pub(crate) const PLACES: usize = 1 + FILES_THREADS + SOCKETS_OPENING_MAX;

    pub(crate) fn new() -> Self {
        Self { keyvalue: places(1), files: places(FILES_THREADS), opening: places(SOCKETS_OPENING_MAX) }
    }

    pub(crate) fn lane(&self, lane: CallLane) -> Arc<Semaphore> {
        Arc::clone(match lane {
            CallLane::Keyvalue => &self.keyvalue,
            CallLane::Files => &self.files,
            CallLane::Opening => &self.opening,
        })
    }
}

/// The lanes of one handle.
pub(crate) struct HandleLanes {
    send: Arc<Semaphore>,
    receive: Arc<Semaphore>,
    control: Arc<Semaphore>,
    end: Arc<Semaphore>,
}

impl HandleLanes {
    /// Requests in all of them at once.
    pub(crate) const PLACES: usize = 3 + Self::ENDS;
    const ENDS: usize = 2;

    pub(crate) fn new() -> Self {
        Self { send: places(1), receive: places(1), control: places(1), end: places(Self::ENDS) }
    }

    pub(crate) fn lane(&self, lane: HandleLane) -> Arc<Semaphore> {
        Arc::clone(match lane {
            HandleLane::Send => &self.send,
            HandleLane::Receive => &self.receive,
            HandleLane::Control => &self.control,
            HandleLane::End => &self.end,
        })
    }
}

fn places(places: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(places))
}
