//! Checks of file modes. Policy files are read only if only their owner can write or replace them, secrets only if in
//! addition only owner and group can read them.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use toolgate_base::file;
use toolgate_state::owner;
use zeroize::Zeroizing;

/// Purpose of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// Policy: only its owner may write to it.
    Policy,
    /// Secret: in addition, only owner and group may read it.
    Secret,
}

/// Reads a text of at most `bytes_max` bytes.
///
/// # Errors
/// A sentence with the fault and the remedy.
pub(super) fn read_text(path: &Path, bytes_max: u64, kind: FileKind) -> Result<String, String> {
    read(path, bytes_max, kind).map(|text| text.to_string())
}

/// The same, for a text that must be wiped from memory.
pub(super) fn read(path: &Path, bytes_max: u64, kind: FileKind) -> Result<Zeroizing<String>, String> {
    let file = file::open(path).map_err(|error| format!("it cannot be opened: {error}"))?;
    let metadata = file.metadata().map_err(|error| format!("it cannot be looked at: {error}"))?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mode = metadata.mode();
    if mode & 0o022 != 0 {
        return Err("others can write to it; run `chmod go-w` on it".to_owned());
    }
    if kind == FileKind::Secret && mode & 0o007 != 0 {
        return Err("others can read it; run `chmod o-rwx` on it".to_owned());
    }
    owner::check(path, metadata.uid()).map_err(|error| error.to_string())?;
    let mut text = Zeroizing::new(String::new());
    let read = file.take(bytes_max + 1).read_to_string(&mut text);
    read.map_err(|error| format!("it cannot be read: {error}"))?;
    if text.len() as u64 > bytes_max {
        return Err(format!("it has more than {bytes_max} bytes"));
    }
    Ok(text)
}
