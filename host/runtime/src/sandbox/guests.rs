//! The threads that guests run on: apart from those that carry the protocol, and below them in the machine's eyes, so that
//! a guest that spins takes turns from other guests and not from the server. Calls that turn out to be slow go on in a lane
//! of their own, below the others once more and on all cores but one: a turn of theirs can be long, since nothing divides the
//! filling of a large memory or its return to the system, and a short call would wait for the end of it. The connections of all
//! plugins are driven by threads that run no guest.

use std::future::poll_fn;
use std::io;
use std::num::NonZero;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;
use toolgate_policy::limits::call::GUEST_THREADS;
use toolgate_policy::limits::http::HTTP_THREADS;
use toolgate_policy::limits::wire::SMALL_MESSAGE_BYTES;

/// Where the guests of a server run.
pub(crate) struct GuestExecutor {
    /// Dropped first: its tasks end those that went on in the other, and its clock serves them.
    quick: GuestPool,
    slow: GuestPool,
    connections: GuestPool,
}

/// A runtime of its own.
pub(crate) struct GuestPool {
    handle: Handle,
    runtime: Option<Runtime>,
}

/// Where the host works for calls on what is large: among the slow, so that no short call waits for it.
#[derive(Clone)]
pub(crate) struct SlowLane(Handle);

/// What the calls of one plugin together took of the processor lately, but for the first [`SHORT`] of each: what is left of
/// it, and when that was. It wears off by [`WEARS_OFF`]. While it is more than [`QUICK_MAX`], all of them are slow.
#[derive(Debug, Default)]
pub(crate) struct CpuAccount(Mutex<Option<(Duration, Instant)>>);

/// A guest that runs. Dropping this ends it at its next turn.
pub(crate) struct GuestTask(AbortHandle);

/// How much less urgent than the protocol guests are (`nice`; 0 to 19): so much that what wakes up does not wait for the end
/// of a guest's turn by the system's clock, some milliseconds; not so much that another program on the machine starves them.
const NICE: i32 = 10;

/// The same of those that are slow: as much as there is. Where another program of the same control group (or session) keeps
/// all cores busy, they have 15 of 1,039 parts of one.
const SLOW_NICE: i32 = 19;

/// What each call may take of the processor and nobody counts it: most calls take less.
const SHORT: Duration = Duration::from_millis(1);

/// What the calls of a plugin may take beyond that before they are slow.
const QUICK_MAX: Duration = Duration::from_millis(5);

/// In so much time a plugin is let off one part of what it took: one that takes more than that of a core is slow for good.
const WEARS_OFF: u32 = 50;

/// The most that is held against a plugin: it is quick again some five seconds after the worst that it did.
const HELD_MAX: Duration = Duration::from_millis(100);

/// Every so many turns a call that has just come is before guests that had their turns.
const NEW_CALLS_INTERVAL: u32 = 2;

/// Every so many turns it is looked what time it is and what has come from the network. A turn is some 100 µs.
const EVENT_INTERVAL: u32 = 4;

impl GuestExecutor {
    /// Starts their threads: for the quick as many as there are cores, for the slow one less. However urgent a thread is, the
    /// system lets one that it has just begun have some of its time first; where a core is without slow guests, nobody waits.
    pub(crate) fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let all_but_one = NonZero::new(cores.get() - 1).unwrap_or(NonZero::<usize>::MIN);
        let quick = GuestPool::start("guest", cores, NICE)?;
        let slow = GuestPool::start("guest-slow", all_but_one, SLOW_NICE)?;
        let few = NonZero::new(HTTP_THREADS).unwrap_or(NonZero::<usize>::MIN);
        Ok(Self { quick, slow, connections: GuestPool::start("connection", few, NICE)? })
    }

    /// Waits for something on a thread of its own, since the caller's may be one of a runtime; nothing if it panicked.
    pub(crate) fn wait_for<T: Send>(&self, what: impl Future<Output = T> + Send) -> Option<T> {
        std::thread::scope(|scope| scope.spawn(|| self.quick.handle.block_on(what)).join().ok())
    }

    /// Runs something that ends by itself and takes next to nothing of the processor.
    pub(crate) fn detach(&self, what: impl Future<Output = ()> + Send + 'static) {
        self.quick.detach(what);
    }

    /// Runs a guest of a plugin of that pace: among the quick for as long as that is quick, then among the slow.
    pub(crate) fn spawn(
        &self,
        pace: &Arc<CpuAccount>,
        guest: impl Future<Output = ()> + Send + 'static,
    ) -> GuestTask {
        let slow = self.slow.handle.clone();
        let mut timed = Timed { guest: Box::pin(guest), pace: Arc::clone(pace), used: Duration::ZERO };
        let running = if pace.is_slow() {
            slow.spawn(timed.among_the_slow())
        } else {
            self.quick.handle.spawn(async move {
                if !timed.among_the_quick().await {
                    let rest = slow.spawn(timed.among_the_slow());
                    let _ends_with_this = GuestTask(rest.abort_handle());
                    drop(rest.await);
                }
            })
        };
        GuestTask(running.abort_handle())
    }

    /// Where the host works on what is large.
    pub(crate) fn slow_lane(&self) -> SlowLane {
        SlowLane(self.slow.handle.clone())
    }

    /// Where the connections of all plugins are driven: no guest and no look-up waits there for the bytes of another.
    pub(crate) fn connections(&self) -> Handle {
        self.connections.handle.clone()
    }

    /// Where tasks run that all plugins share: never behind a slow guest.
    pub(crate) fn handle(&self) -> Handle {
        self.quick.handle.clone()
    }
}

impl SlowLane {
    /// Works on so many bytes: there if they are many, else at once. Nothing comes of work that panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: u64,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if bytes <= SMALL_MESSAGE_BYTES as u64 {
            return Some(work());
        }
        self.0.spawn(async move { work() }).await.ok()
    }
}

impl GuestPool {
    fn start(name: &str, threads: NonZero<usize>, nice: i32) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.get())
            .max_blocking_threads(GUEST_THREADS)
            .global_queue_interval(NEW_CALLS_INTERVAL)
            .event_interval(EVENT_INTERVAL)
            .thread_name(name)
            .on_thread_start(move || {
                // On Linux this is the calling thread's own. Where it is not allowed guests are merely as urgent.
                if let Err(error) = rustix::process::setpriority_process(None, nice) {
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

    /// Runs something that ends by itself.
    pub(crate) fn detach(&self, what: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(what));
    }
}

impl Drop for GuestPool {
    fn drop(&mut self) {
        // Waiting for guests here could wait for ever, and waiting is not allowed where this may be dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl CpuAccount {
    pub(crate) fn is_slow(&self) -> bool {
        self.take(Duration::ZERO) > QUICK_MAX
    }

    /// Adds what was taken; gives what is held against the plugin now.
    fn take(&self, more: Duration) -> Duration {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let left = held.map_or(Duration::ZERO, |(held, then)| {
            held.saturating_sub(now.saturating_duration_since(then) / WEARS_OFF)
        });
        let holds = left.saturating_add(more).min(HELD_MAX);
        *held = Some((holds, now));
        holds
    }
}

/// A guest, and what it has taken of the processor.
struct Timed<F> {
    guest: Pin<Box<F>>,
    pace: Arc<CpuAccount>,
    used: Duration,
}

impl<F: Future<Output = ()>> Timed<F> {
    /// Runs it until it has ended, or its plugin is slow. Tells whether it has ended.
    async fn among_the_quick(&mut self) -> bool {
        poll_fn(|context| match self.turn(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if self.pace.is_slow() => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Runs it until it has ended.
    async fn among_the_slow(mut self) {
        poll_fn(|context| self.turn(context)).await;
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (begun, before) = (processor_time(), self.used.max(SHORT));
        let turn = self.guest.as_mut().poll(context);
        self.used = self.used.saturating_add(processor_time().saturating_sub(begun));
        let counts = self.used.saturating_sub(before);
        if !counts.is_zero() {
            self.pace.take(counts);
        }
        turn
    }
}

/// What this thread has taken of the processor since it began.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

impl GuestTask {
    /// Ends it at its next turn, without waiting for that.
    pub(crate) fn abandon(&self) {
        self.0.abort();
    }
}

impl Drop for GuestTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    /// Takes so much of the processor, in short turns; tells on which thread it began and on which it ended, each with how much
    /// less urgent that is.
    async fn guest(takes: Duration, tell: mpsc::Sender<[String; 2]>) {
        let thread = || {
            let nice = rustix::process::getpriority_process(None).unwrap();
            format!("{} {nice}", std::thread::current().name().unwrap_or_default())
        };
        let (began, mut took) = (thread(), Duration::ZERO);
        while took < takes {
            let begun = processor_time();
            while processor_time().saturating_sub(begun) < Duration::from_micros(100) {}
            took += processor_time().saturating_sub(begun);
            tokio::task::yield_now().await;
        }
        tell.send([began, thread()]).unwrap();
    }

    fn run(guests: &GuestExecutor, pace: &Arc<CpuAccount>, takes: Duration) -> [String; 2] {
        let (tell, told) = mpsc::channel();
        let _task = guests.spawn(pace, guest(takes, tell));
        told.recv().unwrap()
    }

    const QUICK: &str = "guest 10";
    const SLOW: &str = "guest-slow 19";

    #[test]
    fn a_slow_call_goes_on_among_the_slow_and_those_of_its_plugin_begin_there_until_that_has_worn_off() {
        let guests = GuestExecutor::start().unwrap();
        let (pace, of_another) = (Arc::<CpuAccount>::default(), Arc::<CpuAccount>::default());
        assert_eq!(run(&guests, &pace, Duration::ZERO), [QUICK, QUICK]);
        assert_eq!(run(&guests, &pace, HELD_MAX), [QUICK, SLOW]);
        // On a busy machine the guest above took so long that some of it has worn off.
        pace.take(HELD_MAX);
        assert_eq!(run(&guests, &pace, Duration::ZERO), [SLOW, SLOW]);
        assert_eq!(run(&guests, &of_another, Duration::ZERO), [QUICK, QUICK]);
        let until = Instant::now() + HELD_MAX * WEARS_OFF * 10;
        while run(&guests, &pace, Duration::ZERO) != [QUICK, QUICK] {
            assert!(Instant::now() < until, "it is among the slow for ever");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn calls_that_are_short_are_quick_however_many_and_longer_ones_of_one_plugin_count_together() {
        let guests = GuestExecutor::start().unwrap();
        let (short, longer) = (Arc::<CpuAccount>::default(), Arc::<CpuAccount>::default());
        for _ in 0..100 {
            assert_eq!(run(&guests, &short, SHORT / 2), [QUICK, QUICK]);
        }
        let (tell, told) = mpsc::channel();
        // None of them is slow by itself.
        let calls: Vec<_> =
            (0..16).map(|_| guests.spawn(&longer, guest(QUICK_MAX * 4 / 5, tell.clone()))).collect();
        drop(tell);
        let threads: Vec<_> = told.iter().collect();
        assert_eq!(threads.len(), calls.len());
        assert!(threads.iter().filter(|[_, ended]| ended == SLOW).count() > calls.len() / 2, "{threads:?}");
    }

    #[test]
    fn slow_guests_leave_a_core_to_the_quick_where_there_are_two() {
        let guests = GuestExecutor::start().unwrap();
        let cores = std::thread::available_parallelism().unwrap().get();
        let pace = Arc::<CpuAccount>::default();
        pace.take(HELD_MAX);
        let (running, (tell, told)) = (Arc::<AtomicUsize>::default(), mpsc::channel());
        let _calls: Vec<_> = (0..cores * 4)
            .map(|_| {
                let (running, tell) = (Arc::clone(&running), tell.clone());
                guests.spawn(&pace, async move {
                    let together = running.fetch_add(1, Ordering::SeqCst) + 1;
                    std::thread::sleep(Duration::from_millis(10));
                    running.fetch_sub(1, Ordering::SeqCst);
                    tell.send(together).unwrap();
                })
            })
            .collect();
        drop(tell);
        let (mut turns, mut most) = (0, 0);
        told.iter().for_each(|together| (turns, most) = (turns + 1, most.max(together)));
        assert_eq!(turns, cores * 4);
        assert!(most <= (cores - 1).max(1), "{most} at once on {cores} cores");
    }

    #[test]
    fn a_guest_that_is_abandoned_ends_in_either_lane_and_none_is_waited_for_that_waits_itself() {
        struct Ended(mpsc::Sender<()>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.send(()).unwrap_or_default();
            }
        }
        let guests = GuestExecutor::start().unwrap();
        let pace = Arc::<CpuAccount>::default();
        for takes in [Duration::ZERO, HELD_MAX, HELD_MAX] {
            let (tell, told) = mpsc::channel();
            let (end, ended) = mpsc::channel();
            let task = guests.spawn(&pace, async move {
                let _ended = Ended(end);
                guest(takes, tell).await;
                std::future::pending::<()>().await;
            });
            told.recv().unwrap();
            task.abandon();
            ended.recv_timeout(Duration::from_secs(60)).unwrap();
        }
    }
}
