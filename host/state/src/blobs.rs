//! Store of fetched or approved components by digest, with their signatures. Content is hashed again when read and
//! trusted no more than a download: a file that does not match its name counts as absent.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt as _};
use toolgate_base::artifact::Artifact;
use toolgate_base::file::OPEN_FLAGS;
use toolgate_policy::Digest;
use toolgate_policy::limits::load::{
    COMPONENT_BYTES_MAX, KEPT_BYTES_MAX, SIGNATURE_BYTES_MAX, SIGNATURES_MAX,
};
use toolgate_signature::{SignatureFile, name};

use crate::StateDir;
use crate::file_lock::{DirLock, replace_in};

/// Store of components: `blobs/sha256/<digest>`, with signatures under that name and their own endings.
pub struct BlobStore {
    dir: Dir,
    /// Folder of the lock, exclusive for writers and shared for readers.
    above: Dir,
    bytes_max: u64,
    held: Mutex<Needed>,
}

/// Digests that are never evicted.
#[derive(Default)]
struct Needed {
    /// Needed by the configuration and its lockfile.
    configured: BTreeSet<Digest>,
    /// Needed by loads in progress and by what serves.
    loading: BTreeSet<Digest>,
}

impl Needed {
    fn contains(&self, digest: &Digest) -> bool {
        self.configured.contains(digest) || self.loading.contains(digest)
    }
}

const LOCK: &str = "lock";

/// Reason to store a signature; the first ranks highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignatureRank {
    /// By a signer of the policy.
    Counts,
    /// Proves the same as an earlier one.
    Copy,
    /// By a party that may become a signer.
    MayCount,
    /// Not a signature of the component.
    Nothing,
}

/// Age after which an unfinished file is abandoned.
const UNFINISHED: Duration = Duration::from_secs(3_600);

/// Storing a component failed.
#[derive(Debug, thiserror::Error)]
pub enum BlobStoreError {
    /// I/O error.
    #[error("keep the component")]
    Io(#[from] io::Error),
    /// Content that must stay leaves too little room.
    #[error(
        "keep the component: `blobs` in the state directory may hold {0} bytes, and what is approved or serves takes them; \
         remove plugins that are not needed (`toolgate plugin remove`)"
    )]
    Full(u64),
}

impl BlobStore {
    /// Opens the store.
    pub fn open(state: &StateDir) -> io::Result<Self> {
        let above = state.dir("blobs")?;
        let dir = state.dir("blobs/sha256")?;
        Ok(Self { dir, above, bytes_max: KEPT_BYTES_MAX, held: Mutex::default() })
    }

    /// The component of this digest with its signatures, sorted by name, if it is stored and undamaged.
    pub fn get(&self, digest: Digest) -> Option<(Artifact, Vec<SignatureFile>)> {
        match DirLock::share(&self.above, LOCK).and_then(|_shared| self.read(digest)) {
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

    /// Whether this digest is stored together with these signatures. Damage is only detected when reading.
    pub fn has(&self, digest: Digest, signatures: &[SignatureFile]) -> bool {
        let component = digest.hex();
        let is_at_its_name = |file: &SignatureFile| {
            let kept = name::tail(&file.name)
                .and_then(|tail| self.read_signature(format!("{component}{tail}")).ok());
            kept.is_some_and(|kept| kept.bytes == file.bytes)
        };
        let are_among = |kept: Vec<SignatureFile>| signatures.iter().all(|file| is_among(&kept, file));
        self.dir.symlink_metadata(&component).is_ok_and(|metadata| metadata.is_file())
            && (signatures.iter().all(is_at_its_name)
                || self.read_signatures(&component).is_ok_and(are_among))
    }

    /// Stores a component with exactly these signatures, replacing earlier ones. Evicts the least recently used
    /// components that are not protected.
    pub fn put(&self, artifact: &Artifact, signatures: &[SignatureFile]) -> Result<(), BlobStoreError> {
        let _one = DirLock::take(&self.above, LOCK)?;
        self.replace(artifact, signatures)
    }

    /// Stores a component with these signatures and earlier ones, up to the limit: highest rank first, and new ones
    /// before earlier ones.
    pub fn add(
        &self,
        artifact: &Artifact,
        signatures: &[SignatureFile],
        mut worth: impl FnMut(&SignatureFile) -> SignatureRank,
    ) -> Result<(), BlobStoreError> {
        let _one = DirLock::take(&self.above, LOCK)?;
        // Stored content that is unreadable or does not match its name is replaced.
        let before = self.read(artifact.digest()).ok().flatten().map_or_else(Vec::new, |(_, before)| before);
        let before = before.into_iter().filter(|file| !is_among(signatures, file));
        let all = signatures.iter().cloned().chain(before).map(|file| (worth(&file), file));
        let mut all: Vec<_> = all.filter(|(worth, _)| *worth != SignatureRank::Nothing).collect();
        all.sort_by_key(|(worth, _)| *worth);
        let all: Vec<_> = all.into_iter().map(|(_, file)| file).collect();
        self.replace(artifact, &all)
    }

    /// Sets the digests that the configuration needs, which are not evicted. Replaces the previous set.
    pub fn hold(&self, digests: BTreeSet<Digest>) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).configured = digests;
    }

    /// Adds to the digests that the configuration needs.
    pub fn hold_also(&self, digests: impl IntoIterator<Item = Digest>) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).configured.extend(digests);
    }

    /// Sets the digests that loads in progress and serving plugins need, which are not evicted.
    pub fn hold_loading(&self, digests: BTreeSet<Digest>) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).loading = digests;
    }

    fn replace(&self, artifact: &Artifact, signatures: &[SignatureFile]) -> Result<(), BlobStoreError> {
        let component = artifact.digest().hex();
        let named = name::places(&component, signatures.iter().take(SIGNATURES_MAX), &[]);
        let bytes = named.values().map(|bytes| bytes.len() as u64).sum::<u64>();
        self.make_room(artifact.digest(), artifact.bytes().len() as u64 + bytes)?;
        let stale = self.signatures(&component)?;
        let stale: Vec<_> = stale.into_iter().filter(|name| !named.contains_key(name)).collect();
        for (name, bytes) in named {
            replace_in(&self.dir, &name, &[bytes])?;
        }
        replace_in(&self.dir, &component, &[artifact.bytes()])?;
        // Last, so that a process killed midway leaves too many signatures rather than too few.
        for name in stale {
            self.dir.remove_file(name)?;
        }
        Ok(())
    }

    fn read(&self, digest: Digest) -> io::Result<Option<(Artifact, Vec<SignatureFile>)>> {
        let component = digest.hex();
        let file = self.open_file(&component)?;
        // The modification time records the last use; failing to set it does not matter.
        drop(file.try_clone().and_then(|file| file.into_std().set_modified(SystemTime::now())));
        let artifact = Artifact::read(file, COMPONENT_BYTES_MAX).ok();
        let Some(artifact) = artifact.filter(|artifact| artifact.digest() == digest) else { return Ok(None) };
        Ok(Some((artifact, self.read_signatures(&component)?)))
    }

    fn read_signatures(&self, component: &str) -> io::Result<Vec<SignatureFile>> {
        let mut signatures = Vec::new();
        for name in self.signatures(component)?.into_iter().take(SIGNATURES_MAX) {
            signatures.push(self.read_signature(name)?);
        }
        Ok(signatures)
    }

    fn read_signature(&self, name: String) -> io::Result<SignatureFile> {
        let bytes = Artifact::read(self.open_file(&name)?, SIGNATURE_BYTES_MAX);
        let bytes = bytes.map_err(io::Error::other)?.bytes().to_vec();
        Ok(SignatureFile { name, bytes })
    }

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
        let file = self.dir.open_with(name, options.read(true).custom_flags(OPEN_FLAGS))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        Ok(file)
    }

    /// Evicts least recently used components until `bytes` more fit; none if they never would.
    fn make_room(&self, coming: Digest, bytes: u64) -> Result<(), BlobStoreError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = bytes;
        let mut stays = bytes;
        let mut loose = Vec::new();
        for name in self.names()? {
            let Ok(metadata) = self.dir.symlink_metadata(&name) else { continue };
            let digest = name.get(..64).and_then(|hex| Digest::from_hex(hex).ok());
            match digest {
                Some(digest) if digest == coming => continue,
                Some(digest) if held.contains(&digest) => stays += metadata.len(),
                Some(digest) if name.len() == 64 => {
                    loose.push((metadata.modified()?.into_std(), digest));
                }
                // An unfinished file that was abandoned.
                None if age(&metadata) > UNFINISHED => {
                    self.dir.remove_file(&name)?;
                    continue;
                }
                Some(_) | None => {}
            }
            total += metadata.len();
        }
        if stays > self.bytes_max {
            return Err(BlobStoreError::Full(self.bytes_max));
        }
        loose.sort();
        for (_, digest) in loose {
            if total <= self.bytes_max {
                break;
            }
            let component = digest.hex();
            // The component last: without its signatures it is refused, and signatures without it are never read.
            for name in self.signatures(&component)?.into_iter().chain([component]) {
                total -= self.dir.symlink_metadata(&name)?.len();
                self.dir.remove_file(&name)?;
            }
        }
        if total > self.bytes_max { Err(BlobStoreError::Full(self.bytes_max)) } else { Ok(()) }
    }
}

fn is_among(kept: &[SignatureFile], file: &SignatureFile) -> bool {
    let is_one = |other: &SignatureFile| {
        other.bytes == file.bytes && name::form(&other.name) == name::form(&file.name)
    };
    kept.iter().any(is_one)
}

/// Time since the last modification.
fn age(metadata: &cap_std::fs::Metadata) -> Duration {
    let written = metadata.modified().ok().map(|time| time.into_std());
    written.and_then(|time| time.elapsed().ok()).unwrap_or_default()
}

#[cfg(test)]
#[path = "blobs_tests.rs"]
mod tests;
