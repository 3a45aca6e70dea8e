//! The thread that reads a worker's messages and passes each to its call. Whether it can be believed is judged where it is used.

use std::collections::HashMap;
use std::process::ChildStdout;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};
use toolgate_base::relay::Relay;
use toolgate_policy::limits::call::{CallLimit, CallLimits};
use toolgate_policy::limits::keyvalue::KEYVALUE_USE_BYTES_MAX;
use toolgate_policy::limits::lift::frame_bytes_max;
use toolgate_policy::limits::load::WORKER_HEADER_BYTES_MAX;
use toolgate_policy::redact::printable;
use toolgate_state::audit::record::CallTrace;

use super::attempts;
use crate::imports::perform::HostResource;
use crate::protocol::blob::BoundedVec;
use crate::protocol::frame::{Frame, FromWorker, read};
use crate::rpc::gate::RequestGate;

/// The calls of a worker.
#[derive(Default)]
pub(super) struct Calls {
    /// It takes no more.
    pub(super) ended: bool,
    pub(super) waiting: HashMap<u64, CallWaiter>,
}

/// A message, and its frame.
pub(super) type WorkerMessage = (FromWorker, Frame);

/// A call that has not ended.
pub(super) struct CallWaiter {
    /// Free once the call is being written to the worker.
    pub(super) unsent: Arc<Semaphore>,
    pub(super) sender: oneshot::Sender<WorkerMessage>,
    pub(super) relay: Relay,
    pub(super) gate: RequestGate<HostResource>,
    pub(super) notes: CallTrace,
}

/// The bounds of a worker's messages.
#[derive(Clone, Copy)]
pub(super) struct WorkerReader {
    log_bytes_max: u64,
    body_bytes_max: u64,
}

impl WorkerReader {
    pub(super) fn new(limits: &CallLimits) -> Self {
        Self {
            log_bytes_max: limits.get(CallLimit::Log),
            body_bytes_max: frame_bytes_max(limits.get(CallLimit::Output)),
        }
    }

    /// The next message; nothing if there is none that a worker may send.
    fn next(self, stdout: &mut ChildStdout) -> Option<WorkerMessage> {
        let longest = KEYVALUE_USE_BYTES_MAX.max(self.log_bytes_max).saturating_add(WORKER_HEADER_BYTES_MAX);
        let (message, frame) = read::<FromWorker>(stdout, longest, self.body_bytes_max).ok()?;
        (frame.message_bytes() <= message.bytes_max(self.log_bytes_max)).then_some((message, frame))
    }

    /// Reads until the worker ends or sends what it may not. Then nobody waits for it any more.
    pub(super) fn run(
        self,
        mut stdout: ChildStdout,
        ready: oneshot::Sender<Result<(), String>>,
        calls: &Mutex<Calls>,
    ) {
        let lock = || calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(started) = Self::started(&mut stdout) {
            let goes_on = started.is_ok();
            if ready.send(started).is_ok() && goes_on {
                while let Some((message, frame)) = self.next(&mut stdout) {
                    if lock().take(message, frame).is_none() {
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

    fn started(stdout: &mut ChildStdout) -> Option<Result<(), String>> {
        const CHARS_MAX: usize = 1_000;
        let (message, _) = read::<FromWorker>(stdout, WORKER_HEADER_BYTES_MAX, 0).ok()?;
        match message {
            FromWorker::Ready => Some(Ok(())),
            FromWorker::Failed { why } => Some(Err(printable(&why, CHARS_MAX))),
            FromWorker::Report { .. }
            | FromWorker::Attempts { .. }
            | FromWorker::Ask { .. }
            | FromWorker::Ended { .. } => None,
        }
    }
}

impl Calls {
    /// A call that was sent to the worker. One that ends others unread would have them pile up before it.
    fn sent(&mut self, id: u64) -> Option<&mut CallWaiter> {
        self.waiting.get_mut(&id).filter(|call| call.unsent.available_permits() > 0)
    }

    /// Passes a message to its call; nothing if the worker may not send it. It ends each call once, and sends nothing of one that
    /// has ended, or that was not sent to it.
    fn take(&mut self, message: FromWorker, frame: Frame) -> Option<()> {
        match message {
            FromWorker::Ready | FromWorker::Failed { .. } => None,
            FromWorker::Report { id, progress, total, message } => {
                self.sent(id)?.relay.report(progress, total, message.as_deref());
                Some(())
            }
            FromWorker::Attempts { id, attempts: BoundedVec(attempts) } => {
                attempts::record(attempts, &self.sent(id)?.notes);
                Some(())
            }
            FromWorker::Ask { id, ask, request } => self.sent(id)?.gate.take(ask, request),
            FromWorker::Ended { id, .. } => {
                self.sent(id)?;
                let CallWaiter { sender, gate, .. } = self.waiting.remove(&id)?;
                // First, so that its connections are there for the call that comes next.
                drop(gate);
                // Nobody may wait for it any more.
                drop(sender.send((message, frame)));
                Some(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::blob::ByteBlob;
    use crate::protocol::frame::encode;

    #[test]
    fn a_worker_says_nothing_of_a_call_that_it_has_not_been_told_of() {
        let as_read = |message: &FromWorker| {
            let bytes = encode(message, &[]).unwrap();
            read::<FromWorker>(&mut bytes.as_slice(), 1_000, 0).unwrap()
        };
        let ended = FromWorker::Ended {
            id: 1,
            fuel: 0,
            memory_peak_bytes: 0,
            written: ByteBlob(Vec::new()),
            dropped_bytes: 0,
            fault: None,
        };
        let report = FromWorker::Report { id: 1, progress: 1.0, total: None, message: None };
        let mut calls = Calls::default();
        let takes = |calls: &mut Calls, message: &FromWorker| {
            let (message, frame) = as_read(message);
            calls.take(message, frame).is_some()
        };
        let (sender, mut answer) = oneshot::channel();
        let unsent = Arc::new(Semaphore::new(1));
        let turn = Arc::clone(&unsent).try_acquire_owned().unwrap();
        let (gate, _requests) = RequestGate::new(&CallLimits::default(), Box::new(|_| None));
        let (relay, notes) = (Relay::default(), CallTrace::default());
        calls.waiting.insert(1, CallWaiter { unsent, sender, relay, gate, notes });
        assert!(!takes(&mut calls, &report) && !takes(&mut calls, &ended));
        assert!(answer.try_recv().is_err());
        // It is its turn to be written.
        drop(turn);
        assert!(takes(&mut calls, &report) && takes(&mut calls, &ended));
        assert!(answer.try_recv().is_ok());
        assert!(!takes(&mut calls, &ended), "each ends once");
    }
}
