//! `toolgate.lock`: approvals, with approver and time. Written whole by `toolgate plugin`. A file that is not exactly
//! the output for its content is refused, so that a typo or a half-finished merge never becomes an approval.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use toolgate_policy::load::Pin;
use toolgate_policy::load::pin::Approval;
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::{Digest, PluginName};

use super::file_lock::FileLocks;

/// Approvals by plugin name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lockfile(pub BTreeMap<PluginName, Entry>);

/// Approval of one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Pin that loading compares.
    pub pin: Pin,
    /// Version according to the plugin. For people.
    pub version: Option<String>,
    /// Source. For people.
    pub source: String,
    /// Signers at the time of approval: `role: signer, signer`. For people.
    pub signers: Vec<String>,
    /// Digests of the approved surfaces before a later release rewrote them. For people.
    pub remapped_from: Vec<Digest>,
}

/// Remedy for an invalid lockfile. Every command refuses it, so it must go before anything can be approved.
const ANEW: &str =
    "put back what was written, or remove the file and approve every plugin anew (`toolgate plugin approve`)";

/// A file that is not a valid lockfile.
#[derive(Debug, thiserror::Error)]
pub enum LockfileError {
    /// It cannot be parsed.
    #[error("it is not a lock: {0}; {ANEW}")]
    Unreadable(String),
    /// It was edited since it was written.
    #[error("it was changed since `toolgate plugin` wrote it; {ANEW}")]
    Changed,
}

/// A lockfile cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LockTextError {
    /// The time of an approval cannot be expressed as a date.
    #[error("the time of the approval of {0} is not a date")]
    Time(PluginName),
    /// TOML cannot express it.
    #[error(transparent)]
    Toml(#[from] toml::ser::Error),
}

const HEAD: &str =
    "# What was approved to run. Written by `toolgate plugin`; commit it. A change by hand is refused.\n";

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    version: u32,
    /// SHA-256 of the TOML without the head comment and with this field empty.
    check: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    plugin: Vec<RawEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    name: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    source: String,
    digest: String,
    surfaces: Vec<String>,
    asked: Vec<String>,
    grant: Vec<String>,
    signers: Vec<String>,
    approved_by: String,
    approved_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remapped_from: Option<OneOrMore>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
}

/// A single text is written without a list.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    /// `None` for an empty list.
    fn of(mut texts: Vec<String>) -> Option<Self> {
        match texts.pop() {
            None => None,
            Some(one) if texts.is_empty() => Some(Self::One(one)),
            Some(last) => Some(Self::More([texts, vec![last]].concat())),
        }
    }

    fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::More(texts) => texts,
        }
    }
}

impl Lockfile {
    /// Parses a lockfile.
    ///
    /// # Errors
    /// [`LockfileError`] for anything that [`Lockfile::text`] would not have written.
    pub fn parse(text: &str) -> Result<Self, LockfileError> {
        let unreadable = |error: &dyn std::fmt::Display| LockfileError::Unreadable(error.to_string());
        let raw: RawFile = toml::from_str(text).map_err(|error| unreadable(&error.message()))?;
        if raw.version != VERSION {
            return Err(unreadable(&format!("version {} is unknown", raw.version)));
        }
        let mut entries = BTreeMap::new();
        for raw in raw.plugin {
            let name: PluginName = raw.name.parse().map_err(|error| unreadable(&error))?;
            let entry = raw.read().map_err(|why| unreadable(&format!("plugin {name}: {why}")))?;
            entries.insert(name, entry);
        }
        let lock = Self(entries);
        match lock.text() {
            Ok(written) if written == text => Ok(lock),
            Ok(_) => Err(LockfileError::Changed),
            Err(error) => Err(unreadable(&error)),
        }
    }

    /// Encodes the lockfile.
    pub fn text(&self) -> Result<String, LockTextError> {
        let plugin =
            self.0.iter().map(|(name, entry)| RawEntry::of(name, entry)).collect::<Result<Vec<_>, _>>();
        let mut file = RawFile { version: VERSION, check: String::new(), plugin: plugin? };
        file.check = Digest::of(toml::to_string(&file)?.as_bytes()).to_string();
        Ok(format!("{HEAD}{}", toml::to_string(&file)?))
    }

    /// Replaces the file atomically and durably.
    ///
    /// # Errors
    /// I/O errors, or if the file is not locked.
    pub fn save(&self, locks: &FileLocks, path: &Path) -> io::Result<()> {
        let text = self.text().map_err(io::Error::other)?;
        locks.replace(path, text.as_bytes(), 0o644)
    }

    /// Pins that loading compares.
    pub fn pins(&self) -> BTreeMap<PluginName, Pin> {
        self.0.iter().map(|(name, entry)| (name.clone(), entry.pin.clone())).collect()
    }
}

impl RawEntry {
    fn of(name: &PluginName, entry: &Entry) -> Result<Self, LockTextError> {
        let Entry { pin, version, source, signers, remapped_from } = entry;
        let at = Timestamp::from_second(pin.approval.at.0).map_err(|_| LockTextError::Time(name.clone()))?;
        Ok(Self {
            name: name.to_string(),
            id: pin.id.clone(),
            version: version.clone(),
            source: source.clone(),
            digest: pin.digest.to_string(),
            surfaces: pin.surfaces.iter().map(Digest::to_string).collect(),
            asked: pin.asked.clone(),
            grant: pin.grant.clone(),
            signers: signers.clone(),
            approved_by: pin.approval.by.clone(),
            approved_at: at.to_string(),
            remapped_from: OneOrMore::of(remapped_from.iter().map(Digest::to_string).collect()),
            revoked: pin.revoked.clone(),
        })
    }

    fn read(self) -> Result<Entry, String> {
        let digest = |text: &str| text.parse::<Digest>().map_err(|error| error.to_string());
        let at: Timestamp = self.approved_at.parse().map_err(|_| "approved_at is not a time".to_owned())?;
        let digests = |texts: &[String]| texts.iter().map(|text| digest(text)).collect::<Result<Vec<_>, _>>();
        Ok(Entry {
            pin: Pin {
                id: self.id,
                digest: digest(&self.digest)?,
                surfaces: digests(&self.surfaces)?,
                asked: self.asked,
                grant: self.grant,
                approval: Approval { by: self.approved_by, at: UnixTime(at.as_second()) },
                revoked: self.revoked,
            },
            version: self.version,
            source: self.source,
            signers: self.signers,
            remapped_from: digests(self.remapped_from.as_ref().map_or(&[], OneOrMore::texts))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lockfile {
        let mut lock = Lockfile::default();
        for (name, revoked) in [("files", None), ("http", Some("a \"flaw\"\nin it".to_owned()))] {
            let pin = Pin {
                id: format!("acme:{name}"),
                digest: Digest::of(name.as_bytes()),
                surfaces: vec![Digest::of(b"reads"), Digest::of(b"says")],
                asked: vec!["needs files".into(), "may use clock".into()],
                grant: vec![r#"files = [{ host = "/a\"b", guest = "/docs" }]"#.into()],
                approval: Approval { by: "somebody@host".into(), at: UnixTime(1_800_000_000) },
                revoked,
            };
            let signers = vec!["publisher: vendor".into()];
            let (version, source) = (Some("1.2.0".into()), "file:/plugins/files.wasm".into());
            let texts: &[&[u8]] = if name == "http" { &[b"read"] } else { &[b"reads", b"says"] };
            let remapped_from = texts.iter().map(|text| Digest::of(text)).collect();
            lock.0.insert(name.parse().unwrap(), Entry { pin, version, source, signers, remapped_from });
        }
        lock
    }

    #[test]
    fn what_is_written_is_read_back() {
        for lock in [Lockfile::default(), lock()] {
            assert_eq!(Lockfile::parse(&lock.text().unwrap()).unwrap(), lock);
        }
        let text = lock().text().unwrap();
        assert!(text.contains("approved_at = \"2027-01-15T08:00:00Z\""), "{text}");
    }

    #[test]
    fn no_byte_of_it_can_be_another() {
        let text = lock().text().unwrap().into_bytes();
        for at in 0..text.len() {
            for bit in [1, 2, 0x20, 0x80] {
                let mut other = text.clone();
                if let Some(byte) = other.get_mut(at) {
                    *byte ^= bit;
                }
                let Ok(other) = String::from_utf8(other) else { continue };
                assert!(Lockfile::parse(&other).is_err(), "byte {at}, bit {bit}: {other}");
            }
        }
        for cut in 0..text.len() {
            let cut = String::from_utf8(text.iter().copied().take(cut).collect()).unwrap();
            assert!(Lockfile::parse(&cut).is_err());
        }
    }

    #[test]
    fn a_time_that_is_no_date_is_not_written_as_another() {
        let mut lock = lock();
        let name: PluginName = "files".parse().unwrap();
        let mut entry = lock.0.get(&name).unwrap().clone();
        entry.pin.approval.at = UnixTime(i64::MAX);
        lock.0.insert(name, entry);
        assert!(matches!(lock.text(), Err(LockTextError::Time(_))));
    }

    #[test]
    fn it_is_replaced_whole_and_only_under_its_lock() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("toolgate.lock");
        let locks = FileLocks::take([path.as_path()]).unwrap();
        Lockfile::default().save(&locks, &path).unwrap();
        lock().save(&locks, &path).unwrap();
        assert!(lock().save(&locks, &base.path().join("other.lock")).is_err());
        drop(locks);
        assert_eq!(Lockfile::parse(&std::fs::read_to_string(&path).unwrap()).unwrap(), lock());
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
