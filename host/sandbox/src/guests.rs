//! Threads for guests, separate from those that carry the protocol and of lower priority, so that a guest that spins
//! takes time from other guests and not from the server. Calls that turn out slow move to a second pool, of still lower
//! priority and with one core less. Their turns can be long, since filling a large memory or returning it to the system
//! cannot be divided, and a short call would wait for the end of one. Connections of all plugins are driven by threads
//! that run no guest.

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

/// Executor of a server's guests.
pub(crate) struct GuestExecutor {
    /// Dropped first: its tasks abort those that moved to the other pool, and its clock serves them.
    quick: GuestPool,
    slow: GuestPool,
    connections: GuestPool,
}

/// Pool of threads with its own runtime.
pub(crate) struct GuestPool {
    handle: Handle,
    runtime: Option<Runtime>,
}

/// Runtime for the host's own work on large values, which must delay no short call.
#[derive(Clone)]
pub(crate) struct SlowLane(Handle);

/// Recent CPU time of all calls of one plugin, beyond the first [`SHORT`] of each, and when it was last updated. It
/// decays at 1/[`WEARS_OFF`] of real time. While it exceeds [`QUICK_MAX`], all of the plugin's calls are slow.
#[derive(Debug, Default)]
pub(crate) struct CpuAccount(Mutex<Option<(Duration, Instant)>>);

/// Running guest. Dropping this ends it at its next yield.
pub(crate) struct GuestTask(AbortHandle);

/// Priority of guests (`nice`, 0 to 19). Low enough that protocol threads preempt a guest at once, instead of after
/// some milliseconds; high enough that other programs on the machine do not starve guests.
const NICE: i32 = 10;

/// Priority of slow guests: the lowest. If another program of the same control group (or session) keeps all cores busy,
/// they get 15 of 1,039 parts of one.
const SLOW_NICE: i32 = 19;

/// CPU time of each call that is not counted; most calls take less.
const SHORT: Duration = Duration::from_millis(1);

/// Counted CPU time above which a plugin's calls are slow.
const QUICK_MAX: Duration = Duration::from_millis(5);

/// Divisor of the decay: a plugin that uses more than this part of a core stays slow.
const WEARS_OFF: u32 = 50;

/// Maximum counted CPU time, so that a plugin is quick again after at most some five seconds.
const HELD_MAX: Duration = Duration::from_millis(100);

/// Scheduler ticks between checks for newly spawned calls.
const NEW_CALLS_INTERVAL: u32 = 2;

/// Scheduler ticks between checks of timers and the network. One takes some 100 µs.
const EVENT_INTERVAL: u32 = 4;

impl GuestExecutor {
    /// Starts the threads: one per core for quick guests, one fewer for slow ones. The kernel lets a running thread
    /// finish its slice regardless of priority, so one core is reserved for quick guests.
    pub(crate) fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let all_but_one = NonZero::new(cores.get() - 1).unwrap_or(NonZero::<usize>::MIN);
        let quick = GuestPool::start("guest", cores, NICE)?;
        let slow = GuestPool::start("guest-slow", all_but_one, SLOW_NICE)?;
        let few = NonZero::new(HTTP_THREADS).unwrap_or(NonZero::<usize>::MIN);
        Ok(Self { quick, slow, connections: GuestPool::start("connection", few, NICE)? })
    }

    /// Blocks on a future in a new thread, since the caller may be in a runtime; `None` if it panicked.
    pub(crate) fn wait_for<T: Send>(&self, what: impl Future<Output = T> + Send) -> Option<T> {
        std::thread::scope(|scope| scope.spawn(|| self.quick.handle.block_on(what)).join().ok())
    }

    /// Spawns a task that ends on its own and uses hardly any CPU time.
    pub(crate) fn detach(&self, what: impl Future<Output = ()> + Send + 'static) {
        self.quick.detach(what);
    }

    /// Spawns a guest: on the quick pool while its plugin is quick, then on the slow one.
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

    /// Runtime for the host's own work on large values.
    pub(crate) fn slow_lane(&self) -> SlowLane {
        SlowLane(self.slow.handle.clone())
    }

    /// Runtime for the connections of all plugins, so that their bytes delay no guest and no name lookup.
    pub(crate) fn connections(&self) -> Handle {
        self.connections.handle.clone()
    }

    /// Runtime for tasks shared by all plugins; never behind a slow guest.
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
                // On Linux, of the calling thread only. If not permitted, guests keep normal priority.
                if let Err(error) = rustix::process::setpriority_process(None, nice) {
                    tracing::debug!(%error, "guest threads could not be made less urgent");
                }
            })
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Starts `threads` threads of the caller's priority, which wait only for timers and each other. Returns once all
    /// of them run; none is started later.
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

    /// Spawns a task that ends on its own.
    pub(crate) fn detach(&self, what: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(what));
    }
}

impl Drop for GuestPool {
    fn drop(&mut self) {
        // A guest may never end, and a runtime must not be dropped blockingly in async code.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl CpuAccount {
    pub(crate) fn is_slow(&self) -> bool {
        self.take(Duration::ZERO) > QUICK_MAX
    }

    /// Adds CPU time and returns the account's current value.
    fn take(&self, more: Duration) -> Duration {
        let mut account = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let left = account.map_or(Duration::ZERO, |(used, then)| {
            used.saturating_sub(now.saturating_duration_since(then) / WEARS_OFF)
        });
        let used = left.saturating_add(more).min(HELD_MAX);
        *account = Some((used, now));
        used
    }
}

/// Guest with the CPU time that it has used.
struct Timed<F> {
    guest: Pin<Box<F>>,
    pace: Arc<CpuAccount>,
    used: Duration,
}

impl<F: Future<Output = ()>> Timed<F> {
    /// Runs the guest until it ends (`true`), or its plugin is slow (`false`).
    async fn among_the_quick(&mut self) -> bool {
        poll_fn(|context| match self.turn(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if self.pace.is_slow() => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Runs the guest until it ends.
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

/// CPU time of this thread.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

impl GuestTask {
    /// Ends the guest at its next yield, without waiting for it.
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

    /// Uses this much CPU time, in short turns. Sends name and priority of the threads on which it began and ended.
    async fn guest(takes: Duration, sender: mpsc::Sender<[String; 2]>) {
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
        sender.send([began, thread()]).unwrap();
    }

    fn run(guests: &GuestExecutor, pace: &Arc<CpuAccount>, takes: Duration) -> [String; 2] {
        let (sender, results) = mpsc::channel();
        let _task = guests.spawn(pace, guest(takes, sender));
        results.recv().unwrap()
    }

    const QUICK: &str = "guest 10";
    const SLOW: &str = "guest-slow 19";

    #[test]
    fn a_slow_call_goes_on_among_the_slow_and_those_of_its_plugin_begin_there_until_that_has_worn_off() {
        let guests = GuestExecutor::start().unwrap();
        let (pace, of_another) = (Arc::<CpuAccount>::default(), Arc::<CpuAccount>::default());
        assert_eq!(run(&guests, &pace, Duration::ZERO), [QUICK, QUICK]);
        assert_eq!(run(&guests, &pace, HELD_MAX), [QUICK, SLOW]);
        // On a busy machine the guest above took so long that its account has decayed.
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
        let (sender, results) = mpsc::channel();
        // None of them is slow alone.
        let calls: Vec<_> =
            (0..16).map(|_| guests.spawn(&longer, guest(QUICK_MAX * 4 / 5, sender.clone()))).collect();
        drop(sender);
        let threads: Vec<_> = results.iter().collect();
        assert_eq!(threads.len(), calls.len());
        assert!(threads.iter().filter(|[_, ended]| ended == SLOW).count() > calls.len() / 2, "{threads:?}");
    }

    #[test]
    fn slow_guests_leave_a_core_to_the_quick_where_there_are_two() {
        let guests = GuestExecutor::start().unwrap();
        let cores = std::thread::available_parallelism().unwrap().get();
        let pace = Arc::<CpuAccount>::default();
        pace.take(HELD_MAX);
        let (running, (sender, results)) = (Arc::<AtomicUsize>::default(), mpsc::channel());
        let _calls: Vec<_> = (0..cores * 4)
            .map(|_| {
                let (running, sender) = (Arc::clone(&running), sender.clone());
                guests.spawn(&pace, async move {
                    let together = running.fetch_add(1, Ordering::SeqCst) + 1;
                    std::thread::sleep(Duration::from_millis(10));
                    running.fetch_sub(1, Ordering::SeqCst);
                    sender.send(together).unwrap();
                })
            })
            .collect();
        drop(sender);
        let (mut turns, mut most) = (0, 0);
        results.iter().for_each(|together| (turns, most) = (turns + 1, most.max(together)));
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
            let (sender, results) = mpsc::channel();
            let (end, ended) = mpsc::channel();
            let task = guests.spawn(&pace, async move {
                let _ended = Ended(end);
                guest(takes, sender).await;
                std::future::pending::<()>().await;
            });
            results.recv().unwrap();
            task.abandon();
            ended.recv_timeout(Duration::from_secs(60)).unwrap();
        }
    }
}
