//! Components that were fetched or approved, by digest, with the signatures that were found beside them. What is read back is
//! hashed again and believed no more than what comes from elsewhere: a file that is not what its name says counts as absent.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt as _};
use rustix::fs::OFlags;
use toolgate_policy::Digest;
use toolgate_policy::limits::load::{
    COMPONENT_BYTES_MAX, KEPT_BYTES_MAX, SIGNATURE_BYTES_MAX, SIGNATURES_MAX,
};

use crate::artifact::Artifact;
use crate::signature::{SignatureFile, name};
use crate::state::State;

/// What was kept: `blobs/sha256/<digest>`, and beside it its signatures under that name and their own endings.
pub struct Kept {
    dir: Dir,
    bytes_max: u64,
    /// Never removed to make room. Held by whoever writes.
    held: Mutex<BTreeSet<Digest>>,
}

/// After this long nobody writes at it any more.
const UNFINISHED: Duration = Duration::from_secs(3_600);

/// Why something is not kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// The file system says no.
    #[error("keep the component")]
    Io(#[from] io::Error),
    /// What must stay leaves too little room.
    #[error(
        "keep the component: `blobs` in the state directory would hold more than {0} bytes of what must stay"
    )]
    Full(u64),
}

impl Kept {
    /// Opens what was kept.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn open(state: &State) -> io::Result<Self> {
        state.dir("blobs")?;
        Ok(Self { dir: state.dir("blobs/sha256")?, bytes_max: KEPT_BYTES_MAX, held: Mutex::default() })
    }

    /// The component of this digest with its signatures, sorted by name, if it was kept and is still what it was.
    pub fn get(&self, digest: Digest) -> Option<(Artifact, Vec<SignatureFile>)> {
        match self.read(digest) {
            Ok(Some(found)) => Some(found),
            Ok(None) => {
                tracing::error!(%digest, "ALARM: what was kept of a component is damaged and not used");
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%error, %digest, "what was kept of a component cannot be read");
                None
            }
        }
    }

    /// Whether something of this digest is there. Whether it is still what it was shows when it is read.
    pub fn has(&self, digest: Digest) -> bool {
        self.dir.symlink_metadata(digest.hex()).is_ok_and(|metadata| metadata.is_file())
    }

    /// Keeps a component with exactly these signatures, whatever was kept with it before. The least recently used that
    /// nobody holds make room.
    ///
    /// # Errors
    /// [`NotKept`].
    pub fn put(&self, artifact: &Artifact, signatures: &[SignatureFile]) -> Result<(), NotKept> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let component = artifact.digest().hex();
        let endings: Vec<(&SignatureFile, &str)> =
            signatures.iter().filter_map(|file| Some((file, name::tail(&file.name)?))).collect();
        let bytes = endings.iter().map(|(file, _)| file.bytes.len() as u64).sum::<u64>();
        self.make_room(&held, artifact.digest(), artifact.bytes().len() as u64 + bytes)?;
        let wanted: BTreeSet<String> = endings.iter().map(|(_, tail)| format!("{component}{tail}")).collect();
        for stale in self.signatures(&component)?.difference(&wanted) {
            self.dir.remove_file(stale)?;
        }
        for (file, tail) in endings {
            self.write(&format!("{component}{tail}"), &file.bytes)?;
        }
        Ok(self.write(&component, artifact.bytes())?)
    }

    /// From now on these are not removed to make room, and no others are held.
    pub fn hold(&self, digests: BTreeSet<Digest>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = digests;
    }

    fn read(&self, digest: Digest) -> io::Result<Option<(Artifact, Vec<SignatureFile>)>> {
        let component = digest.hex();
        let file = self.open_file(&component)?;
        // Its time says when it was used last. Whether it could be told does not matter now.
        drop(file.try_clone().and_then(|file| file.into_std().set_modified(SystemTime::now())));
        let artifact = Artifact::read(file, COMPONENT_BYTES_MAX).ok();
        let Some(artifact) = artifact.filter(|artifact| artifact.digest() == digest) else { return Ok(None) };
        let mut signatures = Vec::new();
        for name in self.signatures(&component)?.into_iter().take(SIGNATURES_MAX) {
            let bytes = Artifact::read(self.open_file(&name)?, SIGNATURE_BYTES_MAX);
            let bytes = bytes.map_err(io::Error::other)?.bytes().to_vec();
            signatures.push(SignatureFile { name, bytes });
        }
        Ok(Some((artifact, signatures)))
    }

    /// The names of the signatures of a component.
    fn signatures(&self, component: &str) -> io::Result<BTreeSet<String>> {
        let names = self.names()?.into_iter();
        Ok(names.filter(|name| name::is_signature_of(component, name)).collect())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let names = self.dir.entries()?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn open_file(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        // A pipe in its place would be waited for.
        let no_waiting = OFlags::NONBLOCK.bits().cast_signed();
        let file = self.dir.open_with(name, options.read(true).custom_flags(no_waiting))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        Ok(file)
    }

    /// Whole or not at all, whatever another process of the same user writes meanwhile.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let fresh = format!(".{name}.{}", std::process::id());
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let written = (|| {
            let mut file = self.dir.open_with(&fresh, options)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            self.dir.rename(&fresh, &self.dir, name)
        })();
        if written.is_err() {
            // It may not even be there.
            drop(self.dir.remove_file(&fresh));
        }
        written
    }

    /// Removes what was used least recently until `bytes` more fit.
    fn make_room(&self, held: &BTreeSet<Digest>, coming: Digest, bytes: u64) -> Result<(), NotKept> {
        let mut total = bytes;
        let mut loose = Vec::new();
        for name in self.names()? {
            let Ok(metadata) = self.dir.symlink_metadata(&name) else { continue };
            let digest = name.get(..64).and_then(|hex| Digest::from_hex(hex).ok());
            if digest == Some(coming) {
                continue;
            }
            total += metadata.len();
            match digest {
                Some(digest) if held.contains(&digest) => {}
                Some(digest) if name.len() == 64 => {
                    loose.push((metadata.modified()?.into_std(), digest));
                }
                // What somebody began to write long ago and never will finish.
                None if age(&metadata) > UNFINISHED => {
                    total -= metadata.len();
                    self.dir.remove_file(&name)?;
                }
                Some(_) | None => {}
            }
        }
        loose.sort();
        for (_, digest) in loose {
            if total <= self.bytes_max {
                break;
            }
            let component = digest.hex();
            // The component last: without its signatures it is refused, and its signatures without it are looked at by nobody.
            for name in self.signatures(&component)?.into_iter().chain([component]) {
                total -= self.dir.symlink_metadata(&name)?.len();
                self.dir.remove_file(&name)?;
            }
        }
        if total > self.bytes_max { Err(NotKept::Full(self.bytes_max)) } else { Ok(()) }
    }
}

/// How long ago it was written.
fn age(metadata: &cap_std::fs::Metadata) -> Duration {
    let written = metadata.modified().ok().map(|time| time.into_std());
    written.and_then(|time| time.elapsed().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(base: &tempfile::TempDir, bytes_max: u64) -> Kept {
        let state = State::open(&base.path().join("state")).unwrap();
        Kept { bytes_max, ..Kept::open(&state).unwrap() }
    }

    fn signature(name: &str) -> SignatureFile {
        SignatureFile { name: name.to_owned(), bytes: name.as_bytes().to_vec() }
    }

    #[test]
    fn what_is_kept_comes_back_with_the_signatures_of_the_last_time_alone() {
        let base = tempfile::tempdir().unwrap();
        let kept = kept(&base, 1_000);
        let artifact = Artifact::of(*b"component");
        assert!(kept.get(artifact.digest()).is_none());
        let first = ["a.wasm.sigstore.json", "a.wasm.0123abcd.sigstore.json", "../../escape"].map(signature);
        kept.put(&artifact, &first).unwrap();
        let names = |kept: &Kept| -> Vec<(String, Vec<u8>)> {
            let (again, signatures) = kept.get(artifact.digest()).unwrap();
            assert_eq!(again.bytes(), artifact.bytes());
            signatures.into_iter().map(|file| (file.name, file.bytes)).collect()
        };
        let hex = artifact.digest().hex();
        let both = [
            (format!("{hex}.0123abcd.sigstore.json"), b"a.wasm.0123abcd.sigstore.json".to_vec()),
            (format!("{hex}.sigstore.json"), b"a.wasm.sigstore.json".to_vec()),
        ];
        assert_eq!(names(&kept), both);
        kept.put(&artifact, &[signature("b.sigstore.json")]).unwrap();
        assert_eq!(names(&kept), [(format!("{hex}.sigstore.json"), b"b.sigstore.json".to_vec())]);
    }

    #[test]
    fn what_is_no_longer_what_it_was_counts_as_absent() {
        let base = tempfile::tempdir().unwrap();
        let kept = kept(&base, 1_000);
        let artifact = Artifact::of(*b"component");
        kept.put(&artifact, &[]).unwrap();
        let path = base.path().join("state/blobs/sha256").join(artifact.digest().hex());
        std::fs::write(&path, b"Component").unwrap();
        assert!(kept.get(artifact.digest()).is_none());
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(kept.get(artifact.digest()).is_none());
    }

    #[test]
    fn what_was_left_half_written_is_cleared_away() {
        let base = tempfile::tempdir().unwrap();
        let kept = kept(&base, 1_000);
        let left = base.path().join("state/blobs/sha256/.left.1");
        let file = std::fs::File::create(&left).unwrap();
        kept.put(&Artifact::of(*b"one"), &[]).unwrap();
        assert!(left.exists(), "somebody may be at it");
        file.set_modified(SystemTime::now() - UNFINISHED * 2).unwrap();
        kept.put(&Artifact::of(*b"two"), &[]).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn the_least_recently_used_makes_room_and_what_is_held_stays() {
        let base = tempfile::tempdir().unwrap();
        let kept = kept(&base, 20);
        let [first, second, third] = [*b"first_____", *b"second____", *b"third_____"].map(Artifact::of);
        let at = |artifact: &Artifact, seconds| {
            let path = base.path().join("state/blobs/sha256").join(artifact.digest().hex());
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        kept.put(&first, &[]).unwrap();
        kept.put(&second, &[]).unwrap();
        at(&first, 1);
        at(&second, 2);
        assert!(kept.get(first.digest()).is_some(), "it is used, and so the younger of the two");
        kept.put(&third, &[]).unwrap();
        assert!(kept.get(second.digest()).is_none());
        kept.hold([first.digest(), third.digest()].into());
        assert!(matches!(kept.put(&second, &[]), Err(NotKept::Full(20))));
        assert!(kept.get(first.digest()).is_some() && kept.get(third.digest()).is_some());
    }
}
