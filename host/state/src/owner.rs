//! Checks that no other user can change a file or folder: neither as its owner, nor by replacing it in its folder.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};

const ROOT: u32 = 0;
const STICKY: u32 = 0o1000;
const WRITABLE_BY_ALL: u32 = 0o002;

/// Another user could change it.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// It belongs to another user.
    #[error(
        "it belongs to user {owner}, and only root or this user ({us}) may own it; run this as user {owner}, or `chown {us}` on it"
    )]
    Owner {
        /// User id of the owner.
        owner: u32,
        /// User id of this process.
        us: u32,
    },
    /// Others can replace it in its folder.
    #[error(
        "it lies in {0}, where everybody can put another in its place; run `chmod o-w` on that folder, or move it elsewhere"
    )]
    Folder(PathBuf),
    /// Its folder's metadata cannot be read.
    #[error("its folder cannot be looked at: {0}")]
    Io(#[from] io::Error),
}

/// Checks an opened file or folder with this path and owner.
///
/// # Errors
/// [`OwnerError`].
pub fn check(path: &Path, owner: u32) -> Result<(), OwnerError> {
    let us = rustix::process::geteuid().as_raw();
    if !is_ours(owner, us) {
        return Err(OwnerError::Owner { owner, us });
    }
    // For a link, both the link and its target could be replaced.
    let named = std::path::absolute(path)?;
    let real = named.canonicalize()?;
    for folder in [named.parent(), real.parent()].into_iter().flatten() {
        let metadata = folder.metadata()?;
        let is_open = lets_others_replace(metadata.mode(), metadata.uid(), us);
        // Read-only mounts of a container are often world-writable.
        let is_read_only =
            || statvfs(folder).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY));
        if is_open && !is_read_only() {
            return Err(OwnerError::Folder(folder.to_owned()));
        }
    }
    Ok(())
}

fn is_ours(owner: u32, us: u32) -> bool {
    owner == us || owner == ROOT
}

/// Whether others may remove or rename entries of a folder. In a sticky folder only the owners of folder and entry may.
fn lets_others_replace(mode: u32, owner: u32, us: u32) -> bool {
    mode & WRITABLE_BY_ALL != 0 && (mode & STICKY == 0 || !is_ours(owner, us))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn roots_and_our_own_files_count_and_nobody_elses() {
        assert!(is_ours(0, 1000) && is_ours(1000, 1000) && !is_ours(1001, 1000) && !is_ours(1000, 0));
        let us = rustix::process::geteuid().as_raw();
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("file");
        std::fs::write(&file, "").unwrap();
        check(&file, us).unwrap();
        check(&file, ROOT).unwrap();
        assert!(matches!(check(&file, us + 1), Err(OwnerError::Owner { .. })));
    }

    #[test]
    fn a_folder_where_everybody_may_replace_files_is_refused_unless_it_is_sticky_and_ours() {
        for (mode, owner, open) in [
            (0o755, 1000, false),
            (0o755, 1001, false),
            (0o777, 1000, true),
            (0o757, 0, true),
            (0o1777, 0, false),
            (0o1777, 1000, false),
            (0o1777, 1001, true),
        ] {
            assert_eq!(lets_others_replace(mode, owner, 1000), open, "{mode:o} {owner}");
        }
        let us = rustix::process::geteuid().as_raw();
        let base = tempfile::tempdir().unwrap();
        let (open, shut) = (base.path().join("open"), base.path().join("shut"));
        for (folder, mode) in [(&open, 0o777), (&shut, 0o755)] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("file"), "").unwrap();
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        assert!(matches!(check(&open.join("file"), us), Err(OwnerError::Folder(_))));
        check(&shut.join("file"), us).unwrap();
        for (from, to) in [(&open, &shut), (&shut, &open)] {
            std::os::unix::fs::symlink(to.join("file"), from.join("link")).unwrap();
            assert!(matches!(check(&from.join("link"), us), Err(OwnerError::Folder(_))), "both ends count");
        }
    }
}
