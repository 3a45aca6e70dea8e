//! Files of a bundle in a folder or a tar: only plain files inside it, each read on request, within a total limit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::OFlags;
use toolgate_base::artifact::Artifact;
use toolgate_base::file::{self, OPEN_FLAGS};
use toolgate_policy::limits::load::{
    BUNDLE_BYTES_MAX, BUNDLE_ENTRIES_MAX, BUNDLE_FILES_MAX, TAR_EXTENSION_BYTES_MAX,
};
use toolgate_policy::redact::printable;

use super::super::artefact::{self, Descriptor};
use super::BundleError;

pub(super) struct Files {
    place: Place,
    /// Bytes that may still be read.
    left: u64,
}

enum Place {
    Folder(Dir),
    Tar(File, BTreeMap<String, Span>),
}

/// Position of a file's bytes in a tar.
#[derive(Clone, Copy)]
struct Span {
    from: u64,
    bytes: u64,
}

impl Files {
    /// Opens a folder or a tar. Reads only the headers of a tar's entries.
    pub(super) fn open(from: &Path) -> Result<Self, BundleError> {
        let not_open = |error| BundleError::Open(from.to_owned(), error);
        let place = match std::fs::metadata(from).map_err(not_open)?.is_dir() {
            true => Place::Folder(Dir::open_ambient_dir(from, ambient_authority()).map_err(not_open)?),
            false => open_tar(from)?,
        };
        Ok(Self { place, left: BUNDLE_BYTES_MAX })
    }

    /// Bytes read so far.
    #[cfg(test)]
    pub(super) fn read(&self) -> u64 {
        BUNDLE_BYTES_MAX - self.left
    }

    /// Content that a descriptor names, checked against it.
    pub(super) fn blob(&mut self, wanted: &Descriptor, bytes_max: u64) -> Result<Artifact, BundleError> {
        Ok(artefact::checked(self.get(&super::blob_path(wanted.digest), bytes_max)?, wanted)?)
    }

    pub(super) fn get(&mut self, path: &str, bytes_max: u64) -> Result<Artifact, BundleError> {
        let io = |error| BundleError::Io(path.into(), error);
        let file = match &mut self.place {
            Place::Tar(file, spans) => {
                let span = *spans.get(path).ok_or(BundleError::Entry(path.to_owned(), "it is not there"))?;
                file.seek(SeekFrom::Start(span.from)).map_err(io)?;
                file.try_clone().map_err(io)?.take(span.bytes)
            }
            Place::Folder(dir) => {
                let mut options = OpenOptions::new();
                let flags = OPEN_FLAGS | OFlags::NOFOLLOW.bits().cast_signed();
                let file = dir.open_with(path, options.read(true).custom_flags(flags)).map_err(io)?;
                if !file.metadata().map_err(io)?.is_file() {
                    return Err(BundleError::Entry(path.to_owned(), "it is not a plain file"));
                }
                file.into_std().take(u64::MAX)
            }
        };
        let bounded = bytes_max.min(self.left);
        let artifact = Artifact::read(file, bounded).map_err(|error| match bounded == bytes_max {
            true => BundleError::TooLargeError(path.to_owned(), error),
            false => BundleError::Large,
        })?;
        self.left -= artifact.bytes().len() as u64;
        Ok(artifact)
    }
}

/// Block size of a tar.
const BLOCK_BYTES: u64 = 512;

/// Indexes the plain files of a tar. Any other entry but a folder is refused. So are extensions that rename or resize
/// an entry (long names, most of pax), so that no second reader sees another archive.
fn open_tar(from: &Path) -> Result<Place, BundleError> {
    let io = |error| BundleError::Io(from.to_owned(), error);
    let file = file::open(from).map_err(|error| BundleError::Open(from.to_owned(), error))?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(BundleError::Entry(printable(&from.to_string_lossy(), 200), "it is not a plain file"));
    }
    let mut spans = BTreeMap::new();
    let mut total: u64 = 0;
    let mut archive = tar::Archive::new(&file);
    for (count, entry) in archive.entries_with_seek().map_err(io)?.raw(true).enumerate() {
        let cut_off = || BundleError::CutOff(from.to_owned());
        let in_the_middle = count > 0 && !metadata.len().is_multiple_of(BLOCK_BYTES);
        let mut entry = entry.map_err(|error| if in_the_middle { cut_off() } else { io(error) })?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let refused = |why| BundleError::Entry(printable(&path, 200), why);
        let (kind, span) =
            (entry.header().entry_type(), Span { from: entry.raw_file_position(), bytes: entry.size() });
        total = total.saturating_add(span.bytes);
        if total > BUNDLE_BYTES_MAX || count >= BUNDLE_ENTRIES_MAX || spans.len() >= BUNDLE_FILES_MAX {
            return Err(BundleError::Large);
        }
        if span.from.saturating_add(span.bytes) > metadata.len() {
            return Err(cut_off());
        }
        match kind {
            kind if kind.is_dir() => continue,
            kind if kind.is_file() => {}
            kind if kind.is_pax_local_extensions() && span.bytes <= TAR_EXTENSION_BYTES_MAX => {
                if changes_what_follows(&mut entry).map_err(io)? {
                    return Err(refused("it gives the next file another name or size"));
                }
                continue;
            }
            _ => return Err(refused("it is not a plain file")),
        }
        let name = path.strip_prefix("./").unwrap_or(&path);
        if name.is_empty() || name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(refused("it leads outside the bundle"));
        }
        if spans.insert(name.to_owned(), span).is_some() {
            return Err(refused("it appears twice"));
        }
    }
    // `bundle export` writes the layout's marker last.
    if !spans.contains_key("oci-layout")
        && !spans.is_empty()
        && !has_end(&file, metadata.len()).map_err(io)?
    {
        return Err(BundleError::CutOff(from.to_owned()));
    }
    Ok(Place::Tar(file, spans))
}

/// Whether a tar ends as POSIX.1-2001 requires: in whole blocks, the last of zeros.
fn has_end(mut file: &File, bytes: u64) -> std::io::Result<bool> {
    let Some(last) = bytes.checked_sub(BLOCK_BYTES).filter(|_| bytes.is_multiple_of(BLOCK_BYTES)) else {
        return Ok(false);
    };
    file.seek(SeekFrom::Start(last))?;
    let mut block = Vec::new();
    file.take(BLOCK_BYTES).read_to_end(&mut block)?;
    Ok(block.iter().all(|byte| *byte == 0))
}

/// Whether a pax extension (POSIX.1-2001) changes the path, size or layout of the next file.
fn changes_what_follows<R: std::io::Read>(entry: &mut tar::Entry<'_, R>) -> std::io::Result<bool> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(true) };
    for extension in extensions {
        let key = extension?.key().map_err(std::io::Error::other)?.to_owned();
        if matches!(key.as_str(), "path" | "linkpath" | "size") || key.starts_with("GNU.sparse") {
            return Ok(true);
        }
    }
    Ok(false)
}
