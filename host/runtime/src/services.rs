//! Shared services of all flows, built when the gate opens. It implements no step of loading or calling.

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

pub(crate) struct Services {
    pub(crate) sandbox: Sandbox,
    pub(crate) fetcher: Fetcher,
    pub(crate) snapshots: Snapshots,
    pub(crate) blobs: Arc<BlobStore>,
    pub(crate) rollback: RollbackGuard,
    pub(crate) audit: Arc<Recorder>,
    /// Call slots shared by all plugins.
    pub(crate) calls: Arc<Turns>,
    pub(crate) large: Large,
    pub(crate) flights: InFlight,
}

/// Running calls, tracked so that shutdown can wait for them.
#[derive(Default)]
pub(crate) struct InFlight {
    tracker: TaskTracker,
    stopping: CancellationToken,
}

impl InFlight {
    /// Registers a call; `None` once shutdown has begun.
    pub(crate) fn begin(&self) -> Option<TaskTrackerToken> {
        (!self.tracker.is_closed()).then(|| self.tracker.token())
    }

    /// Cancelled to end the remaining calls when shutdown stops waiting.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Accepts no more calls, waits for those in flight until `by`, then ends them.
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
