//! The compiler itself: a component's bytes to machine code. It runs wherever it is called and bounds nothing.

use toolgate_base::spec::EngineKind;
use wasmtime::OutOfMemory;

use crate::engine;

/// Why there is no machine code.
#[derive(Debug)]
pub(crate) enum CodeError {
    /// The compiler refuses it.
    Refused(String),
    /// There was not enough memory.
    Memory,
}

/// The machine code of a component, as the engine of this kind takes it.
///
/// # Errors
/// [`CodeError`].
pub(crate) fn code(component: &[u8], kind: EngineKind) -> Result<Vec<u8>, CodeError> {
    engine::compiler(kind).and_then(|engine| engine.precompile_component(component)).map_err(|error| {
        match error.is::<OutOfMemory>() {
            true => CodeError::Memory,
            false => CodeError::Refused(format!("{error:#}")),
        }
    })
}
