//! Rollback protection for trust policy and clock. Persists the highest version, its digest and revocations, and the
//! latest time, authenticated by a key of this installation. Several processes may use it at once.

use std::collections::BTreeSet;
use std::io::{self, Read as _};

use cap_std::fs::{Dir, MetadataExt as _};
use serde::{Deserialize, Serialize};
use toolgate_policy::Digest;
use toolgate_policy::limits::load::SEEN_BYTES_MAX;
use toolgate_policy::load::signer::{Signer, UnixTime};
use toolgate_signature::mac::MacKey;
use toolgate_signature::trust::TrustSpec;

use super::StateDir;
use super::file_lock::{DirLock, replace_in};

/// Rollback protection.
pub struct RollbackGuard {
    folder: Dir,
    key: MacKey,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastPolicy {
    /// Always [`FORMAT`].
    format: u32,
    /// Highest version; 0 before any.
    version: u64,
    /// SHA-256 of trust.toml at that version.
    #[serde(deserialize_with = "Option::deserialize")]
    sha256: Option<Hex>,
    /// SHA-256 of its signers' keys, which are in files of their own. Null before any, never missing.
    #[serde(deserialize_with = "Option::deserialize")]
    keys: Option<Hex>,
    /// Digests that the version revoked.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    revoked: BTreeSet<Hex>,
    /// Latest time, in seconds since 1970.
    time: i64,
}

/// A digest that is stored in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
struct Hex(Digest);

impl From<Hex> for String {
    fn from(Hex(digest): Hex) -> Self {
        digest.hex()
    }
}

impl TryFrom<String> for Hex {
    type Error = toolgate_policy::digest::DigestError;

    fn try_from(digits: String) -> Result<Self, Self::Error> {
        Digest::from_hex(&digits).map(Self)
    }
}

/// Revocations of the highest version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    /// The version; 0 before any.
    pub version: u64,
    /// Revoked digests.
    pub digests: BTreeSet<Digest>,
}

/// Identifies a state of the file: device, inode, length, and mtime and ctime in nanoseconds.
pub type Stamp = (u64, u64, u64, [i64; 4]);

/// The former format, whose digest of the policy depended on the release.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Former {
    version: u64,
    #[serde(rename = "said")]
    _said: Option<String>,
    #[serde(rename = "release")]
    _release: String,
    time: i64,
}

/// An accepted policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmittedPolicy {
    /// Time for which to evaluate it.
    pub now: UnixTime,
    /// The record had its former format, so the version's earlier content could not be compared.
    pub upgraded: bool,
}

/// A trust policy that is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// Its version is too low.
    #[error(
        "trust.toml has version {is}, and version {was} was in force already; a version never goes back. Put the newer file back; if \
         this content is meant, give it a version higher than {was}"
    )]
    Older {
        /// Highest version so far.
        was: u64,
        /// Its version.
        is: u64,
    },
    /// Its content changed under the same version.
    #[error(
        "trust.toml, or a key that it names, is not what it was when version {0} was in force; raise `version` with every change"
    )]
    Changed(u64),
    /// The record cannot be read or written.
    #[error("{FILE} in the state directory cannot be kept")]
    Io(#[from] io::Error),
}

const FILE: &str = "trust.seen";
const LOCK: &str = "trust.seen.lock";
const KEY: &str = "trust.key";
/// Name of the key until the first record is written.
const FRESH: &str = "trust.key.new";
const FORMAT: u32 = 2;

/// Seconds that the clock may go back without an alarm.
const CLOCK_SLACK_S: i64 = 300;

impl RollbackGuard {
    /// Loads the record. Starts empty if neither key nor record exists.
    ///
    /// The key gets its final name last: a key without a record, or the reverse, means that one was removed.
    ///
    /// # Errors
    /// I/O errors; a damaged record; or only one of key and record.
    pub fn open(state: &StateDir) -> io::Result<Self> {
        let (folder, keys) = (state.root().try_clone()?, state.dir("keys")?);
        // Two processes may start at once: the second finds both key and record, or neither.
        let _one = DirLock::take(&folder, LOCK)?;
        let (name, has_record) = match (is_there(&keys, KEY)?, is_there(&folder, FILE)?) {
            (true, true) => (KEY, true),
            (true, false) => return Err(gone(FILE, &format!("keys/{KEY}"))),
            // An interrupted first start. Nothing is lost, since the record is authenticated by this very key.
            (false, true) if is_there(&keys, FRESH)? => (FRESH, true),
            (false, true) => return Err(gone(&format!("keys/{KEY}"), FILE)),
            (false, false) => (FRESH, false),
        };
        let seen = Self { key: load_key(&keys, name)?, folder };
        if has_record {
            seen.read()?;
        } else {
            seen.write(&LastPolicy::at(0, 0))?;
        }
        if name == FRESH {
            keys.rename(FRESH, &keys, KEY)?;
            keys.open(".")?.sync_all()?;
        }
        Ok(seen)
    }

    /// Checks whether a policy may be accepted, and returns the time for which to evaluate it: now, or the latest time
    /// recorded if the clock is behind it. Records nothing.
    pub fn judge(&self, trust: &TrustSpec, now: UnixTime) -> Result<UnixTime, RollbackError> {
        Ok(UnixTime(next(&self.read()?.0, trust, now)?.time))
    }

    /// Like [`RollbackGuard::judge`], and records the result.
    ///
    /// # Errors
    /// [`RollbackError`]. Nothing is recorded then.
    pub fn admit(&self, trust: &TrustSpec, now: UnixTime) -> Result<AdmittedPolicy, RollbackError> {
        // Another process may have recorded a newer state, which must not be overwritten.
        let _one = DirLock::take(&self.folder, LOCK)?;
        let (last, upgraded) = self.read()?;
        let next = next(&last, trust, now)?;
        if next != last || upgraded {
            self.write(&next)?;
        }
        Ok(AdmittedPolicy { now: UnixTime(next.time), upgraded })
    }

    /// Time for which to re-evaluate a policy that this process has accepted, whatever other processes accepted since.
    /// Records the time.
    pub fn time(&self, now: UnixTime) -> io::Result<UnixTime> {
        let _one = DirLock::take(&self.folder, LOCK)?;
        let (last, _) = self.read()?;
        let time = latest(&last, now);
        if time != last.time {
            self.write(&LastPolicy { time, ..last })?;
        }
        Ok(UnixTime(time))
    }

    /// Stamp that changes with the record; `None` if the file is missing.
    pub fn stamp(&self) -> Option<Stamp> {
        let at = self.folder.symlink_metadata(FILE).ok()?;
        Some((at.dev(), at.ino(), at.len(), [at.mtime(), at.mtime_nsec(), at.ctime(), at.ctime_nsec()]))
    }

    /// Revocations of the highest version.
    ///
    /// # Errors
    /// I/O errors, or a damaged record.
    pub fn revoked(&self) -> io::Result<Revoked> {
        let (LastPolicy { version, revoked, .. }, _) = self.read()?;
        Ok(Revoked { version, digests: revoked.into_iter().map(|Hex(digest)| digest).collect() })
    }

    /// The record, and whether it has the former format.
    fn read(&self) -> io::Result<(LastPolicy, bool)> {
        read(&self.folder, &self.key).map_err(|error| {
            io::Error::other(format!(
                "{FILE} in the state directory: {error}; it says which trust policies were in force, so that none comes back. \
                 To begin anew, stop the servers that use this state directory, then remove it and keys/{KEY}"
            ))
        })
    }

    fn write(&self, last: &LastPolicy) -> io::Result<()> {
        let line = serde_json::to_string(last)?;
        let tag = toolgate_policy::digest::hex(&self.key.tag(&[line.as_bytes()]));
        replace_in(&self.folder, FILE, &[line.as_bytes(), b"\n", tag.as_bytes(), b"\n"])
    }
}

/// Record once this policy is in force.
fn next(last: &LastPolicy, trust: &TrustSpec, now: UnixTime) -> Result<LastPolicy, RollbackError> {
    let (was, is) = (last.version, trust.policy.version());
    let (sha256, keys) = (Some(Hex(trust.sha256)), Some(Hex(keys(&trust.policy.parts().signers))));
    if is < was {
        return Err(RollbackError::Older { was, is });
    }
    let is_other = |was: Option<Hex>, is: Option<Hex>| was.is_some() && was != is;
    if is == was && (is_other(last.sha256, sha256) || is_other(last.keys, keys)) {
        return Err(RollbackError::Changed(is));
    }
    let revoked = trust.policy.parts().revoked.keys().copied().map(Hex).collect();
    Ok(LastPolicy { format: FORMAT, version: is, sha256, keys, revoked, time: latest(last, now) })
}

impl LastPolicy {
    /// A record of a version and a time only.
    fn at(version: u64, time: i64) -> Self {
        Self { format: FORMAT, version, sha256: None, keys: None, revoked: BTreeSet::new(), time }
    }
}

/// Latest time recorded, including `now`. Logs an alarm if the clock was set back.
fn latest(last: &LastPolicy, now: UnixTime) -> i64 {
    if now.0 < last.time.saturating_sub(CLOCK_SLACK_S) {
        tracing::error!(
            behind_s = last.time.saturating_sub(now.0),
            "ALARM: the clock was set back; dates are judged at the latest time there was. If it was wrong before, stop the \
             servers that use this state directory, then remove trust.seen and keys/trust.key there"
        );
    }
    now.0.max(last.time)
}

/// Digest of the signers: each id with its key, in the order of the file.
fn keys(signers: &[Signer]) -> Digest {
    let line = |signer: &Signer| format!("{}:{}={}\n", signer.id.len(), signer.id, signer.key.hex());
    Digest::of(signers.iter().map(line).collect::<String>().as_bytes())
}

/// Whether a directory entry of this name exists, including dangling links.
fn is_there(folder: &Dir, name: &str) -> io::Result<bool> {
    match folder.symlink_metadata(name) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn load_key(keys: &Dir, name: &str) -> io::Result<MacKey> {
    MacKey::load_or_make(keys, name).map_err(|error| {
        io::Error::other(format!(
            "keys/{name} in the state directory: {error}; to begin anew, stop the servers that use this state directory, then remove {FILE} as well"
        ))
    })
}

/// Error for a key without a record, or the reverse.
fn gone(what: &str, other: &str) -> io::Error {
    io::Error::other(format!(
        "{what} in the state directory is gone, and {other} is there: together they say which trust policies were in force, so \
         that none comes back. Put {what} back from a backup; to begin anew, stop the servers that use this state directory, then remove {other} as well"
    ))
}

fn read(folder: &Dir, key: &MacKey) -> io::Result<(LastPolicy, bool)> {
    let mut text = String::new();
    folder.open(FILE)?.take(SEEN_BYTES_MAX).read_to_string(&mut text)?;
    let damaged = || io::Error::other("it is not what was written");
    let (line, tag) = text.trim_end_matches('\n').split_once('\n').ok_or_else(damaged)?;
    let tag: Digest = tag.parse().or_else(|_| Digest::from_hex(tag)).map_err(|_| damaged())?;
    if !key.accepts(&[line.as_bytes()], tag.as_bytes()) {
        return Err(damaged());
    }
    if let Ok(Former { version, time, .. }) = serde_json::from_str(line) {
        return Ok((LastPolicy::at(version, time), true));
    }
    let last: LastPolicy = serde_json::from_str(line)?;
    match last.format {
        FORMAT => Ok((last, false)),
        other => Err(io::Error::other(format!("it has format {other}, which another release wrote"))),
    }
}

#[cfg(test)]
#[path = "rollback_tests.rs"]
mod tests;
