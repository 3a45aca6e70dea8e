//! Directory listings, which the engine's library reads into memory whole.

use std::io;
use std::sync::Arc;

use toolgate_base::meter::Meter;
use toolgate_policy::limits::call::{COUNT_FUEL, LISTING_EACH_BYTES, LISTING_MAX};

use super::threads::Threads;

/// Counts the entries of a folder, each charged in fuel, and returns the bytes of memory that its listing takes.
///
/// # Errors
/// More than `LISTING_MAX` entries, or a file system error.
pub(super) async fn memory(folder: Arc<std::fs::File>, meter: &Meter, threads: &Threads) -> io::Result<u64> {
    let counted = threads.spawn(move || -> io::Result<(usize, u64)> {
        let (mut entries, mut bytes) = (0_usize, 0_u64);
        // `.` and `..` are among them.
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

/// Bytes of memory for an entry whose name has `name` bytes.
pub(super) fn entry_bytes(name: usize) -> u64 {
    LISTING_EACH_BYTES + name as u64
}
