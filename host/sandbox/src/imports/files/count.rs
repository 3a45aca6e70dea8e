//! Counts the entries and bytes below a folder. The walk goes by descriptors and single names, so that no path is too
//! long, and keeps at most two folders open at any depth.

use std::collections::HashSet;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Access, AtFlags, Dir, FileType, Mode, OFlags, Stat, accessat, fstat, openat, statat};
use rustix::io::Errno;
use toolgate_policy::capability::room::Usage;

/// Identity of a file or folder on this machine, independent of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id {
    device: u64,
    inode: u64,
}

impl From<&Stat> for Id {
    fn from(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// Result of a count.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) usage: Usage,
    /// Files of the caller's set that have a name below the folder.
    pub(super) named: HashSet<Id>,
}

/// Reason that a folder's usage cannot be counted.
#[derive(Debug, thiserror::Error)]
pub(super) enum CountError {
    /// A folder that cannot be listed but in which files can be used.
    #[error("a folder below it cannot be listed: {0}; let the server read it, or move it away")]
    Unreadable(String),
    /// Folders were moved during the count.
    #[error("folders below it were moved while it was counted")]
    Moved,
    /// File system error.
    #[error(transparent)]
    Io(#[from] Errno),
}

/// Flags to open a folder of the walk: symbolic links are not followed.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Folder on the path from the root of the walk.
struct Level {
    id: Id,
    /// Subfolders not visited yet.
    below: Vec<CString>,
}

/// Counts until there are more than `entries_max` entries. A file with several names counts once, links are not
/// followed, and nested mounts count too. `open` is the set of files to look for by name.
pub(super) fn count(
    folder: BorrowedFd<'_>,
    entries_max: u64,
    open: &HashSet<Id>,
) -> Result<Counted, CountError> {
    let mut walk = Walk { open, entries_max, counted: Counted::default(), linked: HashSet::new() };
    let mut here = openat(folder, ".", FOLDER, Mode::empty())?;
    let mut levels = vec![walk.list(&here)?];
    while let Some(level) = levels.last_mut() {
        if walk.is_over() {
            break;
        }
        if let Some(name) = level.below.pop() {
            let Some(inside) = open_folder(here.as_fd(), &name)? else { continue };
            let level = walk.list(&inside)?;
            if !level.below.is_empty() {
                here = inside;
                levels.push(level);
            }
            continue;
        }
        levels.pop();
        if let Some(above) = levels.last() {
            here = openat(&here, "..", FOLDER, Mode::empty())?;
            if Id::from(&fstat(&here)?) != above.id {
                return Err(CountError::Moved);
            }
        }
    }
    Ok(walk.counted)
}

/// Opens a subfolder. `None` if it is gone, or neither this process nor a guest can reach anything in it.
fn open_folder(here: BorrowedFd<'_>, name: &CString) -> Result<Option<OwnedFd>, CountError> {
    match openat(here, name, FOLDER, Mode::empty()) {
        Ok(inside) => Ok(Some(inside)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(Errno::ACCESS | Errno::PERM) => {
            // With search permission, a file in it can be used by its name.
            if accessat(here, name, Access::EXEC_OK, AtFlags::EACCESS).is_ok() {
                return Err(CountError::Unreadable(name.to_string_lossy().into_owned()));
            }
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

struct Walk<'a> {
    open: &'a HashSet<Id>,
    entries_max: u64,
    counted: Counted,
    /// Files with several names that have been counted.
    linked: HashSet<Id>,
}

impl Walk<'_> {
    fn is_over(&self) -> bool {
        self.counted.usage.entries > self.entries_max
    }

    /// Counts the entries of one folder and collects its subfolders.
    fn list(&mut self, folder: &OwnedFd) -> Result<Level, CountError> {
        let mut level = Level { id: Id::from(&fstat(folder)?), below: Vec::new() };
        let mut entries = Dir::new(folder.try_clone().map_err(|_| Errno::MFILE)?)?;
        while let Some(entry) = entries.read() {
            let entry = match entry {
                // The folder was removed in the meantime.
                Err(Errno::NOENT) => break,
                entry => entry?,
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                // The folder can be listed but not searched: nothing in it can be reached.
                Err(Errno::ACCESS) => {
                    self.counted.usage.entries += 1;
                    continue;
                }
                stat => stat?,
            };
            self.add(&stat);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                level.below.push(name.to_owned());
            }
            if self.is_over() {
                break;
            }
        }
        Ok(level)
    }

    fn add(&mut self, stat: &Stat) {
        let id = Id::from(stat);
        self.counted.usage.entries += 1;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return;
        }
        if self.open.contains(&id) {
            self.counted.named.insert(id);
        }
        if stat.st_nlink < 2 || self.linked.insert(id) {
            let bytes = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
            self.counted.usage.bytes = self.counted.usage.bytes.saturating_add(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn counted(folder: &Path, entries_max: u64) -> Result<Usage, CountError> {
        let folder = File::open(folder).unwrap();
        count(folder.as_fd(), entries_max, &HashSet::new()).map(|counted| counted.usage)
    }

    #[test]
    fn files_folders_and_links_are_counted_and_links_are_not_followed() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(base.path().join("a/b")).unwrap();
        std::fs::write(base.path().join("a/b/file"), [0; 100]).unwrap();
        File::create(base.path().join("sparse")).unwrap().set_len(1 << 40).unwrap();
        symlink("/usr", base.path().join("link")).unwrap();
        symlink("..", base.path().join("a/loop")).unwrap();
        assert_eq!(counted(base.path(), 100).unwrap(), Usage { bytes: (1 << 40) + 100, entries: 6 });
        assert_eq!(counted(base.path(), 2).unwrap().entries, 3, "it stops where it is too much");
    }

    #[test]
    fn a_file_of_several_names_counts_its_bytes_once_and_each_name_as_an_entry() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir(base.path().join("a")).unwrap();
        std::fs::write(base.path().join("one"), [0; 100]).unwrap();
        std::fs::hard_link(base.path().join("one"), base.path().join("a/two")).unwrap();
        assert_eq!(counted(base.path(), 100).unwrap(), Usage { bytes: 100, entries: 3 });
    }

    #[test]
    fn names_that_are_no_text_are_counted() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(std::ffi::OsStr::from_bytes(b"\x80")), [0; 7]).unwrap();
        assert_eq!(counted(base.path(), 100).unwrap(), Usage { bytes: 7, entries: 2 });
    }

    #[test]
    fn an_open_file_without_a_name_is_not_among_the_named() {
        let base = tempfile::tempdir().unwrap();
        let [stays, goes] = ["stays", "goes"].map(|name| base.path().join(name));
        let files = [&stays, &goes].map(|path| File::create(path).unwrap());
        std::fs::remove_file(&goes).unwrap();
        let ids: Vec<Id> = files.iter().map(|file| Id::from(&fstat(file).unwrap())).collect();
        let folder = File::open(base.path()).unwrap();
        let counted = count(folder.as_fd(), 100, &ids.iter().copied().collect()).unwrap();
        assert_eq!(counted.named, HashSet::from([ids[0]]));
    }

    #[test]
    fn a_tree_deeper_than_any_path_can_say_is_counted_with_two_folders_open() {
        const DEPTH: u64 = 5_000;
        let base = tempfile::tempdir().unwrap();
        let mut at = OwnedFd::from(File::open(base.path()).unwrap());
        for _ in 0..DEPTH {
            rustix::fs::mkdirat(&at, "folder", Mode::RWXU).unwrap();
            at = openat(&at, "folder", FOLDER, Mode::empty()).unwrap();
            // A second subfolder, so that the walk returns through every level.
            rustix::fs::mkdirat(&at, "beside", Mode::RWXU).unwrap();
        }
        rustix::fs::mkdirat(&at, "last", Mode::RWXU).unwrap();
        let usage = counted(base.path(), 1_000_000).unwrap();
        assert_eq!(usage, Usage { bytes: 0, entries: DEPTH * 2 + 1 });
        assert_eq!(counted(base.path(), DEPTH / 2).unwrap().entries, DEPTH / 2 + 1);
        // The standard library would open a descriptor per level to remove it.
        rustix::fs::unlinkat(&at, "last", AtFlags::REMOVEDIR).unwrap();
        for _ in 0..DEPTH {
            rustix::fs::unlinkat(&at, "beside", AtFlags::REMOVEDIR).unwrap();
            at = openat(&at, "..", FOLDER, Mode::empty()).unwrap();
            rustix::fs::unlinkat(&at, "folder", AtFlags::REMOVEDIR).unwrap();
        }
    }
}
