//! What a running call tells its caller before it ends. Bounded in count and in size; what does not fit is dropped, for the
//! answer does not depend on it. Making messages of it is the server's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use toolgate_policy::limits::call::{REPORT_CHARS_MAX, REPORTS_MAX};
use toolgate_policy::redact::printable;

/// How far a call has come.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgressReport {
    /// So far. Grows from report to report.
    pub progress: f64,
    /// In all, if known.
    pub total: Option<f64>,
    /// In words.
    pub message: Option<String>,
}

/// A call's way to its caller. Clones are one.
#[derive(Clone, Default)]
pub struct Relay(Arc<Ends>);

#[derive(Default)]
struct Ends {
    reports: Option<mpsc::Sender<ProgressReport>>,
    last: Mutex<Option<f64>>,
    sent: AtomicU64,
    cancelled: AtomicBool,
}

impl Relay {
    /// A way to a caller who asked to be told, and its other end.
    pub fn open() -> (Self, mpsc::Receiver<ProgressReport>) {
        const WAITING_MAX: usize = 16;
        let (reports, receiver) = mpsc::channel(WAITING_MAX);
        (Self(Arc::new(Ends { reports: Some(reports), ..Ends::default() })), receiver)
    }

    /// The caller has cancelled.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the caller has cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// Passes a report on, if somebody listens and it says something new.
    pub fn report(&self, progress: f64, total: Option<f64>, message: Option<&str>) {
        let Some(reports) = &self.0.reports else { return };
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !progress.is_finite() || last.is_some_and(|last| progress <= last) {
            return;
        }
        if self.0.sent.fetch_add(1, Ordering::Relaxed) >= REPORTS_MAX {
            return;
        }
        *last = Some(progress);
        let message = message.map(|message| printable(message, REPORT_CHARS_MAX));
        let total = total.filter(|total| total.is_finite());
        // A caller who does not keep up misses some; the call does not wait.
        drop(reports.try_send(ProgressReport { progress, total, message }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(receiver: &mut mpsc::Receiver<ProgressReport>) -> Vec<f64> {
        std::iter::from_fn(|| receiver.try_recv().ok()).map(|report| report.progress).collect()
    }

    #[test]
    fn only_reports_that_grow_are_passed_on() {
        let (relay, mut receiver) = Relay::open();
        for progress in [1.0, 1.0, 0.5, f64::NAN, f64::INFINITY, 2.0] {
            relay.report(progress, Some(f64::NAN), Some("\u{1b}[2J"));
        }
        let first = receiver.try_recv().unwrap();
        assert_eq!((first.progress, first.total), (1.0, None));
        assert!(!first.message.unwrap().contains('\u{1b}'));
        assert_eq!(drained(&mut receiver), [2.0]);
    }

    #[test]
    fn a_flood_of_reports_ends_at_its_bound_and_waits_for_nobody() {
        let (relay, mut receiver) = Relay::open();
        let mut passed = 0;
        for n in 0..REPORTS_MAX * 2 {
            relay.report(n as f64, None, None);
            passed += drained(&mut receiver).len() as u64;
        }
        assert_eq!(passed, REPORTS_MAX);
        Relay::default().report(1.0, None, None);
    }
}
