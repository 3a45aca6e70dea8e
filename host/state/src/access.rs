//! Who may read and write a file: owner, group, mode and access control list. A file that takes another's place gets the same,
//! so that whoever reads it, such as a server of another user, can go on reading it.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr, getxattr};
use rustix::io::Errno;
use rustix::process::geteuid;

/// The extended attribute in which Linux keeps the access control list of a file.
const ACL: &str = "system.posix_acl_access";
/// The most that Linux keeps in an extended attribute, in bytes.
const ACL_BYTES_MAX: usize = 65_536;

/// Who may read and write a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Access {
    uid: u32,
    gid: u32,
    mode: u32,
    acl: Option<Vec<u8>>,
}

/// A new file cannot have what the one in whose place it comes has.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It cannot have the same owner.
    #[error(
        "it belongs to user {owner}, and user {us} cannot give its replacement to them ({error}); run the command as that user or as root, \
         or run `chown {us}` on it"
    )]
    Owner {
        /// Whose it is.
        owner: u32,
        /// Who wants to replace it.
        us: u32,
        /// What the system says.
        error: io::Error,
    },
    /// It cannot have the same group.
    #[error(
        "it belongs to group {group}, and user {us} cannot give its replacement to that group ({error}); run the command as root or as a \
         member of that group, or run `chgrp {ours}` on it"
    )]
    Group {
        /// Whose it is.
        group: u32,
        /// Who wants to replace it.
        us: u32,
        /// The group of new files there.
        ours: u32,
        /// What the system says.
        error: io::Error,
    },
    /// It cannot have the same access control list.
    #[error(
        "its access control list cannot be given to its replacement ({0}); run the command as root, or run `setfacl -b` on it"
    )]
    Acl(io::Error),
    /// It cannot be looked at, or its mode cannot be set.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<AccessError> for io::Error {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Io(error) => error,
            other => Self::other(other),
        }
    }
}

impl Access {
    /// That of the file at a path; nothing if there is none.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        let metadata = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let acl = read_acl(|buffer| getxattr(path, ACL, buffer))?;
        let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode() & 0o777);
        Ok(Some(Self { uid, gid, mode, acl }))
    }

    /// Gives it to a new file of ours, which nobody else can read so far. The mode comes last.
    pub(super) fn give(&self, file: &File) -> Result<(), AccessError> {
        let fresh = file.metadata()?;
        let us = geteuid().as_raw();
        if fresh.uid() != self.uid {
            let failed = |error| AccessError::Owner { owner: self.uid, us, error };
            fchown(file, Some(self.uid), None).map_err(failed)?;
        }
        if fresh.gid() != self.gid {
            let failed = |error| AccessError::Group { group: self.gid, us, ours: fresh.gid(), error };
            fchown(file, None, Some(self.gid)).map_err(failed)?;
        }
        // A folder may have one for the files that are made in it.
        if read_acl(|buffer| fgetxattr(file, ACL, buffer))? != self.acl {
            let given = match &self.acl {
                Some(acl) => fsetxattr(file, ACL, acl, XattrFlags::empty()),
                None => fremovexattr(file, ACL),
            };
            given.map_err(|error| AccessError::Acl(error.into()))?;
        }
        Ok(file.set_permissions(Permissions::from_mode(self.mode))?)
    }
}

/// An access control list; nothing where there is none, or the file system has no such thing.
fn read_acl(read: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Option<Vec<u8>>> {
    let mut acl = vec![0; ACL_BYTES_MAX];
    match read(&mut acl) {
        Ok(length) => {
            acl.truncate(length);
            Ok(Some(acl))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
