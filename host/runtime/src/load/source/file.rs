//! `file:` and `dir:` sources: a regular file, read once, with the signature files beside it. A device, a pipe or a
//! folder is never read or waited for. In a folder of plugins a link is followed only if it ends inside that folder.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::io::Errno;
use toolgate_base::artifact::{Artifact, TooLargeError};
use toolgate_base::file::{self, OPEN_FLAGS};
use toolgate_policy::limits::load::{
    ATTACHED_READ_BYTES_MAX, ATTACHED_READ_MAX, COMPONENT_BYTES_MAX, FOLDER_ENTRIES_MAX,
};
use toolgate_signature::anchor::Anchor;
use toolgate_signature::choose::{self, FileNaming, choose};
use toolgate_signature::name::{self, is_signature_of};
use toolgate_signature::{SignatureFile, Unread};

use super::Found;

/// Reasons why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened.
    #[error("open {0}")]
    Open(PathBuf, #[source] io::Error),
    /// It is not a regular file.
    #[error("read {0}: it is not a regular file")]
    NotAFile(PathBuf),
    /// It is too large, or reading it failed.
    #[error("read {0}")]
    Read(PathBuf, #[source] TooLargeError),
    /// It is a link that leads out of its folder of plugins, or to nothing.
    #[error("read {0}: it is a link, and does not lead to a file in its own folder")]
    Link(PathBuf),
    /// It is in a folder of plugins, and this user may not read it.
    #[error("read {0}: this user may not read it")]
    Forbidden(PathBuf),
    /// The folder has more entries than are read.
    #[error("read the folder {0}: it has more than {FOLDER_ENTRIES_MAX} entries")]
    TooManyEntries(PathBuf),
}

impl FileError {
    /// Whether nothing was available, in contrast to something that is refused.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            Self::Open(..) | Self::Read(_, TooLargeError::Io(_)) => true,
            Self::NotAFile(_)
            | Self::Link(_)
            | Self::Forbidden(_)
            | Self::Read(_, TooLargeError::Bytes(_))
            | Self::TooManyEntries(_) => false,
        }
    }
}

pub(super) fn fetch(path: &Path, signers: &[Anchor]) -> Result<Found, FileError> {
    fetch_with(path, signers, read_regular)
}

/// Fetches from a folder of plugins. A file put there can refer only to files of that folder.
pub(super) fn fetch_within(folder: &Path, name: &str, signers: &[Anchor]) -> Result<Found, FileError> {
    let within = |path: &Path, bytes_max| read(path, open_within(folder, path)?, bytes_max);
    fetch_with(&folder.join(name), signers, within)
}

fn fetch_with(
    path: &Path,
    signers: &[Anchor],
    read: impl Fn(&Path, u64) -> Result<Artifact, FileError>,
) -> Result<Found, FileError> {
    let artifact = read(path, COMPONENT_BYTES_MAX)?;
    let (mut files, mut unread) = (Vec::new(), Vec::new());
    let mut bytes_left = ATTACHED_READ_BYTES_MAX;
    let (all, not_seen) = in_turn(path, signers)?;
    for (beside, bytes_max) in all {
        let name = beside.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        // A bad file put beside the component must not keep it from loading.
        match read(&beside, bytes_max.min(bytes_left)) {
            Ok(file) => {
                bytes_left -= file.bytes().len() as u64;
                files.push(SignatureFile { name, bytes: file.bytes().to_vec() });
            }
            Err(FileError::Read(_, TooLargeError::Bytes(bytes))) if bytes < bytes_max => {
                unread.push(Unread::beyond(&name));
            }
            Err(FileError::Read(_, error)) => unread.push(Unread::because(&name, &error)),
            Err(FileError::NotAFile(_)) => {
                unread.push(Unread { name, why: "it is not a regular file".to_owned() });
            }
            Err(FileError::Link(_)) => {
                let why = "it is a link, and does not lead to a file in its own folder".to_owned();
                unread.push(Unread { name, why });
            }
            Err(error) => unread.push(Unread::because(&name, &error)),
        }
    }
    files.sort_by(|a, b| by_name(&a.name).cmp(&by_name(&b.name)));
    let (signatures, beyond) = choose(files, signers, FileNaming::Unique);
    unread.sort_by(|a, b| by_name(&a.name).cmp(&by_name(&b.name)));
    unread.extend(beyond);
    let component = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let unread = choose::listed(unread, not_seen, &component);
    Ok(Found { unread, ..Found::new(artifact, signatures) })
}

/// Sort key: names without digits first, then by name.
fn by_name(name: &str) -> (bool, &str) {
    (!name::is_plain(name), name)
}

/// Signature files in the order of reading, and the number of those beyond the limit. First come names without digits,
/// then those with the digits of a signer, which are unique, then the rest; small ones first.
fn in_turn(component: &Path, signers: &[Anchor]) -> Result<(Vec<(PathBuf, u64)>, usize), FileError> {
    let of_signers: BTreeSet<String> = signers.iter().map(|signer| name::digits_of(signer.id())).collect();
    let turn = |(path, _): &(PathBuf, u64)| {
        let name = path.to_string_lossy();
        let is_of_signer = name::digits(&name).is_some_and(|digits| of_signers.contains(digits));
        let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        (!name::is_plain(&name), !is_of_signer, size, path.clone())
    };
    let keep_first = |first: &mut Vec<_>| {
        first.sort_by_cached_key(turn);
        first.truncate(ATTACHED_READ_MAX);
    };
    let (mut first, mut count) = (Vec::new(), 0);
    each_beside(component, |beside| {
        count += 1;
        first.push(beside);
        if first.len() >= 2 * ATTACHED_READ_MAX {
            keep_first(&mut first);
        }
    })?;
    keep_first(&mut first);
    let more = count - first.len();
    Ok((first, more))
}

/// Opens a file of a folder. A link is resolved first, and the result opened beneath the folder, so that a link changed
/// meanwhile cannot lead outside.
fn open_within(folder: &Path, path: &Path) -> Result<File, FileError> {
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => FileError::Forbidden(path.to_owned()),
        io::ErrorKind::NotFound if path.is_symlink() => FileError::Link(path.to_owned()),
        _ if Errno::from_io_error(&error) == Some(Errno::LOOP) => FileError::Link(path.to_owned()),
        _ => FileError::Open(path.to_owned(), error),
    };
    let top = folder.canonicalize().map_err(fail)?;
    let real = path.canonicalize().map_err(fail)?;
    let inside = real.strip_prefix(&top).map_err(|_| FileError::Link(path.to_owned()))?;
    let dir = Dir::open_ambient_dir(&top, ambient_authority()).map_err(fail)?;
    let mut options = OpenOptions::new();
    let file = dir.open_with(inside, options.read(true).custom_flags(OPEN_FLAGS)).map_err(fail)?;
    Ok(file.into_std())
}

/// Paths of the signature files beside a component, sorted. Their names are its name, a signature ending, and for
/// further signers eight hexadecimal digits before that.
///
/// # Errors
/// When the folder cannot be read.
pub fn signature_names(component: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut names = Vec::new();
    each_beside(component, |(path, _)| names.push(path))?;
    names.sort();
    Ok(names)
}

/// Name of the component that a file of this name would be a signature of.
pub fn component_of(signature: &str) -> Option<&str> {
    signature.strip_suffix(name::tail(signature)?)
}

/// Calls `each` with every signature file beside a component and the maximum number of bytes read of it.
fn each_beside(component: &Path, mut each: impl FnMut((PathBuf, u64))) -> Result<(), FileError> {
    let (Some(folder), Some(name)) =
        (component.parent(), component.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let open = |error| FileError::Open(folder.to_owned(), error);
    for entry in std::fs::read_dir(folder).map_err(open)? {
        let entry = entry.map_err(open)?;
        let beside = entry.file_name();
        let form = beside.to_str().filter(|other| is_signature_of(name, other)).and_then(name::form);
        if let Some((_, bytes_max)) = form {
            each((entry.path(), bytes_max));
        }
    }
    Ok(())
}

/// Names of the entries directly in a folder that end in `.wasm`, of any type, sorted. Hidden ones are left out.
///
/// # Errors
/// When the folder cannot be read, or has more entries than are read.
pub fn folder(folder: &Path) -> Result<Vec<String>, FileError> {
    let open = |error| FileError::Open(folder.to_owned(), error);
    let mut names = Vec::new();
    for (count, entry) in std::fs::read_dir(folder).map_err(open)?.enumerate() {
        if count >= FOLDER_ENTRIES_MAX {
            return Err(FileError::TooManyEntries(folder.to_owned()));
        }
        let name = entry.map_err(open)?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".wasm") && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Reads a regular file that a command names, of at most `bytes_max` bytes.
///
/// # Errors
/// [`FileError`].
pub fn read_regular(path: &Path, bytes_max: u64) -> Result<Artifact, FileError> {
    let file = file::open(path).map_err(|error| FileError::Open(path.to_owned(), error))?;
    read(path, file, bytes_max)
}

fn read(path: &Path, file: File, bytes_max: u64) -> Result<Artifact, FileError> {
    let metadata = file.metadata().map_err(|error| FileError::Open(path.to_owned(), error))?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile(path.to_owned()));
    }
    Artifact::read(file, bytes_max).map_err(|error| FileError::Read(path.to_owned(), error))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
