//! Access to a file: owner, group, mode and access control list. A replacement file gets the same, so that its readers,
//! such as a server of another user, can still read it.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr, getxattr};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Extended attribute of a file's access control list on Linux.
const ACL: &str = "system.posix_acl_access";
/// Maximum size of an extended attribute on Linux, in bytes.
const ACL_BYTES_MAX: usize = 65_536;

/// Access to a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Access {
    uid: u32,
    gid: u32,
    mode: u32,
    acl: Option<Vec<u8>>,
}

/// A replacement file cannot get the access of the original.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Not the same owner.
    #[error(
        "it belongs to user {owner}, and user {us} cannot give its replacement to them ({error}); run the command as that user or as root, \
         or run `chown {us}` on it"
    )]
    Owner {
        /// User id of the owner.
        owner: u32,
        /// User id of this process.
        us: u32,
        /// Error of the system call.
        error: io::Error,
    },
    /// Not the same group.
    #[error(
        "it belongs to group {group}, and user {us} cannot give its replacement to that group ({error}); run the command as root or as a \
         member of that group, or run `chgrp {ours}` on it"
    )]
    Group {
        /// Group id of the file.
        group: u32,
        /// User id of this process.
        us: u32,
        /// Group id of new files in its folder.
        ours: u32,
        /// Error of the system call.
        error: io::Error,
    },
    /// Not the same access control list.
    #[error(
        "its access control list cannot be given to its replacement ({0}); run the command as root, or run `setfacl -b` on it"
    )]
    Acl(io::Error),
    /// Its metadata cannot be read, or its mode cannot be set.
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
    /// Access to the file at a path; `None` if it does not exist.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        let metadata = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let acl = read_acl(|buffer| getxattr(path, ACL, buffer))?;
        let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode() & 0o777);
        Ok(Some(Self { uid, gid, mode, acl }))
    }

    /// Applies this access to a new file that only we can read so far. The mode is set last.
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
        // The folder may have a default access control list.
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

/// Reads an access control list; `None` if there is none or the file system does not support them.
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
