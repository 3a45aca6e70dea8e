//! Interruption of a call: the caller is gone, the plugin was revoked, or the host stops. Signalled from outside, and
//! awaited by the guest's task between polls.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::outcome::{Fault, FaultKind};

/// One-shot signal to end a call; clones share it.
#[derive(Clone, Default)]
pub struct Interrupt {
    raised: CancellationToken,
    revoked: CancellationToken,
    stopping: CancellationToken,
}

impl Interrupt {
    /// Ends the call: the caller cancelled it, or is gone.
    pub fn cancel(&self) {
        self.raised.cancel();
    }

    /// Adds the signals for the end of the plugin's trust and the host's shutdown.
    pub fn under(&self, revoked: &CancellationToken, stopping: &CancellationToken) -> Self {
        Self { raised: self.raised.clone(), revoked: revoked.clone(), stopping: stopping.clone() }
    }

    /// Waits for the signal.
    pub async fn raised(&self) -> Fault {
        tokio::select! {
            biased;
            () = self.raised.cancelled() => Fault::new(FaultKind::Cancelled, "the call was cancelled"),
            () = self.revoked.cancelled() => Fault::new(FaultKind::Revoked, "the tool was revoked; the call was ended"),
            () = self.stopping.cancelled() => Fault::new(FaultKind::Stopping, "the host is stopping; the call was ended"),
        }
    }

    /// Waits for the signal, and this much longer.
    pub async fn raised_for(&self, time: Duration) -> Fault {
        let fault = self.raised().await;
        tokio::time::sleep(time).await;
        fault
    }
}
