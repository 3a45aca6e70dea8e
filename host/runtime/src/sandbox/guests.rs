//! The threads that guests run on: apart from those that carry the protocol, and below them in the machine's eyes, so that
//! a guest that spins takes turns from other guests and not from the server.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;
use toolgate_policy::limits::call::GUEST_THREADS;

/// A runtime of its own for guests.
pub(crate) struct Guests {
    handle: Handle,
    runtime: Option<Runtime>,
}

/// A guest that runs. Dropping this ends it at its next turn.
pub(crate) struct Task(AbortHandle);

/// How much less urgent than the protocol guests are (`nice`; 0 to 19): so much that what wakes up does not wait for the end
/// of a guest's turn by the system's clock, some milliseconds; not so much that another program on the machine starves them.
const NICE: i32 = 10;

/// Every so many turns a call that has just come is before guests that had their turns.
const NEW_CALLS_INTERVAL: u32 = 2;

/// Every so many turns it is looked what time it is and what has come from the network. A turn is some 100 µs.
const EVENT_INTERVAL: u32 = 4;

impl Guests {
    /// Starts one thread for each core.
    pub(crate) fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores)
            .max_blocking_threads(GUEST_THREADS)
            .global_queue_interval(NEW_CALLS_INTERVAL)
            .event_interval(EVENT_INTERVAL)
            .thread_name("guest")
            .on_thread_start(|| {
                // On Linux this is the calling thread's own. Where it is not allowed guests are merely as urgent.
                if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                    tracing::debug!(%error, "guest threads could not be made less urgent");
                }
            })
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Starts so many threads, as urgent as the one that starts them, which wait for nothing but time and each other. Returns
    /// when all of them run: none is started later.
    pub(crate) fn start_only(threads: usize) -> io::Result<Self> {
        let (started, starts) = std::sync::mpsc::channel();
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .global_queue_interval(NEW_CALLS_INTERVAL)
            .event_interval(EVENT_INTERVAL)
            .thread_name("guest")
            .on_thread_start(move || started.send(()).unwrap_or_default())
            .enable_time()
            .build()?;
        let missing = starts.iter().take(threads).count() < threads;
        if missing {
            return Err(io::Error::other("not all threads of guests run"));
        }
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Waits for something on a thread of its own, since the caller's may be one of a runtime; nothing if it panicked.
    pub(crate) fn wait_for<T: Send>(&self, what: impl Future<Output = T> + Send) -> Option<T> {
        std::thread::scope(|scope| scope.spawn(|| self.handle.block_on(what)).join().ok())
    }

    /// Runs something that ends by itself.
    pub(crate) fn detach(&self, what: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(what));
    }

    /// Runs a guest.
    pub(crate) fn spawn(&self, guest: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(self.handle.spawn(guest).abort_handle())
    }
}

impl Task {
    /// Ends it at its next turn, without waiting for that.
    pub(crate) fn abandon(&self) {
        self.0.abort();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        // Waiting for guests here could wait for ever, and waiting is not allowed where this may be dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
