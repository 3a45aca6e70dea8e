//! What was seen before and may not be undone: the highest version of the trust policy, the digest of the file then, and the
//! latest time. It outlives the process, under a key of this installation, and several processes may use it at once.

use std::io::{self, Read as _};

use cap_std::fs::Dir;
use serde::{Deserialize, Serialize};
use toolgate_policy::Digest;
use toolgate_policy::load::signer::{Signer, UnixTime};

use super::State;
use super::file_lock::{DirLock, replace_in};
use crate::signature::mac::MacKey;
use crate::spec::Trust;

/// The memory.
pub struct Seen {
    folder: Dir,
    key: MacKey,
}

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    /// Always [`FORMAT`].
    format: u32,
    /// The highest version; 0 before any.
    version: u64,
    /// SHA-256 of the bytes of trust.toml when it had that version.
    #[serde(with = "hex")]
    sha256: Option<Digest>,
    /// SHA-256 of the keys of its signers, which stand in files of their own.
    #[serde(with = "hex")]
    keys: Option<Digest>,
    /// The latest time, in seconds since 1970.
    time: i64,
}

/// The form before that: it remembered a digest of the policy as one release of Toolgate printed it.
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

/// A policy that may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// The time at which it is to be judged.
    pub now: UnixTime,
    /// Whether the memory had its former form until now: what the version said before could not be compared.
    pub upgraded: bool,
}

/// Why a trust policy is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// It is an old one.
    #[error("trust.toml has version {is}, and version {was} was in force already; a version never goes back")]
    Older {
        /// The highest so far.
        was: u64,
        /// Its version.
        is: u64,
    },
    /// It says something else under the same number.
    #[error(
        "trust.toml, or a key that it names, is not what it was when version {0} was in force; raise `version` with every change"
    )]
    Changed(u64),
    /// The memory cannot be kept.
    #[error("{FILE} in the state directory cannot be kept")]
    Io(#[from] io::Error),
}

const FILE: &str = "trust.seen";
const LOCK: &str = "trust.seen.lock";
const KEY: &str = "trust.key";
const FORMAT: u32 = 2;
const BYTES_MAX: u64 = 1024;

/// How far a clock may go back before somebody is told.
const CLOCK_SLACK_S: i64 = 300;

impl Seen {
    /// Reads what was seen.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was written.
    pub fn open(state: &State) -> io::Result<Self> {
        let (folder, keys) = (state.root().try_clone()?, state.dir("keys")?);
        // Two processes may begin at once: the second finds key and memory, or neither.
        let one = DirLock::take(&folder, LOCK)?;
        let began = keys.exists(KEY);
        let key = MacKey::load_or_make(&keys, KEY)?;
        let seen = Self { folder, key };
        if began {
            seen.read()?;
        } else {
            seen.write(&Last { format: FORMAT, version: 0, sha256: None, keys: None, time: 0 })?;
        }
        drop(one);
        Ok(seen)
    }

    /// Whether a policy may be taken, and which time it is to be judged at: now, or the latest time there was, if the clock
    /// says that it is earlier. Nothing is remembered.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn judge(&self, trust: &Trust, now: UnixTime) -> Result<UnixTime, NotAdmitted> {
        Ok(UnixTime(next(&self.read()?.0, trust, now)?.time))
    }

    /// The same, and remembers it.
    ///
    /// # Errors
    /// [`NotAdmitted`]. Nothing is remembered then.
    pub fn admit(&self, trust: &Trust, now: UnixTime) -> Result<Admitted, NotAdmitted> {
        // Another process may have seen more by now, and must not be undone.
        let _one = DirLock::take(&self.folder, LOCK)?;
        let (last, upgraded) = self.read()?;
        let next = next(&last, trust, now)?;
        if next != last || upgraded {
            self.write(&next)?;
        }
        Ok(Admitted { now: UnixTime(next.time), upgraded })
    }

    /// What is remembered, and whether that has its former form.
    fn read(&self) -> io::Result<(Last, bool)> {
        read(&self.folder, &self.key).map_err(|error| {
            io::Error::other(format!(
                "{FILE} in the state directory: {error}; it says which trust policies were in force, so that none comes back. \
                 To begin anew, remove it and keys/{KEY}"
            ))
        })
    }

    fn write(&self, last: &Last) -> io::Result<()> {
        let line = serde_json::to_string(last)?;
        let tag = toolgate_policy::digest::hex(&self.key.tag(&[line.as_bytes()]));
        replace_in(&self.folder, FILE, &[line.as_bytes(), b"\n", tag.as_bytes(), b"\n"])
    }
}

/// What is remembered once this policy is in force.
fn next(last: &Last, trust: &Trust, now: UnixTime) -> Result<Last, NotAdmitted> {
    let (was, is) = (last.version, trust.policy.version());
    let (sha256, keys) = (Some(trust.sha256), Some(keys(trust.policy.signers())));
    if is < was {
        return Err(NotAdmitted::Older { was, is });
    }
    let is_other = |was: Option<Digest>, is: Option<Digest>| was.is_some() && was != is;
    if is == was && (is_other(last.sha256, sha256) || is_other(last.keys, keys)) {
        return Err(NotAdmitted::Changed(is));
    }
    if now.0 < last.time.saturating_sub(CLOCK_SLACK_S) {
        tracing::error!(
            behind_s = last.time.saturating_sub(now.0),
            "ALARM: the clock was set back; dates are judged at the latest time there was. If it was wrong before, remove \
             trust.seen and keys/trust.key in the state directory"
        );
    }
    Ok(Last { format: FORMAT, version: is, sha256, keys, time: now.0.max(last.time) })
}

/// A digest of who the signers are: each id with the key it stands for, in the order of the file.
fn keys(signers: &[Signer]) -> Digest {
    let line = |signer: &Signer| format!("{}:{}={}\n", signer.id.len(), signer.id, signer.key.hex());
    Digest::of(signers.iter().map(line).collect::<String>().as_bytes())
}

fn read(folder: &Dir, key: &MacKey) -> io::Result<(Last, bool)> {
    let mut text = String::new();
    folder.open(FILE)?.take(BYTES_MAX).read_to_string(&mut text)?;
    let damaged = || io::Error::other("it is not what was written");
    let (line, tag) = text.trim_end_matches('\n').split_once('\n').ok_or_else(damaged)?;
    let tag: Digest = tag.parse().or_else(|_| Digest::from_hex(tag)).map_err(|_| damaged())?;
    if !key.accepts(&[line.as_bytes()], tag.as_bytes()) {
        return Err(damaged());
    }
    if let Ok(Former { version, time, .. }) = serde_json::from_str(line) {
        return Ok((Last { format: FORMAT, version, sha256: None, keys: None, time }, true));
    }
    let last: Last = serde_json::from_str(line)?;
    match last.format {
        FORMAT => Ok((last, false)),
        other => Err(io::Error::other(format!("it has format {other}, which another release wrote"))),
    }
}

/// A digest as its digits, or nothing.
mod hex {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use toolgate_policy::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Option<Digest>, to: S) -> Result<S::Ok, S::Error> {
        digest.map(|digest| digest.hex()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Digest>, D::Error> {
        let digits = Option::<String>::deserialize(from)?;
        let read = |digits: String| Digest::from_hex(&digits).map_err(serde::de::Error::custom);
        digits.map(read).transpose()
    }
}

#[cfg(test)]
mod tests {
    use toolgate_policy::load::TrustPolicy;
    use toolgate_policy::load::signer::KeyId;
    use toolgate_policy::load::trust::Parts;

    use super::*;

    const NOW: UnixTime = UnixTime(1_000);

    fn trust(version: u64, file: &[u8]) -> Trust {
        let policy = TrustPolicy::new(Parts { version, ..Parts::default() }).unwrap();
        Trust { policy, anchors: Vec::new(), sha256: Digest::of(file) }
    }

    fn state() -> (tempfile::TempDir, State) {
        let base = tempfile::tempdir().unwrap();
        let state = State::open(&base.path().join("state")).unwrap();
        (base, state)
    }

    #[test]
    fn a_version_never_goes_back_and_says_one_thing_also_over_restarts() {
        let (_base, state) = state();
        Seen::open(&state).unwrap().admit(&trust(3, b"a"), NOW).unwrap();
        let seen = Seen::open(&state).unwrap();
        assert!(matches!(seen.admit(&trust(2, b"a"), NOW), Err(NotAdmitted::Older { was: 3, is: 2 })));
        assert!(matches!(seen.admit(&trust(3, b"b"), NOW), Err(NotAdmitted::Changed(3))));
        let admitted = Admitted { now: NOW, upgraded: false };
        assert_eq!(seen.admit(&trust(3, b"a"), NOW).unwrap(), admitted);
        assert_eq!(seen.admit(&trust(4, b"b"), NOW).unwrap(), admitted);
        assert!(seen.admit(&trust(3, b"a"), NOW).is_err());
        seen.judge(&trust(9, b"a"), NOW).unwrap();
        assert!(seen.admit(&trust(5, b"a"), NOW).is_ok(), "what was only looked at is not remembered");
    }

    #[test]
    fn a_key_file_with_another_key_is_a_change_of_the_policy() {
        let signer = |key: &[u8]| Signer {
            id: "vendor".into(),
            key: KeyId::of_spki(key),
            identity: None,
            valid_from: None,
            valid_until: None,
        };
        let with = |version, key: &[u8]| {
            let policy = Parts { version, signers: vec![signer(key)], ..Parts::default() };
            Trust { policy: TrustPolicy::new(policy).unwrap(), ..trust(version, b"file") }
        };
        let (_base, state) = state();
        let seen = Seen::open(&state).unwrap();
        seen.admit(&with(1, b"key"), NOW).unwrap();
        assert!(matches!(seen.admit(&with(1, b"other"), NOW), Err(NotAdmitted::Changed(1))));
        assert!(seen.admit(&with(2, b"other"), NOW).is_ok());
    }

    #[test]
    fn a_clock_that_is_set_back_brings_no_time_back() {
        let (_base, state) = state();
        Seen::open(&state).unwrap().admit(&trust(1, b"a"), UnixTime(5_000)).unwrap();
        let judged = Seen::open(&state).unwrap().admit(&trust(1, b"a"), UnixTime(100)).unwrap();
        assert_eq!(judged.now, UnixTime(5_000));
    }

    #[test]
    fn a_memory_that_is_gone_or_changed_is_refused_and_says_what_to_do() {
        let (base, state) = state();
        Seen::open(&state).unwrap().admit(&trust(7, b"a"), NOW).unwrap();
        let file = base.path().join("state").join(FILE);
        let written = std::fs::read(&file).unwrap();
        for at in 0..written.len() {
            let mut other = written.clone();
            *other.get_mut(at).unwrap() ^= 1;
            std::fs::write(&file, &other).unwrap();
            let read = Seen::open(&state).and_then(|seen| seen.read());
            // The line's end may be another: nothing else may.
            assert!(read.is_err() || read.is_ok_and(|(last, _)| last.version == 7), "byte {at}");
        }
        std::fs::remove_file(&file).unwrap();
        let refused = Seen::open(&state).err().unwrap().to_string();
        assert!(refused.contains("remove it and keys/trust.key"), "{refused}");
        std::fs::remove_file(base.path().join("state/keys").join(KEY)).unwrap();
        assert!(Seen::open(&state).is_ok(), "to begin anew");
    }

    #[test]
    fn the_former_form_is_taken_once_with_its_version_and_time() {
        let (base, state) = state();
        let seen = Seen::open(&state).unwrap();
        let former = r#"{"version":3,"said":"abc","release":"0.1.0","time":5000}"#;
        let put = |line: &str, key: &MacKey| {
            let tag = toolgate_policy::digest::hex(&key.tag(&[line.as_bytes()]));
            std::fs::write(base.path().join("state").join(FILE), format!("{line}\n{tag}\n")).unwrap();
        };
        let other = MacKey::load_or_make(&state.dir("keys").unwrap(), "other.key").unwrap();
        put(former, &other);
        assert!(Seen::open(&state).is_err(), "under another key it counts for nothing");
        put(former, &seen.key);
        let seen = Seen::open(&state).unwrap();
        assert!(matches!(seen.admit(&trust(2, b"a"), NOW), Err(NotAdmitted::Older { was: 3, is: 2 })));
        let upgraded = Admitted { now: UnixTime(5_000), upgraded: true };
        assert_eq!(seen.admit(&trust(3, b"a"), NOW).unwrap(), upgraded);
        assert!(matches!(seen.admit(&trust(3, b"b"), NOW), Err(NotAdmitted::Changed(3))), "once");
        assert!(!seen.admit(&trust(3, b"a"), NOW).unwrap().upgraded);
        put(r#"{"format":3,"version":3}"#, &seen.key);
        assert!(Seen::open(&state).is_err(), "a later form is another release's");
    }

    #[test]
    fn processes_that_see_versions_at_once_remember_the_highest() {
        let (base, _state) = state();
        std::thread::scope(|scope| {
            for version in 1..=16 {
                let path = base.path().join("state");
                scope.spawn(move || {
                    // Each has its own descriptors, as a process has.
                    let seen = Seen::open(&State::open(&path).unwrap()).unwrap();
                    match seen.admit(&trust(version, b"a"), NOW) {
                        Ok(_) | Err(NotAdmitted::Older { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                });
            }
        });
        let seen = Seen::open(&State::open(&base.path().join("state")).unwrap()).unwrap();
        assert_eq!(seen.read().unwrap().0.version, 16);
    }
}
