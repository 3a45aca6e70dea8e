//! Listings of folders, which the engine's library brings into memory whole.

use std::io;
use std::sync::Arc;

use toolgate_policy::limits::call::{COUNT_FUEL, LISTING_MAX};

use super::threads::Threads;
use crate::meter::Meter;

/// Whether a folder has few enough entries to be listed. Each costs fuel, before they are listed.
///
/// # Errors
/// That there are too many, or what the file system says.
pub(super) async fn check(folder: Arc<std::fs::File>, meter: &Meter, threads: &Threads) -> io::Result<()> {
    let counted = threads.spawn(move || -> io::Result<usize> {
        // The folder itself and the one above stand among them.
        Ok(rustix::fs::Dir::read_from(&folder)?.take(LISTING_MAX + 3).count().saturating_sub(2))
    });
    let entries = counted.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))?;
    meter.charge((entries as u64).saturating_mul(COUNT_FUEL));
    if entries > LISTING_MAX {
        return Err(rustix::io::Errno::NOMEM.into());
    }
    Ok(())
}
