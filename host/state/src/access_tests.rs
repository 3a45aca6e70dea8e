//! Access that a replacement file takes over from the original.

use std::path::PathBuf;

use rustix::fs::setxattr;

use super::super::file_lock::{FileLockError, FileLocks};
use super::*;

/// An access control list in the form of the kernel: version 2, then tag, permissions and id of each entry.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let entry = |(tag, permissions, id): &(u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    [2_u32.to_le_bytes().to_vec(), entries.iter().flat_map(entry).collect()].concat()
}

/// Owner, user 12345, group, mask, others.
fn with_a_user() -> Vec<u8> {
    acl(&[(1, 6, u32::MAX), (2, 4, 12_345), (4, 4, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)])
}

fn file(mode: u32) -> (tempfile::TempDir, PathBuf) {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("trust.toml");
    std::fs::write(&path, "old").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    (base, path)
}

fn replace(path: &Path) {
    FileLocks::take([path]).unwrap().replace(path, b"new", 0o644).unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "new");
}

#[test]
fn a_file_that_is_replaced_keeps_owner_and_group_and_mode() {
    // Only root can change the owner of a file.
    if !geteuid().is_root() {
        return;
    }
    for (uid, gid, mode) in [(0, 12_345, 0o640), (12_345, 0, 0o600), (12_345, 12_346, 0o664), (0, 0, 0o604)] {
        let (_base, path) = file(mode);
        std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
        let before = Access::of(&path).unwrap().unwrap();
        assert_eq!((before.uid, before.gid, before.mode), (uid, gid, mode));
        replace(&path);
        assert_eq!(Access::of(&path).unwrap().unwrap(), before);
    }
}

#[test]
fn a_file_that_is_replaced_keeps_its_access_control_list_and_gets_none_of_its_folder() {
    let (base, path) = file(0o640);
    match setxattr(&path, ACL, &with_a_user(), XattrFlags::empty()) {
        // This file system does not support access control lists.
        Err(Errno::OPNOTSUPP) => {
            return;
        }
        other => other.unwrap(),
    }
    let before = Access::of(&path).unwrap().unwrap();
    assert_eq!(before.acl, Some(with_a_user()));
    replace(&path);
    assert_eq!(Access::of(&path).unwrap().unwrap(), before);
    // The folder's default access control list must not apply to the replacement.
    let plain = base.path().join("toolgate.lock");
    std::fs::write(&plain, "old").unwrap();
    std::fs::set_permissions(&plain, Permissions::from_mode(0o640)).unwrap();
    setxattr(base.path(), "system.posix_acl_default", &with_a_user(), XattrFlags::empty()).unwrap();
    let before = Access::of(&plain).unwrap().unwrap();
    assert_eq!(before.acl, None);
    replace(&plain);
    assert_eq!(Access::of(&plain).unwrap().unwrap(), before);
}

#[test]
fn the_refusal_of_a_file_that_cannot_keep_its_owner_says_what_to_do() {
    let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
    let told = |error| FileLockError::Access("/etc/toolgate/trust.toml".into(), error).to_string();
    let group = told(AccessError::Group { group: 7, us: 1_000, ours: 100, error: denied() });
    assert!(group.contains("run the command as root or as a member of that group, or run `chgrp 100` on it"));
    assert!(group.ends_with("nothing was written"), "{group}");
    let owner = told(AccessError::Owner { owner: 0, us: 1_000, error: denied() });
    assert!(owner.contains("run the command as that user or as root, or run `chown 1000` on it"), "{owner}");
}
