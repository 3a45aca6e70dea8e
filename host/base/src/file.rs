//! Opening files in places where others may have put something else.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Flags (`open(2)`) by which opening waits for no other end of a pipe, and no terminal takes this process.
pub const OPEN_FLAGS: i32 = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits().cast_signed();

/// Opens whatever is at a path to read it. Pipes and devices too: see what it is before reading.
pub fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(OPEN_FLAGS).open(path)
}
