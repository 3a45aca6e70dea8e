//! Detects changes of watched files: a stamp for each file, and one digest of the signatures in each folder. A folder
//! is listed once for all its components, and the number of entries is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use toolgate_policy::limits::load::WATCH_ENTRIES_MAX;
use toolgate_runtime::load::source;

/// Device, inode number, length, and times of the last change of content and metadata, in seconds and nanoseconds.
pub(super) type Stamp = (u64, u64, u64, [i64; 4]);

/// The state of all watched files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamps {
    /// `None` for a missing file.
    files: BTreeMap<PathBuf, Option<Stamp>>,
    /// By folder.
    signatures: BTreeMap<PathBuf, Signatures>,
}

/// The state of the signature files of the watched components in one folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signatures {
    /// Their number, and the sum of the hashes of their names and stamps.
    Seen(usize, u64),
    /// The folder has more entries than are checked.
    Crowded,
    /// The folder cannot be read.
    Unreadable(io::ErrorKind),
}

/// Keys are random in each process, so an attacker cannot construct two states with equal hashes.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Stamps {
    /// The stamp of one file, if it exists.
    pub(super) fn file(&self, path: &Path) -> Option<Stamp> {
        self.files.get(path).copied().flatten()
    }

    /// The folders with more entries than are checked.
    pub(super) fn crowded(&self) -> impl Iterator<Item = &Path> {
        let crowded = self.signatures.iter().filter(|(_, state)| **state == Signatures::Crowded);
        crowded.map(|(folder, _)| folder.as_path())
    }

    /// Takes the earlier state of everything that was watched then.
    pub(super) fn take_over(&mut self, earlier: &Self) {
        for (path, stamp) in &mut self.files {
            *stamp = earlier.files.get(path).copied().unwrap_or(*stamp);
        }
        for (folder, state) in &mut self.signatures {
            *state = earlier.signatures.get(folder).copied().unwrap_or(*state);
        }
    }
}

/// The current state of files and of the signatures beside them.
pub(super) fn stamps(files: &[PathBuf], policy: &Path) -> Stamps {
    let mut components: BTreeMap<PathBuf, BTreeSet<&str>> = BTreeMap::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "wasm")) {
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            components.entry(folder.to_owned()).or_default().insert(name);
        }
    }
    let mut entries_left = WATCH_ENTRIES_MAX;
    let signatures = components.into_iter().map(|(folder, names)| {
        let state = signatures(&folder, &names, &mut entries_left)
            .unwrap_or_else(|error| Signatures::Unreadable(error.kind()));
        (folder, state)
    });
    let signatures = signatures.collect();
    let all = files.iter().map(PathBuf::as_path).chain([policy]);
    Stamps { files: all.map(|path| (path.to_owned(), stamp(path))).collect(), signatures }
}

/// The state of these components' signatures, independent of the order in which the folder lists them.
fn signatures(folder: &Path, names: &BTreeSet<&str>, entries_left: &mut usize) -> io::Result<Signatures> {
    let (mut count, mut sum) = (0, 0_u64);
    for entry in std::fs::read_dir(folder)? {
        let Some(left) = entries_left.checked_sub(1) else { return Ok(Signatures::Crowded) };
        *entries_left = left;
        let entry = entry?;
        let name = entry.file_name();
        let component = name.to_str().and_then(source::component_of);
        if component.is_some_and(|component| names.contains(component)) {
            count += 1;
            sum = sum.wrapping_add(HASHER.hash_one((&name, stamp(&entry.path()))));
        }
    }
    Ok(Signatures::Seen(count, sum))
}

fn stamp(path: &Path) -> Option<Stamp> {
    let at = std::fs::metadata(path).ok()?;
    Some((at.dev(), at.ino(), at.len(), [at.mtime(), at.mtime_nsec(), at.ctime(), at.ctime_nsec()]))
}

#[cfg(test)]
#[path = "stamps_tests.rs"]
mod tests;
