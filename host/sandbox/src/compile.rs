//! Components to machine code: from the authenticated cache, else compiled in a separate process before the first call.
//! Components may be built to exhaust the compiler; its resources are bounded, and a failure affects only its plugin.

pub(crate) mod cache;
pub(crate) mod machine;
pub mod progress;

use std::hash::{Hash as _, Hasher};
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use toolgate_policy::limits::size;

use rustix::process::Signal;
use toolgate_base::artifact::Artifact;
use toolgate_base::spec::{Compiling, EngineKind};
use toolgate_policy::limits::load::{
    COMPILE_CPU_S, COMPILE_MEMORY_BYTES_MAX, COMPILE_WAIT_S, COMPILED_BYTES_MAX, COMPILER_WORDS_BYTES_MAX,
};
use toolgate_policy::redact::printable;
use toolgate_policy::{Digest, PluginName};
use toolgate_state::StateDir;
use toolgate_state::audit::Recorder;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::worker::rlimits::ProcessLimits;
use crate::worker::{self, End, ProcessExit, ProcessSpec};
use cache::Cache;
use machine::CodeError;
use progress::Watch;

/// Compiler and cache, with one engine of each kind.
pub struct Compiler {
    ordinary: CachedEngine,
    asynchronous: CachedEngine,
    compiling: Compiling,
    /// Reports plugins that take long to compile.
    pub watch: Watch,
}

/// An engine and the cache of its compiled code.
struct CachedEngine {
    engine: Engine,
    cache: Cache,
}

/// Argument that starts the program as a compiler. Further arguments: engine, CPU seconds, bytes of memory.
pub(crate) const COMPILE: &str = "__compile";

/// Exit code if the compiler refuses the component; the reason is on stderr.
pub(crate) const REFUSED: u8 = 1;

/// Exit code of any other failure; the reason is on stderr.
pub(crate) const FAILED: u8 = 2;

/// Exit code if memory runs out.
pub(crate) const NO_MEMORY: u8 = 3;

/// Exit code of a panic.
const PANICKED: i32 = 101;

/// Reason that a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler refused it.
    #[error("compile it: {0}")]
    Refused(String),
    /// CPU time limit exceeded.
    #[error(
        "compile it: that took more than {0} seconds of the processor ({name} = {0}); if you trust it, raise that in [server.limits]",
        name = COMPILE_CPU_S.name
    )]
    Time(u64),
    /// Memory limit exceeded.
    #[error(
        "compile it: that took more than {0} bytes of memory ({name} = {0}); if you trust it, raise that in [server.limits]",
        name = COMPILE_MEMORY_BYTES_MAX.name
    )]
    Memory(u64),
    /// Machine code too large.
    #[error(
        "compile it: its machine code has more than {COMPILED_BYTES_MAX} bytes; make the component smaller"
    )]
    Output,
    /// The compiler made no progress until its wall-clock limit, and was killed.
    #[error("compile it: the compiler had not ended after {0} seconds and was ended; load the plugin again")]
    Stuck(u64),
    /// The compiler was killed by a signal that Toolgate did not send.
    #[error(
        "compile it: the compiler was ended by signal {0}, which Toolgate did not send; see whether the machine ran out of memory, and load the plugin again"
    )]
    Ended(i32),
    /// The compiler crashed: a flaw of the engine.
    #[error("compile it: the compiler crashed on it; this is a flaw of the engine, not a mistake of yours")]
    Crashed,
    /// The compiler could not be started.
    #[error("compile it: start the compiler: {0}")]
    NotStarted(String),
    /// The compiled code does not fit this process.
    #[error("compile it: {0}; if the program's file was replaced since it was started, start it again")]
    Foreign(String),
}

impl Compiler {
    /// Sets up engines for `calls_max` concurrent calls, with caches in `state`. Tampering is reported to `audit`.
    ///
    /// # Errors
    /// An engine or a cache cannot be set up.
    pub fn open(
        state: &StateDir,
        calls_max: u32,
        compiling: Compiling,
        audit: &Arc<Recorder>,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let cached = |kind| -> Result<CachedEngine, Box<dyn std::error::Error + Send + Sync>> {
            let engine = super::engine::engine(calls_max, kind)?;
            let fingerprint = fingerprint(&engine);
            Ok(CachedEngine { cache: Cache::open(state, fingerprint, Arc::clone(audit))?, engine })
        };
        let (ordinary, asynchronous) = (cached(EngineKind::Sync)?, cached(EngineKind::Async)?);
        Ok(Self { ordinary, asynchronous, compiling, watch: Watch::default() })
    }

    fn cached_engine(&self, kind: EngineKind) -> &CachedEngine {
        match kind {
            EngineKind::Sync => &self.ordinary,
            EngineKind::Async => &self.asynchronous,
        }
    }

    /// Program to start in separate processes; `None` if all runs in this one.
    pub(crate) fn program(&self) -> Option<&Path> {
        match &self.compiling {
            Compiling::Apart { program, .. } => Some(program),
            Compiling::Here => None,
        }
    }

    pub(crate) fn engine(&self, kind: EngineKind) -> &Engine {
        &self.cached_engine(kind).engine
    }

    /// Returns the compiled form of an artifact. Blocks while it is compiled.
    ///
    /// # Errors
    /// [`CompileError`]. A failing cache only costs time.
    pub(crate) fn component(
        &self,
        plugin: &PluginName,
        artifact: &Artifact,
        kind: EngineKind,
    ) -> Result<Component, CompileError> {
        let CachedEngine { engine, cache } = self.cached_engine(kind);
        if let Some(component) = cache.get(engine, artifact.digest()) {
            return Ok(component);
        }
        let started = Instant::now();
        let compile = || match &self.compiling {
            Compiling::Apart { program, cpu_s, memory_bytes_max } => {
                let bounds = ProcessLimits { cpu_s: *cpu_s, memory_bytes_max: *memory_bytes_max };
                apart(program, bounds, artifact.bytes(), kind)
            }
            Compiling::Here => here(artifact.bytes(), kind),
        };
        let code = self.watch.over(plugin.as_str(), artifact.bytes().len() as u64, compile)?;
        let component =
            cache::run(engine, &code).map_err(|error| CompileError::Foreign(format!("{error:#}")))?;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(digest = %artifact.digest().short(12), ms, "compiled");
        cache.put(artifact.digest(), &code);
        Ok(component)
    }
}

/// Compiles in a separate process, so that a component cannot exhaust this one.
fn apart(
    program: &Path,
    bounds: ProcessLimits,
    component: &[u8],
    kind: EngineKind,
) -> Result<Vec<u8>, CompileError> {
    let [cpu_s, memory_bytes_max] = bounds.to_args();
    let (least_s, times) = COMPILE_WAIT_S;
    let time_s = bounds.cpu_s.saturating_mul(times).saturating_add(least_s);
    let task = ProcessSpec {
        program,
        args: vec![COMPILE.to_owned(), kind.word().to_owned(), cpu_s, memory_bytes_max],
        input: component,
        output_bytes_max: COMPILED_BYTES_MAX,
        words_bytes_max: COMPILER_WORDS_BYTES_MAX,
        time: Duration::from_secs(time_s),
    };
    let not_started = |error| CompileError::NotStarted(format!("{}: {error}", program.display()));
    let ended = worker::run(&task).map_err(not_started)?;
    match ended.end {
        End::Code(0) => Ok(ended.output),
        End::Time => Err(CompileError::Stuck(time_s)),
        End::Output => Err(CompileError::Output),
        End::Code(code) => Err(by_code(code, &ended, bounds)),
        End::Signal(signal) => Err(by_signal(signal, &ended, bounds)),
    }
}

fn by_code(code: i32, ended: &ProcessExit, bounds: ProcessLimits) -> CompileError {
    let words = printable(&ended.words, size(COMPILER_WORDS_BYTES_MAX));
    match code {
        _ if code == i32::from(REFUSED) => CompileError::Refused(words),
        _ if code == i32::from(NO_MEMORY) => CompileError::Memory(bounds.memory_bytes_max),
        PANICKED if had_no_memory(ended) => CompileError::Memory(bounds.memory_bytes_max),
        PANICKED => {
            tracing::error!(words, "the compiler panicked");
            CompileError::Crashed
        }
        _ => CompileError::NotStarted(words),
    }
}

fn by_signal(signal: i32, ended: &ProcessExit, bounds: ProcessLimits) -> CompileError {
    let is = |other: Signal| signal == other.as_raw();
    if is(Signal::XCPU) {
        return CompileError::Time(bounds.cpu_s);
    }
    if is(Signal::ABORT) && had_no_memory(ended) {
        return CompileError::Memory(bounds.memory_bytes_max);
    }
    if is(Signal::ABORT) || is(Signal::SEGV) || is(Signal::BUS) || is(Signal::ILL) || is(Signal::FPE) {
        tracing::error!(signal, words = printable(&ended.words, 500), "the compiler crashed");
        return CompileError::Crashed;
    }
    CompileError::Ended(signal)
}

/// Whether the compiler ran out of memory: recognised by the messages of the standard library, of the engine, or of a
/// system that cannot start another thread.
fn had_no_memory(ended: &ProcessExit) -> bool {
    const WORDS: [&str; 3] =
        ["memory allocation of ", "out of memory (failed to allocate ", "Resource temporarily unavailable"];
    WORDS.iter().any(|words| ended.words.contains(words))
}

/// Compiles in this process. A panic of the compiler fails only this component.
fn here(component: &[u8], kind: EngineKind) -> Result<Vec<u8>, CompileError> {
    let compiled = catch_unwind(|| machine::code(component, kind)).map_err(|_| CompileError::Crashed)?;
    compiled.map_err(|why| match why {
        CodeError::Refused(text) => CompileError::Refused(text),
        CodeError::Memory => CompileError::Refused("there is not enough memory".to_owned()),
    })
}

/// Identifies engines whose compiled code is compatible: version, settings, CPU features.
fn fingerprint(engine: &Engine) -> String {
    let mut bytes = HashedBytes(Vec::new());
    engine.precompile_compatibility_hash().hash(&mut bytes);
    Digest::of(&bytes.0).short(16)
}

/// Collects all bytes that an engine passes to a hasher.
struct HashedBytes(Vec<u8>);

impl Hasher for HashedBytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Unused: the digest is computed from the bytes.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_that_compiles_makes_what_the_engine_that_runs_takes() {
        for kind in EngineKind::ALL {
            let runs = crate::engine::engine(1, kind).expect("the engine starts");
            let compiles = crate::engine::compiler(kind).expect("the engine starts");
            assert_eq!(fingerprint(&runs), fingerprint(&compiles));
        }
    }
}
