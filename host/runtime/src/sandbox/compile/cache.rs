//! Compiled code that was kept. A forged file here would be native code in this process, so each carries a tag (HMAC)
//! under a key that lies elsewhere, over its digest, its engine and its bytes: a file that is damaged, forged, or put under
//! another's name is not believed, not run, and compiled anew. The only `unsafe` in Toolgate.

use std::io::{self, Read as _, Write as _};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use toolgate_policy::Digest;
use toolgate_policy::limits::load::COMPILED_BYTES_MAX;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::signature::mac::{MacKey, TAG_BYTES};
use crate::state::State;

/// The cache of one engine.
pub(crate) struct Cache {
    dir: Dir,
    key: MacKey,
    fingerprint: String,
}

impl Cache {
    pub(super) fn open(state: &State, fingerprint: String) -> io::Result<Self> {
        let keys = state.dir("keys")?;
        Ok(Self { dir: state.dir("cache")?, key: MacKey::load_or_make(&keys, "cache.key")?, fingerprint })
    }

    /// The component of this digest, if a genuine one was kept.
    pub(super) fn get(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let name = self.name(digest);
        let kept = match self.read(&name) {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, name, "a cached file cannot be read; the plugin is compiled anew");
                return None;
            }
        };
        let (tag, code) = kept.split_at_checked(TAG_BYTES)?;
        if !self.key.accepts(&[digest.as_bytes(), self.fingerprint.as_bytes(), code], tag) {
            tracing::error!(
                name,
                "ALARM: a cached file is damaged or forged; it is not used, the plugin is compiled anew"
            );
            return None;
        }
        match deserialize(engine, code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(%error, name, "cached code does not fit this engine; the plugin is compiled anew");
                None
            }
        }
    }

    /// Keeps compiled code. A failure costs the next start some time and nothing else.
    pub(super) fn put(&self, digest: Digest, code: &[u8]) {
        let name = self.name(digest);
        let fresh = format!(".{name}.{}", std::process::id());
        let kept = (|| {
            let mut options = OpenOptions::new();
            let mut file =
                self.dir.open_with(&fresh, options.write(true).create(true).truncate(true).mode(0o600))?;
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

    fn name(&self, digest: Digest) -> String {
        format!("{}-{}.cwasm", digest.hex(), self.fingerprint)
    }

    /// One read into memory of our own: what is checked is what is run, whatever becomes of the file meanwhile.
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = self.dir.open(name)?;
        let mut kept = Vec::with_capacity(usize::try_from(file.metadata()?.len()).unwrap_or_default());
        file.take(COMPILED_BYTES_MAX).read_to_end(&mut kept)?;
        Ok(kept)
    }
}

#[expect(unsafe_code, reason = "the engine cannot know where compiled code came from; the tag above does")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is byte for byte what `Component::serialize` gave this installation: its tag was accepted, and the
    // key to make one is readable by this user alone. The engine copies it and checks version and settings itself.
    unsafe { Component::deserialize(engine, code) }
}
