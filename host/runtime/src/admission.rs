//! How many calls run at once: of one plugin, and of all. More wait, in the order they came; more than that are refused at
//! once, so that the caller can back off. So are those of a plugin that is on hold.

pub(crate) mod breaker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use toolgate_policy::call::Permit;
use toolgate_policy::limits::call::{CallLimit, CallLimits};

use crate::outcome::Fault;
use crate::sandbox::interrupt::Interrupt;
use breaker::{Breaker, Trial};

/// The places of one plugin.
pub(crate) struct Admission {
    running: Arc<Semaphore>,
    /// Held by the one call of the plugin that waits for a place among those of all.
    turn: Mutex<()>,
    waiting: AtomicU64,
    queue: u64,
    deadline_ms: u64,
    breaker: Breaker,
}

/// A place among running calls. Given back when dropped.
pub(crate) struct Slot {
    _of_plugin: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(limits: &CallLimits) -> Self {
        let running = usize::try_from(limits.get(CallLimit::Concurrency)).unwrap_or(1);
        Self {
            running: Arc::new(Semaphore::new(running)),
            turn: Mutex::new(()),
            waiting: AtomicU64::new(0),
            queue: limits.get(CallLimit::Queue),
            deadline_ms: limits.get(CallLimit::Deadline),
            breaker: Breaker::new(limits.get(CallLimit::Faults)),
        }
    }

    /// Whether the plugin is one to be called.
    ///
    /// # Errors
    /// That it is on hold.
    pub(crate) fn begin(&self) -> Result<Trial<'_>, Fault> {
        self.breaker.begin(Instant::now())
    }

    /// Takes a place, waiting for one until the deadline.
    ///
    /// # Errors
    /// The limit that was met, or that the call was ended meanwhile.
    pub(crate) async fn enter(
        &self,
        _permit: &Permit,
        all: &Arc<Semaphore>,
        deadline: Instant,
        interrupt: &Interrupt,
    ) -> Result<Slot, Fault> {
        if let (Ok(of_plugin), Ok(of_all)) =
            (Arc::clone(&self.running).try_acquire_owned(), Arc::clone(all).try_acquire_owned())
        {
            return Ok(Slot { _of_plugin: of_plugin, _of_all: of_all });
        }
        let _place = Waiting::join(self)?;
        let places = async {
            let of_plugin = Arc::clone(&self.running).acquire_owned().await.map_err(Fault::internal)?;
            // So that plugins take turns there, however many calls of one are waiting.
            let _turn = self.turn.lock().await;
            let of_all = Arc::clone(all).acquire_owned().await.map_err(Fault::internal)?;
            Ok(Slot { _of_plugin: of_plugin, _of_all: of_all })
        };
        tokio::select! {
            biased;
            fault = interrupt.raised() => Err(fault),
            slot = places => slot,
            () = tokio::time::sleep_until(deadline) => {
                Err(Fault::limit(CallLimit::Deadline, self.deadline_ms).logged("it waited in the queue to its deadline"))
            }
        }
    }
}

/// A place in the queue.
struct Waiting<'a>(&'a Admission);

impl<'a> Waiting<'a> {
    fn join(admission: &'a Admission) -> Result<Self, Fault> {
        let joined = admission.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < admission.queue).then_some(waiting + 1)
        });
        joined.map(|_| Self(admission)).map_err(|_| Fault::limit(CallLimit::Queue, admission.queue))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
