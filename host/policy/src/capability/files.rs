//! `files`: folders of the host that a plugin sees. The runtime opens them and confines paths to them.

use super::Effects;
use super::room::{Quota, QuotaText};
use crate::InvalidValueError;
use crate::limits::call::{FILES_BYTES_MAX, FILES_ENTRIES_MAX, FILES_OPEN_MAX};
use crate::redact::quoted;

/// Access to a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// No access: every request below it is refused. Only for `learn`, where a guest without any folder could not make
    /// a request; never configured.
    Nothing,
    /// Read and list.
    Read,
    /// Also create, change, rename and delete.
    ReadWrite,
}

/// One granted folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The folder on the host, as the operator wrote it, made absolute.
    pub host: String,
    /// Path at which the guest sees it: absolute, no dot segments, no trailing slash (but `/` itself).
    pub guest: String,
    /// Access of the guest.
    pub access: Access,
    /// Quota of the folder, if it may be changed.
    pub room: Quota,
    /// Number of files and folders below it that a call may have open at once.
    pub open_max: u64,
}

/// A mount as the operator wrote it.
#[derive(Debug, Clone)]
pub struct MountText {
    /// The folder on the host, made absolute already.
    pub host: String,
    /// Path at which the guest sees it.
    pub guest: String,
    /// `read` or `read-write`.
    pub access: String,
    /// Quota of the folder.
    pub room: QuotaText,
    /// Number of files and folders that may be open at once.
    pub open_max: Option<i64>,
}

/// The granted folders. Empty: the interface is linked and shows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant(Vec<Mount>);

/// Kind of use a guest makes of a granted folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Look at names, metadata or content.
    Read,
    /// Change names, metadata or content.
    Write,
}

/// Proof that the guest may do this below this mount, now.
#[must_use]
#[derive(Debug, Clone)]
pub struct Pass {
    mount: usize,
    /// Permitted use. `None` covers metadata of open descriptors only.
    wanted: Option<Use>,
    room: Quota,
}

/// Reason why a use of files is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilesDeniedError {
    /// A write below a read-only mount.
    #[error("the folder is granted for reading only")]
    ReadOnly,
    /// No mount grants it.
    #[error("no granted folder holds it")]
    NotGranted,
    /// The path climbs out of the folder in which it begins.
    #[error("the path leads out of the granted folder in which it begins")]
    Outside,
}

impl Grant {
    /// Checks what an operator wrote. Names everything that is wrong, each with its place.
    pub fn new(mounts: Vec<MountText>) -> Result<Self, Vec<InvalidValueError>> {
        let mut checked: Vec<Mount> = Vec::new();
        let mut problems = Vec::new();
        for (index, MountText { host, guest, access, room, open_max }) in mounts.into_iter().enumerate() {
            let mut note = |key: &str, why: String| {
                problems.push(InvalidValueError::at(key, why).under(&format!("[{index}]")))
            };
            if let Some(why) = refused_root(&host) {
                note("host", why);
            }
            let Ok(guest) = guest_path(&guest).map_err(|why| note("guest", why)) else { continue };
            if checked.iter().any(|mount| mount.guest == guest) {
                note("guest", format!("`{guest}` is granted twice; give each folder a place of its own"));
            }
            let access = match access.as_str() {
                "read" => Access::Read,
                "read-write" => Access::ReadWrite,
                other => {
                    note("access", format!(r#"`{other}` is not an access; write "read" or "read-write""#));
                    continue;
                }
            };
            if access == Access::Read && (room.bytes_max.is_some() || room.entries_max.is_some()) {
                note(
                    "access",
                    r#"what cannot be changed cannot grow: bytes_max and entries_max are for "read-write""#
                        .to_owned(),
                );
            }
            let room = Quota::new(room, &FILES_BYTES_MAX, &FILES_ENTRIES_MAX);
            let room = room.map_err(|found| found.into_iter().for_each(|p| note(&p.at, p.why)));
            let open_max = FILES_OPEN_MAX.check(open_max.unwrap_or(FILES_OPEN_MAX.default.cast_signed()));
            let open_max = open_max.map_err(|why| note(FILES_OPEN_MAX.name, why));
            if let (Ok(room), Ok(open_max)) = (room, open_max) {
                checked.push(Mount { host, guest, access, room, open_max });
            }
        }
        if problems.is_empty() { Ok(Self(checked)) } else { Err(problems) }
    }

    /// The folders, in the operator's order.
    pub fn mounts(&self) -> &[Mount] {
        &self.0
    }

    /// Effects of the grant.
    pub fn effects(&self) -> Effects {
        Effects {
            reads: self.0.iter().any(|mount| mount.access != Access::Nothing),
            writes: self.0.iter().any(|mount| mount.access == Access::ReadWrite),
            reaches_out: false,
        }
    }

    /// Checks that a guest may make this use of the mount with this index. Refuses a write to a read-only mount, and
    /// everything where nothing is granted.
    pub fn allow(&self, mount: usize, wanted: Use) -> Result<Pass, FilesDeniedError> {
        let found = self.0.get(mount).ok_or(FilesDeniedError::NotGranted)?;
        match (found.access, wanted) {
            (Access::Read | Access::ReadWrite, Use::Read) | (Access::ReadWrite, Use::Write) => {
                Ok(Pass { mount, wanted: Some(wanted), room: found.room })
            }
            (Access::Read, Use::Write) => Err(FilesDeniedError::ReadOnly),
            (Access::Nothing, Use::Read | Use::Write) => Err(FilesDeniedError::NotGranted),
        }
    }

    /// Checks that a guest may read kind, size and times of an open descriptor below the mount with this index. Opening
    /// it was checked before.
    pub fn allow_look(&self, mount: usize) -> Result<Pass, FilesDeniedError> {
        let found = self.0.get(mount).ok_or(FilesDeniedError::NotGranted)?;
        Ok(Pass { mount, wanted: None, room: found.room })
    }

    /// Index of the innermost mount that contains an absolute guest path, as guest libraries choose it. Symbolic links
    /// are not resolved here; the kernel confines them when they are followed. Refuses a path whose `..` climb out of
    /// the mount.
    pub fn locate(&self, path: &str) -> Result<usize, FilesDeniedError> {
        let below = |mount: &Mount| match path.strip_prefix(mount.guest.as_str()) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') || mount.guest == "/" => {
                Some(rest.to_owned())
            }
            Some(_) | None => None,
        };
        let holding =
            self.0.iter().enumerate().filter_map(|(index, mount)| Some((index, mount, below(mount)?)));
        let innermost = holding.max_by_key(|(_, mount, _)| mount.guest.len());
        let (index, _, rest) = innermost.ok_or(FilesDeniedError::NotGranted)?;
        let mut depth: usize = 0;
        for segment in rest.split('/') {
            match segment {
                "" | "." => {}
                ".." => depth = depth.checked_sub(1).ok_or(FilesDeniedError::Outside)?,
                _ => depth += 1,
            }
        }
        Ok(index)
    }

    /// The same grant with an empty folder at `/`, unless something is mounted there. Guests can request anything below
    /// it and are refused, which `learn` observes.
    #[must_use]
    pub fn listening(mut self, empty: &str) -> Self {
        if self.0.iter().all(|mount| mount.guest != "/") {
            self.0.push(Mount::new(empty, "/", Access::Nothing));
        }
        self
    }
}

/// The line that grants these folders, as an operator would write it.
pub fn written(mounts: &[Mount]) -> String {
    super::list(mounts.iter().map(Mount::written))
}

impl Mount {
    /// A mount with default quota and open limit.
    pub(crate) fn new(host: &str, guest: &str, access: Access) -> Self {
        let (host, guest) = (host.to_owned(), guest.to_owned());
        let room = Quota::by_default(&FILES_BYTES_MAX, &FILES_ENTRIES_MAX);
        Self { host, guest, access, room, open_max: FILES_OPEN_MAX.default }
    }

    /// The bounds that differ from their defaults: keys and values.
    pub fn bounds(&self) -> Vec<(&'static str, u64)> {
        let mut bounds = self.room.beside(Quota::by_default(&FILES_BYTES_MAX, &FILES_ENTRIES_MAX));
        if self.open_max != FILES_OPEN_MAX.default {
            bounds.push((FILES_OPEN_MAX.name, self.open_max));
        }
        bounds
    }

    /// The folder as an operator would write it.
    pub fn written(&self) -> String {
        let (host, guest, access) = (quoted(&self.host), quoted(&self.guest), self.access.word());
        let bounds: String = self.bounds().iter().map(|(key, value)| format!(", {key} = {value}")).collect();
        format!(r#"{{ host = {host}, guest = {guest}, access = "{access}"{bounds} }}"#)
    }
}

impl Access {
    /// Its word in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Read => "read",
            Self::ReadWrite => "read-write",
        }
    }
}

impl Use {
    /// Its word in records.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl Pass {
    /// Index of the mount in the grant.
    pub fn mount(&self) -> usize {
        self.mount
    }

    /// Whether the pass covers this use of this mount. Any pass covers metadata (`None`).
    pub fn covers(&self, mount: usize, wanted: Option<Use>) -> bool {
        self.mount == mount && (wanted.is_none() || self.wanted == wanted)
    }

    /// Quota of the mount.
    pub fn room(&self) -> Quota {
        self.room
    }
}

/// Reason why a host folder can never be granted, whatever is in it; `None` if it can.
pub fn refused_root(host: &str) -> Option<String> {
    if !host.starts_with('/') {
        return Some(format!("`{host}` is not an absolute path"));
    }
    let top = host.split('/').find(|segment| !segment.is_empty() && *segment != ".");
    match top {
        None => Some("`/` is the whole machine; grant the folder that is meant".to_owned()),
        Some("proc" | "sys" | "dev") => {
            Some(format!("`{host}` is the kernel's, not a folder of files; no grant reaches it"))
        }
        Some(_) => None,
    }
}

fn guest_path(text: &str) -> Result<String, String> {
    let refused = |why: &str| Err(format!("`{text}` {why}; write an absolute path such as /docs"));
    let Some(rest) = text.strip_prefix('/') else {
        return refused("is not absolute");
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Ok("/".to_owned());
    }
    for segment in rest.split('/') {
        if matches!(segment, "" | "." | "..") {
            return refused("has an empty or dot segment");
        }
        if !segment.chars().all(crate::redact::is_plain) {
            return refused("has a control or invisible character");
        }
    }
    Ok(format!("/{rest}"))
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
