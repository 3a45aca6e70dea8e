//! Cache of compiled code. A forged file would run as native code in this process. So each file has an HMAC tag over
//! digest, engine and bytes, under a key stored elsewhere. A damaged, forged or renamed file is not run: its component
//! is compiled again and the operator alerted. The only `unsafe` in Toolgate.

use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use toolgate_base::file::OPEN_FLAGS;
use toolgate_policy::Digest;
use toolgate_policy::limits::load::{CACHE_BYTES_MAX, COMPILED_BYTES_MAX};
use toolgate_signature::mac::{MacKey, TAG_BYTES};
use toolgate_state::StateDir;
use toolgate_state::audit::{Event, Recorder};
use toolgate_state::file_lock::unique;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The cache of one engine.
pub(super) struct Cache {
    dir: Dir,
    key: MacKey,
    fingerprint: String,
    audit: Arc<Recorder>,
    /// Serialises writers: two plugins may have the same bytes.
    writing: Mutex<()>,
}

impl Cache {
    pub(super) fn open(state: &StateDir, fingerprint: String, audit: Arc<Recorder>) -> io::Result<Self> {
        let key = MacKey::load_or_make(&state.dir("keys")?, "cache.key")?;
        Ok(Self { dir: state.dir("cache")?, key, fingerprint, audit, writing: Mutex::default() })
    }

    /// Returns the cached component of this digest, if its tag is valid.
    pub(super) fn get(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let name = self.name(digest);
        let file = match self.read(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, name, "a cached file cannot be read");
                self.alarm(&name, "it cannot be read");
                return None;
            }
        };
        let (tag, code) = file.split_at_checked(TAG_BYTES).unwrap_or((&file, &[]));
        if !self.key.accepts(&[digest.as_bytes(), self.fingerprint.as_bytes(), code], tag) {
            self.alarm(&name, "it is damaged or forged");
            return None;
        }
        match run(engine, code) {
            Ok(component) => {
                self.used(&name);
                Some(component)
            }
            Err(error) => {
                tracing::warn!(%error, name, "a cached file is not for this engine");
                self.alarm(&name, "it is genuine and not for this engine");
                None
            }
        }
    }

    /// Alerts the operator to a cached file that was changed.
    fn alarm(&self, file: &str, what: &'static str) {
        tracing::error!(file, "ALARM: a cached file is not used and the plugin compiled anew: {what}");
        self.audit.event(&Event::Alarm { file, what });
    }

    /// Stores compiled code. A failure only makes the next start slower.
    pub(super) fn put(&self, digest: Digest, code: &[u8]) {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let name = self.name(digest);
        let fresh = format!(".{name}.{}", unique());
        let stored = (|| {
            make_room(&self.dir, CACHE_BYTES_MAX.saturating_sub(code.len() as u64), &name)?;
            let mut options = OpenOptions::new();
            let mut file = self.dir.open_with(&fresh, options.write(true).create_new(true).mode(0o600))?;
            file.write_all(&self.key.tag(&[digest.as_bytes(), self.fingerprint.as_bytes(), code]))?;
            file.write_all(code)?;
            self.dir.rename(&fresh, &self.dir, &name)
        })();
        if let Err(error) = stored {
            tracing::warn!(%error, name, "compiled code could not be stored");
            // It may not exist.
            drop(self.dir.remove_file(&fresh));
        }
    }

    /// Marks a file as used by its modification time. If that fails, it is evicted earlier.
    fn used(&self, name: &str) {
        let touched = self.dir.open(name).and_then(|file| file.into_std().set_modified(SystemTime::now()));
        if let Err(error) = touched {
            tracing::debug!(%error, name, "when a cached file was used cannot be told");
        }
    }

    fn name(&self, digest: Digest) -> String {
        format!("{}-{}.cwasm", digest.hex(), self.fingerprint)
    }

    /// Reads a file once into memory: the bytes that are verified are those that run, even if the file changes.
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut options = OpenOptions::new();
        let file = self.dir.open_with(name, options.read(true).custom_flags(OPEN_FLAGS))?;
        let metadata = file.metadata()?;
        let bytes_max = COMPILED_BYTES_MAX + TAG_BYTES as u64;
        if !metadata.is_file() || metadata.len() > bytes_max {
            return Err(io::Error::other("it is not a file, or a larger one than was stored"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
        file.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Evicts least recently used files until the rest, without `coming`, has at most `bytes_max` bytes. Unfinished files
/// are kept for an hour, longer than any write takes.
fn make_room(dir: &Dir, bytes_max: u64, coming: &str) -> io::Result<()> {
    const UNFINISHED: Duration = Duration::from_secs(3_600);
    let (mut total, mut files) = (0, Vec::new());
    for entry in dir.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        // Gone already: other processes evict files too.
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.is_file() || name == *coming {
            continue;
        }
        let used = metadata.modified()?.into_std();
        let is_written = name.to_string_lossy().starts_with('.');
        if is_written && used.elapsed().is_ok_and(|age| age > UNFINISHED) {
            dir.remove_file(&name)?;
        } else if !is_written {
            total += metadata.len();
            files.push((used, name, metadata.len()));
        }
    }
    files.sort();
    for (_, name, bytes) in files {
        if total <= bytes_max {
            break;
        }
        match dir.remove_file(&name) {
            // Another process may have evicted it.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => total -= bytes,
        }
    }
    Ok(())
}

/// Loads compiled code as a runnable component.
///
/// # Errors
/// The code is for another engine.
#[expect(unsafe_code, reason = "the engine cannot know where compiled code came from; its callers do")]
pub(crate) fn run(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is byte for byte the output of the engine's own compiler. Either it is from the cache: its tag was
    // verified, and only this user can read the key. Or it came through a pipe that only the compiler had, a process of
    // this very program. Or, in a worker, its parent had it in one of these ways and sent it through the pipe; another
    // parent can only run code with rights that it has already. The engine copies it and checks version and settings.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    #[test]
    fn what_was_used_least_recently_makes_room() {
        let base = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: u64, age_s: u64| {
            let file = std::fs::File::create(base.path().join(name)).unwrap();
            file.set_len(bytes).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age_s)).unwrap();
        };
        file("oldest", 40, 300);
        file("coming", 1_000, 400);
        file("middle", 40, 200);
        file("newest", 40, 100);
        file(".being-written", 1_000, 10);
        file(".left-behind", 1_000, 4_000);
        let dir = Dir::open_ambient_dir(base.path(), ambient_authority()).unwrap();
        let left = || {
            let names = std::fs::read_dir(base.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        make_room(&dir, 120, "coming").unwrap();
        assert_eq!(left(), [".being-written", "coming", "middle", "newest", "oldest"], "it fits");
        make_room(&dir, 119, "coming").unwrap();
        assert_eq!(left(), [".being-written", "coming", "middle", "newest"]);
        make_room(&dir, 0, "coming").unwrap();
        assert_eq!(left(), [".being-written", "coming"]);
    }
}
