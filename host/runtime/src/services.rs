//! What the flows walk through: one of each, made when the gate opens. No step of any flow is here.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use toolgate_net::remote::Fetcher;
use toolgate_policy::limits::call::GRACE_MS;
use toolgate_sandbox::Sandbox;
use toolgate_state::audit::Recorder;
use toolgate_state::blobs::BlobStore;
use toolgate_state::rollback::RollbackGuard;

use crate::large::Large;
use crate::snapshot::Snapshots;
use crate::turns::Turns;

/// The rooms.
pub(crate) struct Services {
    /// Where guest code runs.
    pub(crate) sandbox: Sandbox,
    /// The way to what lies elsewhere.
    pub(crate) fetcher: Fetcher,
    /// What serves.
    pub(crate) snapshots: Snapshots,
    /// What was fetched and approved.
    pub(crate) kept: Arc<BlobStore>,
    /// What was seen before and may not be undone.
    pub(crate) seen: RollbackGuard,
    /// The record.
    pub(crate) audit: Arc<Recorder>,
    /// Places for calls, all plugins together.
    pub(crate) calls: Arc<Turns>,
    /// Where large messages are worked on.
    pub(crate) large: Large,
    /// Calls in flight.
    pub(crate) flights: InFlight,
}

/// Calls in flight, so that a stop can wait for them.
#[derive(Default)]
pub(crate) struct InFlight {
    tracker: TaskTracker,
    stopping: CancellationToken,
}

impl InFlight {
    /// A call begins; none after a stop was asked for.
    pub(crate) fn begin(&self) -> Option<TaskTrackerToken> {
        (!self.tracker.is_closed()).then(|| self.tracker.token())
    }

    /// Ends the calls that are left when a stop can wait no longer.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Takes no more calls, waits for those in flight until `by`, then ends them.
    pub(crate) async fn drain(&self, by: Instant) {
        self.tracker.close();
        if tokio::time::timeout_at(by, self.tracker.wait()).await.is_err() {
            self.stopping.cancel();
            let last = Duration::from_millis(GRACE_MS * 2);
            if tokio::time::timeout(last, self.tracker.wait()).await.is_err() {
                tracing::warn!("calls that did not let go were left behind");
            }
        }
    }
}
