//! Hearing a worker: what it says is bounded, and goes to whoever waits for that call. Whether it can be believed is judged
//! where it is used.

use std::collections::HashMap;
use std::process::ChildStdout;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};
use toolgate_base::relay::Relay;
use toolgate_policy::limits::call::{CallLimit, CallLimits};
use toolgate_policy::limits::lift::frame_bytes_max;
use toolgate_policy::limits::load::{WORKER_BODY_BYTES, WORKER_HEADER_BYTES_MAX};
use toolgate_policy::redact::printable;
use toolgate_state::audit::record::CallTrace;

use super::attempts::WorkerAttempts;
use super::message::{FromWorker, next};
use super::request_gate::RequestGate;
use crate::imports::host_calls::protocol::{HostRequest, decode};

/// The calls that a worker has.
#[derive(Default)]
pub(super) struct Calls {
    /// It takes no more.
    pub(super) ended: bool,
    pub(super) waiting: HashMap<u64, CallWaiter>,
}

/// What a worker said, header and body.
pub(super) type WorkerMessage = (FromWorker, Vec<u8>);

pub(super) struct CallWaiter {
    /// Free once the worker is being told of the call.
    pub(super) untold: Arc<Semaphore>,
    pub(super) tell: oneshot::Sender<WorkerMessage>,
    pub(super) relay: Relay,
    pub(super) asking: RequestGate,
    pub(super) notes: CallTrace,
}

/// How much of a worker is heard at once.
#[derive(Clone, Copy)]
pub(super) struct MessageReader {
    header_bytes_max: u64,
    body_bytes_max: u64,
}

impl MessageReader {
    pub(super) fn within(limits: &CallLimits) -> Self {
        /// What one byte of text may take as JSON.
        const ESCAPED: u64 = 6;
        let written = limits.get(CallLimit::Log).saturating_mul(ESCAPED);
        Self {
            header_bytes_max: WORKER_HEADER_BYTES_MAX.saturating_add(written),
            body_bytes_max: frame_bytes_max(limits.get(CallLimit::Output)).saturating_add(WORKER_BODY_BYTES),
        }
    }

    /// Hears a worker until it ends or says what cannot be understood. Then nobody waits for it any more.
    pub(super) fn hear(
        self,
        mut stdout: ChildStdout,
        ready: oneshot::Sender<Result<(), String>>,
        calls: &Mutex<Calls>,
    ) {
        let lock = || calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = self.begun(&mut stdout) {
            let goes_on = begun.is_ok();
            if ready.send(begun).is_ok() && goes_on {
                while let Ok((word, body)) = next(&mut stdout, self.header_bytes_max, self.body_bytes_max) {
                    // Read before the lock is taken, so that only this thread is busy with it.
                    let taken = Inner::read(&word, &body).is_some_and(|inner| lock().take(word, body, inner));
                    if !taken {
                        tracing::error!("ALARM: a worker cannot be understood and is ended");
                        break;
                    }
                }
            }
        }
        let mut calls = lock();
        calls.ended = true;
        calls.waiting.clear();
    }

    fn begun(self, stdout: &mut ChildStdout) -> Option<Result<(), String>> {
        const CHARS_MAX: usize = 1_000;
        match next(stdout, self.header_bytes_max, 0).ok()?.0 {
            FromWorker::Ready => Some(Ok(())),
            FromWorker::Failed { why } => Some(Err(printable(&why, CHARS_MAX))),
            FromWorker::Report { .. }
            | FromWorker::Seen { .. }
            | FromWorker::Ask { .. }
            | FromWorker::Ended { .. } => None,
        }
    }
}

/// What there is to read in a body before somebody takes it.
enum Inner {
    Nothing,
    Ask(HostRequest),
    Seen(WorkerAttempts),
}

impl Inner {
    /// Nothing if it cannot be read, or is longer than it may be.
    fn read(word: &FromWorker, body: &[u8]) -> Option<Self> {
        let bytes = body.len() as u64;
        match word {
            FromWorker::Ask { .. } => {
                decode(body).filter(|ask: &HostRequest| bytes <= ask.bytes_max()).map(Self::Ask)
            }
            FromWorker::Seen { .. } => {
                (bytes <= WORKER_BODY_BYTES).then(|| decode(body)).flatten().map(Self::Seen)
            }
            FromWorker::Ready
            | FromWorker::Failed { .. }
            | FromWorker::Report { .. }
            | FromWorker::Ended { .. } => Some(Self::Nothing),
        }
    }
}

impl Calls {
    /// A call that the worker has been told of. One that ends others unread would have them pile up before it.
    fn told_of(&mut self, id: u64) -> Option<&mut CallWaiter> {
        self.waiting.get_mut(&id).filter(|waiting| waiting.untold.available_permits() > 0)
    }

    /// Passes on what a worker says; false if it may not say that. It ends each call once, and of one that has ended, or that
    /// it was not told of, it says nothing.
    fn take(&mut self, word: FromWorker, body: Vec<u8>, inner: Inner) -> bool {
        match (&word, inner) {
            (FromWorker::Report { id, progress, total, message }, _) => {
                self.told_of(*id).is_some_and(|waiting| {
                    waiting.relay.report(*progress, *total, message.as_deref());
                    true
                })
            }
            (FromWorker::Seen { id }, Inner::Seen(seen)) => self.told_of(*id).is_some_and(|waiting| {
                seen.note(&waiting.notes);
                true
            }),
            (FromWorker::Ask { id, ask: number }, Inner::Ask(ask)) => {
                self.told_of(*id).is_some_and(|waiting| waiting.asking.take(*number, ask))
            }
            (FromWorker::Ended { id, .. }, _) => {
                self.told_of(*id).is_some()
                    && self.waiting.remove(id).is_some_and(|waiting| {
                        let CallWaiter { tell, asking, .. } = waiting;
                        // First, so that its connections are there for the call that comes next.
                        drop(asking);
                        // Nobody may wait for it any more.
                        drop(tell.send((word, body)));
                        true
                    })
            }
            (
                FromWorker::Ready
                | FromWorker::Failed { .. }
                | FromWorker::Seen { .. }
                | FromWorker::Ask { .. },
                _,
            ) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_says_nothing_of_a_call_that_it_has_not_been_told_of() {
        let ended = || FromWorker::Ended {
            id: 1,
            fuel: 0,
            memory_peak_bytes: 0,
            written: String::new(),
            dropped_bytes: 0,
            fault: None,
        };
        let report = || FromWorker::Report { id: 1, progress: 1.0, total: None, message: None };
        let mut calls = Calls::default();
        let (tell, mut told) = oneshot::channel();
        let untold = Arc::new(Semaphore::new(1));
        let turn = Arc::clone(&untold).try_acquire_owned().unwrap();
        let (asking, _asked) = RequestGate::within(&CallLimits::default(), Arc::default());
        let (relay, notes) = (Relay::default(), CallTrace::default());
        calls.waiting.insert(1, CallWaiter { untold, tell, relay, asking, notes });
        assert!(!calls.take(report(), Vec::new(), Inner::Nothing));
        assert!(!calls.take(ended(), Vec::new(), Inner::Nothing));
        assert!(told.try_recv().is_err());
        // It is its turn to be said.
        drop(turn);
        assert!(calls.take(report(), Vec::new(), Inner::Nothing));
        assert!(calls.take(ended(), Vec::new(), Inner::Nothing));
        assert!(told.try_recv().is_ok());
        assert!(!calls.take(ended(), Vec::new(), Inner::Nothing), "each ends once");
    }
}
