//! Progress reports of a running call to its caller. Bounded in count and size; excess reports are dropped, since the
//! answer does not depend on them. The server converts them into messages.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use toolgate_policy::limits::call::{REPORT_CHARS_MAX, REPORTS_MAX};
use toolgate_policy::redact::printable;

/// Progress of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgressReport {
    /// Progress so far; increases with every report.
    pub progress: f64,
    /// Total, if known.
    pub total: Option<f64>,
    /// Text for people.
    pub message: Option<String>,
}

/// Sends a call's progress reports to its caller. Clones share the channel.
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
    /// A relay with a receiver, for a caller that asked for progress.
    pub fn open() -> (Self, mpsc::Receiver<ProgressReport>) {
        const WAITING_MAX: usize = 16;
        let (reports, receiver) = mpsc::channel(WAITING_MAX);
        (Self(Arc::new(Ends { reports: Some(reports), ..Ends::default() })), receiver)
    }

    /// Marks the call as cancelled by its caller.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the caller has cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// Sends a report if there is a receiver and the progress has increased.
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
        // A slow receiver misses reports; the call does not wait.
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
