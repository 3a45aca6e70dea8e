//! Shutdown: SIGTERM or SIGINT stops new calls, those in flight may end, then everything is closed. A second signal
//! closes at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stop` at the first SIGTERM or SIGINT, and exits at the second.
pub(crate) fn on_signal(stop: CancellationToken) -> std::io::Result<()> {
    // Exceeding the file size limit is an I/O error, as with a full disk, and does not end the process.
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
