//! Listings of folders, which the engine's library brings into memory whole.

use std::io;
use std::sync::Arc;

use toolgate_base::meter::Meter;
use toolgate_policy::limits::call::{COUNT_FUEL, LISTING_EACH_BYTES, LISTING_MAX};

use super::threads::Threads;

/// Counts the entries of a folder, each of which costs fuel, and says how much memory a listing of them takes.
///
/// # Errors
/// That there are too many, or what the file system says.
pub(super) async fn memory(folder: Arc<std::fs::File>, meter: &Meter, threads: &Threads) -> io::Result<u64> {
    let counted = threads.spawn(move || -> io::Result<(usize, u64)> {
        let (mut entries, mut bytes) = (0_usize, 0_u64);
        // The folder itself and the one above stand among them.
        for entry in rustix::fs::Dir::read_from(&folder)?.take(LISTING_MAX + 3) {
            entries += 1;
            bytes += entry_bytes(entry.map_or(0, |entry| entry.file_name().to_bytes().len()));
        }
        Ok((entries.saturating_sub(2), bytes))
    });
    let (entries, bytes) = counted.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))?;
    meter.charge((entries as u64).saturating_mul(COUNT_FUEL));
    if entries > LISTING_MAX {
        return Err(rustix::io::Errno::NOMEM.into());
    }
    Ok(bytes)
}

/// The memory that an entry takes whose name has so many bytes.
pub(super) fn entry_bytes(name: usize) -> u64 {
    LISTING_EACH_BYTES + name as u64
}
