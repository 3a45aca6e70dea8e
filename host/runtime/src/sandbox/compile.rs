//! Components to machine code: from the authenticated cache, else compiled here, before anybody calls.

pub(crate) mod cache;

use std::hash::{Hash as _, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use toolgate_policy::Digest;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::artifact::Artifact;
use crate::spec::EngineKind;
use crate::state::State;
use cache::Cache;

/// Compiles, and keeps what it compiled: one engine for each kind.
pub(crate) struct Compiler {
    ordinary: Kept,
    asynchronous: Kept,
}

/// An engine and the cache of what it compiled.
struct Kept {
    engine: Engine,
    cache: Cache,
}

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    /// The compiler refuses it.
    #[error("compile it: {0}")]
    Refused(String),
    /// The compiler has a flaw that it runs into.
    #[error("compile it: the compiler panicked on it; this is a flaw of the engine, not a mistake of yours")]
    Panicked,
}

impl Compiler {
    /// An engine with room for `calls_max` calls at once, and its cache in the state directory.
    ///
    /// # Errors
    /// When the engine or the cache cannot be set up.
    pub(crate) fn open(
        state: &State,
        calls_max: u32,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let kept = |kind| -> Result<Kept, Box<dyn std::error::Error + Send + Sync>> {
            let engine = super::engine::engine(calls_max, kind)?;
            let fingerprint = fingerprint(&engine);
            Ok(Kept { cache: Cache::open(state, fingerprint)?, engine })
        };
        Ok(Self { ordinary: kept(EngineKind::Sync)?, asynchronous: kept(EngineKind::Async)? })
    }

    fn kept(&self, kind: EngineKind) -> &Kept {
        match kind {
            EngineKind::Sync => &self.ordinary,
            EngineKind::Async => &self.asynchronous,
        }
    }

    pub(crate) fn engine(&self, kind: EngineKind) -> &Engine {
        &self.kept(kind).engine
    }

    /// The compiled form of these bytes.
    ///
    /// # Errors
    /// [`CompileError`]. A cache that fails costs time, not the plugin.
    pub(crate) fn component(&self, artifact: &Artifact, kind: EngineKind) -> Result<Component, CompileError> {
        let Kept { engine, cache } = self.kept(kind);
        if let Some(component) = cache.get(engine, artifact.digest()) {
            return Ok(component);
        }
        let refused = |error: wasmtime::Error| CompileError::Refused(format!("{error:#}"));
        let started = std::time::Instant::now();
        // A component that the compiler stumbles over costs itself and nothing else.
        let compiled = catch_unwind(AssertUnwindSafe(|| Component::from_binary(engine, artifact.bytes())));
        let component = compiled.map_err(|_| CompileError::Panicked)?.map_err(refused)?;
        tracing::info!(digest = %artifact.digest().short(12), ms = started.elapsed().as_millis() as u64, "compiled");
        match component.serialize() {
            Ok(code) => cache.put(artifact.digest(), &code),
            Err(error) => tracing::warn!(%error, "compiled code could not be serialised and is not cached"),
        }
        Ok(component)
    }
}

/// Tells engines apart whose compiled code the other must not run: version, settings, the machine's features.
fn fingerprint(engine: &Engine) -> String {
    let mut told = Told(Vec::new());
    engine.precompile_compatibility_hash().hash(&mut told);
    Digest::of(&told.0).short(16)
}

/// Everything that an engine tells a hasher about itself.
struct Told(Vec<u8>);

impl Hasher for Told {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Nobody asks: the digest is made of the bytes.
    fn finish(&self) -> u64 {
        0
    }
}
