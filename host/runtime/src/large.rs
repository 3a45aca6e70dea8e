//! Large messages: threads of lower priority than the protocol's, on which callers take turns, and the quotas for such
//! messages. The caller supplies the work.

use std::num::NonZero;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use toolgate_policy::limits::size;
use toolgate_policy::limits::wire::{LARGE_MESSAGES_MAX, LARGE_THREADS_MAX};

use crate::quota::{Quota, QuotaError, Taken};
use crate::turns::{Caller, Turns};

/// Executor and quotas for large messages. Clones share them.
#[derive(Clone)]
pub struct Large(Arc<Inner>);

struct Inner {
    /// `None` after shutdown.
    threads: Option<Runtime>,
    turns: Arc<Turns>,
    messages: Arc<Quota>,
    bytes: Arc<Quota>,
}

/// An admitted large message with its quota, released on drop.
pub struct LargeMessage {
    large: Large,
    /// Released when the message is parsed and its arguments are built.
    place: Option<Taken>,
    bytes: Taken,
}

/// A piece of work panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work on a large message panicked")]
pub struct WorkError;

/// Niceness of these threads relative to the protocol's; the same as that of guests.
const NICE: i32 = 10;

impl Large {
    /// Starts the threads. All large messages together may take `bytes_max` bytes, those of one peer `peer_percent`
    /// percent of that.
    ///
    /// # Errors
    /// An I/O error if the threads cannot be started.
    pub fn start(bytes_max: u64, peer_percent: u64) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = (cores / 2).clamp(1, LARGE_THREADS_MAX);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("large")
            .on_thread_start(|| {
                // On Linux this is per thread. Without permission the priority stays as it is.
                if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                    tracing::debug!(%error, "threads for large messages could not be made less urgent");
                }
            })
            .build()?;
        Ok(Self(Arc::new(Inner {
            threads: Some(runtime),
            // The queue is unbounded: callers that wait here were admitted already.
            turns: Turns::new(threads, usize::MAX),
            messages: Quota::new(LARGE_MESSAGES_MAX, peer_percent),
            bytes: Quota::new(bytes_max, peer_percent),
        })))
    }

    /// Admits a message of `bytes` bytes before it is read.
    ///
    /// # Errors
    /// [`QuotaError`] if a quota is exhausted.
    pub fn admit(&self, caller: &Caller, bytes: usize) -> Result<LargeMessage, QuotaError> {
        let place = Some(self.0.messages.take(caller.peer(), 1)?);
        let bytes = self.0.bytes.take(caller.peer(), bytes as u64)?;
        Ok(LargeMessage { large: self.clone(), place, bytes })
    }

    /// Runs work in the caller's turn. Once begun it runs to completion, even if the caller stops waiting.
    pub async fn run<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkError> {
        let place = self.0.turns.enter(caller, 0).await.map_err(|_| WorkError)?;
        let threads = self.0.threads.as_ref().ok_or(WorkError)?;
        let working = threads.spawn(async move {
            let _place = place;
            work()
        });
        working.await.map_err(|_| WorkError)
    }

    /// Drops a value on these threads, since dropping a large one takes time.
    pub fn dispose<T: Send + 'static>(&self, value: T) {
        if let Some(threads) = &self.0.threads {
            drop(threads.spawn(async move { drop(value) }));
        }
    }
}

impl LargeMessage {
    /// Executor of the work on it.
    pub fn large(&self) -> &Large {
        &self.large
    }

    /// Bytes accounted for it.
    pub fn bytes(&self) -> usize {
        size(self.bytes.amount)
    }

    /// Changes the accounted bytes.
    ///
    /// # Errors
    /// [`QuotaError`] if the quota does not allow more.
    pub fn resize(&mut self, bytes: usize) -> Result<(), QuotaError> {
        self.bytes.resize(bytes as u64)
    }

    /// Releases its place in the queue; its bytes stay accounted.
    pub fn is_worked_on(&mut self) {
        self.place = None;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // This may be dropped in an async context, where blocking is not allowed.
        if let Some(runtime) = self.threads.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use toolgate_policy::principal::Tenant;

    use super::*;

    #[tokio::test]
    async fn work_is_done_below_the_protocol_and_one_that_panics_harms_no_other() {
        let large = Large::start(1 << 20, 100).unwrap();
        let caller = Caller::new(Tenant::default(), "a", 1);
        let thread = || {
            let nice = rustix::process::getpriority_process(None).unwrap();
            format!("{} {nice}", std::thread::current().name().unwrap_or_default())
        };
        let expected = format!("large {NICE}");
        let before = rustix::process::getpriority_process(None).unwrap();
        assert!(large.run(&caller, thread).await == Ok(expected) || before > NICE);
        assert_eq!(large.run(&caller, || panic!("as planned")).await, Err::<(), _>(WorkError));
        assert_eq!(large.run(&caller, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_caller_with_one_message_waits_for_one_of_a_caller_with_many() {
        let large = Large::start(1 << 20, 100).unwrap();
        let (many, one) =
            (Caller::new(Tenant::default(), "many", 1), Caller::new(Tenant::default(), "one", 1));
        let (order, done) = mpsc::channel();
        let (open, closed) = mpsc::channel::<()>();
        let closed = Arc::new(std::sync::Mutex::new(closed));
        // All threads are busy until the gate opens.
        let threads = large.0.threads.as_ref().unwrap().metrics().num_workers();
        let mut working = Vec::new();
        for index in 0..threads + 20 {
            let (large, many, order, closed) =
                (large.clone(), many.clone(), order.clone(), Arc::clone(&closed));
            working.push(tokio::spawn(async move {
                large
                    .run(&many, move || {
                        if index < threads {
                            closed.lock().unwrap().recv().unwrap_or_default();
                        }
                        order.send("many").unwrap();
                    })
                    .await
            }));
            tokio::task::yield_now().await;
        }
        let last = {
            let large = large.clone();
            tokio::spawn(async move { large.run(&one, move || order.send("one").unwrap()).await })
        };
        tokio::task::yield_now().await;
        drop(open);
        last.await.unwrap().unwrap();
        for work in working {
            work.await.unwrap().unwrap();
        }
        let order: Vec<&str> = done.iter().collect();
        let place = order.iter().position(|who| *who == "one").unwrap();
        assert!(place <= 2 * threads, "{order:?}");
    }

    #[test]
    fn messages_are_let_in_while_there_is_room_for_their_bytes() {
        let large = Large::start(1_000, 50).unwrap();
        let (a, b) = (Caller::new(Tenant::default(), "a", 1), Caller::new(Tenant::default(), "b", 1));
        let mut first = large.admit(&a, 400).unwrap();
        assert_eq!(large.admit(&a, 200).err(), Some(QuotaError::Peer));
        let _other = large.admit(&b, 400).unwrap();
        assert_eq!(first.resize(501), Err(QuotaError::Peer));
        assert_eq!(first.resize(500), Ok(()));
        drop(first);
        assert!(large.admit(&a, 500).is_ok());
    }

    #[test]
    fn so_many_messages_wait_and_those_that_are_read_do_not_count() {
        let large = Large::start(1 << 20, 100).unwrap();
        let a = Caller::new(Tenant::default(), "a", 1);
        let mut admitted: Vec<LargeMessage> =
            (0..LARGE_MESSAGES_MAX).map(|_| large.admit(&a, 1).unwrap()).collect();
        assert_eq!(large.admit(&a, 1).err(), Some(QuotaError::Total));
        admitted.iter_mut().for_each(LargeMessage::is_worked_on);
        assert!(large.admit(&a, 1).is_ok());
    }
}
