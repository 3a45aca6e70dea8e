//! Stopping: on SIGTERM or SIGINT no more calls are taken, those in flight may end, then everything is cut. A second signal
//! cuts at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Turns the first SIGTERM or SIGINT into `stop`, and the second into the end of the process.
///
/// # Errors
/// When signals cannot be listened to.
pub(crate) fn on_signal(stop: CancellationToken) -> std::io::Result<()> {
    // A limit of file sizes is met like a full disk, and not by the end of the process.
    drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("stopping; a second signal ends at once");
                stop.cancel();
            } else {
                #[expect(clippy::disallowed_methods, reason = "the operator asked twice and will not wait")]
                std::process::exit(130);
            }
        }
    });
    Ok(())
}
