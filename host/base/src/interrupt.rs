//! What ends a call before its time: the caller went away, the plugin was revoked, or the host stops. Raised from outside, looked at by the
//! guest's task between turns.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::outcome::{Fault, FaultKind};

/// A switch that can be turned once. Clones share it.
#[derive(Clone, Default)]
pub struct Interrupt {
    raised: CancellationToken,
    revoked: Option<CancellationToken>,
    stopping: Option<CancellationToken>,
}

impl Interrupt {
    /// Ends the call: the caller cancelled it, or is gone.
    pub fn cancel(&self) {
        self.raised.cancel();
    }

    /// The same switch, which the end of the plugin's trust and the host's stop turn too.
    pub fn under(&self, revoked: &CancellationToken, stopping: &CancellationToken) -> Self {
        let (revoked, stopping) = (Some(revoked.clone()), Some(stopping.clone()));
        Self { raised: self.raised.clone(), revoked, stopping }
    }

    /// Waits until it is raised.
    pub async fn raised(&self) -> Fault {
        let turned = async |switch: &Option<CancellationToken>| match switch {
            Some(switch) => switch.cancelled().await,
            None => std::future::pending().await,
        };
        tokio::select! {
            biased;
            () = self.raised.cancelled() => Fault::new(FaultKind::Cancelled, "the call was cancelled"),
            () = turned(&self.revoked) => Fault::new(FaultKind::Revoked, "the tool was revoked; the call was ended"),
            () = turned(&self.stopping) => Fault::new(FaultKind::Stopping, "the host is stopping; the call was ended"),
        }
    }

    /// Waits until it has been raised for so long.
    pub async fn raised_for(&self, time: Duration) -> Fault {
        let fault = self.raised().await;
        tokio::time::sleep(time).await;
        fault
    }
}
