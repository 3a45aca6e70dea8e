//! The compiler: a component's bytes to machine code. It runs in the calling process and enforces no limits.

use toolgate_base::spec::EngineKind;
use wasmtime::OutOfMemory;

use crate::engine;

/// Reason that a component was not compiled.
#[derive(Debug)]
pub(crate) enum CodeError {
    /// The compiler refused it.
    Refused(String),
    /// Out of memory.
    Memory,
}

/// Compiles a component for the engine of this kind.
pub(crate) fn code(component: &[u8], kind: EngineKind) -> Result<Vec<u8>, CodeError> {
    engine::compiler(kind).and_then(|engine| engine.precompile_component(component)).map_err(|error| {
        match error.is::<OutOfMemory>() {
            true => CodeError::Memory,
            false => CodeError::Refused(format!("{error:#}")),
        }
    })
}
