//! Compiled code that was kept. A forged file here would be native code in this process, so each carries a tag (HMAC)
//! under a key that lies elsewhere, over its digest, its engine and its bytes: a file that is damaged, forged, or put under
//! another's name is not believed, not run, compiled anew, and told to the operator. The only `unsafe` in Toolgate.

use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::OFlags;
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
    /// Held by whoever writes: two plugins may be of the same bytes.
    writing: Mutex<()>,
}

impl Cache {
    pub(super) fn open(state: &StateDir, fingerprint: String, audit: Arc<Recorder>) -> io::Result<Self> {
        let key = MacKey::load_or_make(&state.dir("keys")?, "cache.key")?;
        Ok(Self { dir: state.dir("cache")?, key, fingerprint, audit, writing: Mutex::default() })
    }

    /// The component of this digest, if a genuine one was kept.
    pub(super) fn get(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let name = self.name(digest);
        let kept = match self.read(&name) {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, name, "a cached file cannot be read");
                self.alarm(&name, "it cannot be read");
                return None;
            }
        };
        let (tag, code) = kept.split_at_checked(TAG_BYTES).unwrap_or((&kept, &[]));
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

    /// Tells the operator that what was kept is not as it was left.
    fn alarm(&self, file: &str, what: &'static str) {
        tracing::error!(file, "ALARM: a cached file is not used and the plugin compiled anew: {what}");
        self.audit.event(&Event::Alarm { file, what });
    }

    /// Keeps compiled code. A failure costs the next start some time and nothing else.
    pub(super) fn put(&self, digest: Digest, code: &[u8]) {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let name = self.name(digest);
        let fresh = format!(".{name}.{}", unique());
        let kept = (|| {
            make_room(&self.dir, CACHE_BYTES_MAX.saturating_sub(code.len() as u64), &name)?;
            let mut options = OpenOptions::new();
            let mut file = self.dir.open_with(&fresh, options.write(true).create_new(true).mode(0o600))?;
            file.write_all(&self.key.tag(&[digest.as_bytes(), self.fingerprint.as_bytes(), code]))?;
            file.write_all(code)?;
            self.dir.rename(&fresh, &self.dir, &name)
        })();
        if let Err(error) = kept {
            tracing::warn!(%error, name, "compiled code could not be kept");
            // It may not even be there.
            drop(self.dir.remove_file(&fresh));
        }
    }

    /// Its time says when it was used last. Where that cannot be told it goes sooner.
    fn used(&self, name: &str) {
        let touched = self.dir.open(name).and_then(|file| file.into_std().set_modified(SystemTime::now()));
        if let Err(error) = touched {
            tracing::debug!(%error, name, "when a cached file was used cannot be told");
        }
    }

    fn name(&self, digest: Digest) -> String {
        format!("{}-{}.cwasm", digest.hex(), self.fingerprint)
    }

    /// One read into memory of our own: what is checked is what is run, whatever becomes of the file meanwhile.
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut options = OpenOptions::new();
        // A pipe in its place would be waited for.
        let no_waiting = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = self.dir.open_with(name, options.read(true).custom_flags(no_waiting))?;
        let metadata = file.metadata()?;
        let bytes_max = COMPILED_BYTES_MAX + TAG_BYTES as u64;
        if !metadata.is_file() || metadata.len() > bytes_max {
            return Err(io::Error::other("it is not a file, or a larger one than was kept"));
        }
        let mut kept = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
        file.take(bytes_max).read_to_end(&mut kept)?;
        Ok(kept)
    }
}

/// Removes what was used least recently until what is left has at most `bytes_max` bytes, `coming` not counted. What somebody
/// is writing is left alone for an hour, which no write takes.
fn make_room(dir: &Dir, bytes_max: u64, coming: &str) -> io::Result<()> {
    const UNFINISHED: Duration = Duration::from_secs(3_600);
    let (mut total, mut kept) = (0, Vec::new());
    for entry in dir.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        // Gone by now: another process makes room, too.
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
            kept.push((used, name, metadata.len()));
        }
    }
    kept.sort();
    for (_, name, bytes) in kept {
        if total <= bytes_max {
            break;
        }
        match dir.remove_file(&name) {
            // Another process makes room at the same time.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => total -= bytes,
        }
    }
    Ok(())
}

/// Compiled code as something that can be run.
///
/// # Errors
/// When it is for another engine than this.
#[expect(unsafe_code, reason = "the engine cannot know where compiled code came from; its callers do")]
pub(crate) fn run(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is byte for byte what the engine's own compiler made. Either it was kept: its tag was accepted, and the
    // key to make one is readable by this user alone. Or it came out of a pipe that only the compiler held, a process of
    // this very program. Or, in a worker, it came through the pipe of the process that started it and had it in one of these
    // ways; whoever else starts a worker runs code with rights that they had. The engine copies it and checks version and settings itself.
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
