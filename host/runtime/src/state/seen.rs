//! What was seen before and may not be undone: the highest version of the trust policy, what that version said, and the latest
//! time. It outlives the process, under a key of this installation.

use std::io::{self, Read as _, Write as _};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use serde::{Deserialize, Serialize};
use toolgate_policy::Digest;
use toolgate_policy::load::TrustPolicy;
use toolgate_policy::load::signer::UnixTime;

use super::State;
use crate::signature::mac::MacKey;

/// The memory.
pub struct Seen {
    folder: Dir,
    key: MacKey,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    /// The highest version; 0 before any.
    version: u64,
    /// What it said, as this release of Toolgate reads it.
    #[serde(with = "hex")]
    said: Option<Digest>,
    /// Which release that was: another may read more in it.
    release: String,
    /// The latest time, in seconds since 1970.
    time: i64,
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
    #[error("trust.toml says something else than version {0} said before; raise `version` with every change")]
    Changed(u64),
    /// The memory cannot be kept.
    #[error("{FILE} in the state directory cannot be kept")]
    Io(#[from] io::Error),
}

const FILE: &str = "trust.seen";
const KEY: &str = "trust.key";
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
        let began = keys.exists(KEY);
        let key = MacKey::load_or_make(&keys, KEY)?;
        let seen = Self { folder, key };
        if began {
            seen.read()?;
        } else {
            seen.write(&Last::default())?;
        }
        Ok(seen)
    }

    /// Whether a policy may be taken, and which time it is to be judged at: now, or the latest time there was, if the clock
    /// says that it is earlier. Nothing is remembered.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn judge(&self, policy: &TrustPolicy, now: UnixTime) -> Result<UnixTime, NotAdmitted> {
        Ok(UnixTime(self.next(policy, now)?.1.time))
    }

    /// The same, and remembers it.
    ///
    /// # Errors
    /// [`NotAdmitted`]. Nothing is remembered then.
    pub fn admit(&self, policy: &TrustPolicy, now: UnixTime) -> Result<UnixTime, NotAdmitted> {
        let (last, next) = self.next(policy, now)?;
        if next != last {
            self.write(&next)?;
        }
        Ok(UnixTime(next.time))
    }

    fn next(&self, policy: &TrustPolicy, now: UnixTime) -> Result<(Last, Last), NotAdmitted> {
        // Another process may have seen more by now.
        let last = self.read()?;
        let (was, is) = (last.version, policy.version());
        let said = Some(Digest::of(format!("{:?}", policy.parts()).as_bytes()));
        let release = env!("CARGO_PKG_VERSION").to_owned();
        if is < was {
            return Err(NotAdmitted::Older { was, is });
        }
        if is == was && last.release == release && last.said != said {
            return Err(NotAdmitted::Changed(is));
        }
        if now.0 < last.time.saturating_sub(CLOCK_SLACK_S) {
            tracing::error!(
                behind_s = last.time.saturating_sub(now.0),
                "ALARM: the clock was set back; dates are judged at the latest time there was. If it was wrong before, remove \
                 trust.seen and keys/trust.key in the state directory"
            );
        }
        let time = now.0.max(last.time);
        Ok((last, Last { version: is, said, release, time }))
    }

    fn read(&self) -> io::Result<Last> {
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
        let fresh = format!(".{FILE}.{}", std::process::id());
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = self.folder.open_with(&fresh, options)?;
        file.write_all(format!("{line}\n{tag}\n").as_bytes())?;
        file.sync_all()?;
        self.folder.rename(&fresh, &self.folder, FILE)
    }
}

fn read(folder: &Dir, key: &MacKey) -> io::Result<Last> {
    let mut text = String::new();
    folder.open(FILE)?.take(BYTES_MAX).read_to_string(&mut text)?;
    let damaged = || io::Error::other("it is not what was written");
    let (line, tag) = text.trim_end_matches('\n').split_once('\n').ok_or_else(damaged)?;
    let tag: Digest = tag.parse().or_else(|_| Digest::from_hex(tag)).map_err(|_| damaged())?;
    if !key.accepts(&[line.as_bytes()], tag.as_bytes()) {
        return Err(damaged());
    }
    Ok(serde_json::from_str(line)?)
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
    use toolgate_policy::load::trust::Parts;

    use super::*;

    fn policy(version: u64, days: u32) -> TrustPolicy {
        TrustPolicy::new(Parts { version, grace_days: days, ..Parts::default() }).unwrap()
    }

    #[test]
    fn a_version_never_goes_back_and_says_one_thing_also_over_restarts() {
        let base = tempfile::tempdir().unwrap();
        let state = State::open(&base.path().join("state")).unwrap();
        let now = UnixTime(1_000);
        Seen::open(&state).unwrap().admit(&policy(3, 1), now).unwrap();
        let seen = Seen::open(&state).unwrap();
        assert!(matches!(seen.admit(&policy(2, 1), now), Err(NotAdmitted::Older { was: 3, is: 2 })));
        assert!(matches!(seen.admit(&policy(3, 2), now), Err(NotAdmitted::Changed(3))));
        assert_eq!(seen.admit(&policy(3, 1), now).unwrap(), now);
        assert_eq!(seen.admit(&policy(4, 2), now).unwrap(), now);
        assert!(seen.admit(&policy(3, 1), now).is_err());
        seen.judge(&policy(9, 1), now).unwrap();
        assert!(seen.admit(&policy(5, 1), now).is_ok(), "what was only looked at is not remembered");
    }

    #[test]
    fn a_clock_that_is_set_back_brings_no_time_back() {
        let base = tempfile::tempdir().unwrap();
        let state = State::open(&base.path().join("state")).unwrap();
        Seen::open(&state).unwrap().admit(&policy(1, 1), UnixTime(5_000)).unwrap();
        let judged = Seen::open(&state).unwrap().admit(&policy(1, 1), UnixTime(100)).unwrap();
        assert_eq!(judged, UnixTime(5_000));
    }

    #[test]
    fn a_memory_that_is_gone_or_changed_is_refused_and_says_what_to_do() {
        let base = tempfile::tempdir().unwrap();
        let state = State::open(&base.path().join("state")).unwrap();
        Seen::open(&state).unwrap().admit(&policy(7, 1), UnixTime(1_000)).unwrap();
        let file = base.path().join("state").join(FILE);
        let written = std::fs::read(&file).unwrap();
        for at in 0..written.len() {
            let mut other = written.clone();
            *other.get_mut(at).unwrap() ^= 1;
            std::fs::write(&file, &other).unwrap();
            let read = Seen::open(&state).and_then(|seen| seen.read());
            // The line's end may be another: nothing else may.
            assert!(read.is_err() || read.is_ok_and(|last| last.version == 7), "byte {at}");
        }
        std::fs::remove_file(&file).unwrap();
        let refused = Seen::open(&state).err().unwrap().to_string();
        assert!(refused.contains("remove it and keys/trust.key"), "{refused}");
        std::fs::remove_file(base.path().join("state/keys").join(KEY)).unwrap();
        assert!(Seen::open(&state).is_ok(), "to begin anew");
    }
}
