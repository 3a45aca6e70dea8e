//! Reports that a plugin is being compiled if that takes longer than a moment, and how long it took.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use toolgate_policy::limits::load::COMPILE_TELL_MS;

/// Callback for slow compilations: plugin, bytes, and `None` at first, then the duration once it is over.
pub type CompileProgress = Arc<dyn Fn(&str, u64, Option<Duration>) + Send + Sync>;

/// Reports slow compilations, to the log and to a listener.
pub struct Watch {
    moment: Duration,
    listener: OnceLock<CompileProgress>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { moment: Duration::from_millis(COMPILE_TELL_MS), listener: OnceLock::new() }
    }
}

impl Watch {
    /// Sets the listener; only the first counts.
    pub fn tell(&self, listener: CompileProgress) {
        self.listener.get_or_init(|| listener);
    }

    /// Runs `compile` for a plugin of this many bytes, and reports if it is slow.
    pub(super) fn over<T>(&self, plugin: &str, bytes: u64, compile: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let is_told = &AtomicBool::new(false);
        let (over, waits) = mpsc::channel::<()>();
        let wait = move || {
            if waits.recv_timeout(self.moment) == Err(mpsc::RecvTimeoutError::Timeout) {
                is_told.store(true, Ordering::Relaxed);
                self.say(plugin, bytes, None);
            }
        };
        let compiled = std::thread::scope(|scope| {
            // Without a thread nothing is reported.
            drop(std::thread::Builder::new().name("compiling".to_owned()).spawn_scoped(scope, wait));
            let compiled = compile();
            drop(over);
            compiled
        });
        if is_told.load(Ordering::Relaxed) {
            self.say(plugin, bytes, Some(started.elapsed()));
        }
        compiled
    }

    fn say(&self, plugin: &str, bytes: u64, took: Option<Duration>) {
        match took {
            None => tracing::info!(plugin, bytes, "compiling; this takes longer than a moment"),
            Some(took) => {
                let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(plugin, ms, "compiling is over");
            }
        }
        if let Some(listener) = self.listener.get() {
            listener(plugin, bytes, took);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    type Reports = Arc<Mutex<Vec<(String, u64, bool)>>>;

    fn watch(moment: Duration) -> (Watch, Reports, mpsc::Receiver<()>) {
        let (watch, reports, (begun, begins)) = (Watch::default(), Reports::default(), mpsc::channel());
        let collected = Arc::clone(&reports);
        watch.tell(Arc::new(move |plugin, bytes, took| {
            collected.lock().unwrap().push((plugin.to_owned(), bytes, took.is_some()));
            begun.send(()).unwrap_or_default();
        }));
        (Watch { moment, ..watch }, reports, begins)
    }

    #[test]
    fn what_takes_long_is_told_when_it_begins_to_and_when_it_is_over() {
        let (watch, reports, begins) = watch(Duration::from_millis(1));
        assert_eq!(watch.over("py", 5, || begins.recv().map(|()| 7)), Ok(7));
        assert_eq!(*reports.lock().unwrap(), [("py".to_owned(), 5, false), ("py".to_owned(), 5, true)]);
    }

    #[test]
    fn what_takes_a_moment_is_not_told() {
        let (watch, reports, _) = watch(Duration::from_secs(3_600));
        assert_eq!(watch.over("py", 5, || 7), 7);
        assert!(reports.lock().unwrap().is_empty());
    }
}
