//! Classifies engine errors: cause, and whose fault. The only code that looks at their texts.

use toolgate_base::meter::StopError;
use toolgate_base::outcome::{Fault, FaultKind};
use toolgate_policy::limits::call::CallLimit;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::memory::Refused;

/// Facts about a call whose guest stopped with an error.
pub(super) struct Circumstances<'a> {
    /// Values of its limits.
    pub(super) limit: &'a dyn Fn(CallLimit) -> u64,
    /// Reason that a growth of memory was refused.
    pub(super) refused: Option<Refused>,
    /// Whether the shared budget left the host less memory for the guest's data than usual.
    pub(super) is_cramped: bool,
    /// End of the guest's output, which may give the reason.
    pub(super) last_words: &'a str,
}

/// Classifies an error.
pub(super) fn fault(error: &wasmtime::Error, known: &Circumstances<'_>) -> Fault {
    let limit = |which: CallLimit| Fault::limit(which, (known.limit)(which));
    if let Some(stop) = error.downcast_ref::<StopError>() {
        return match stop {
            StopError::Limit(which) => limit(*which),
            StopError::Budget => Fault::no_memory(),
            StopError::Exit(status) => Fault::new(
                FaultKind::Exit,
                format!("the tool ended itself with status {status} instead of answering"),
            )
            .logging_last_words(known.last_words),
            StopError::Grant(text) => Fault::new(FaultKind::Grant, text.clone()),
        };
    }
    match known.refused {
        Some(Refused::Limit) => return limit(CallLimit::Memory),
        Some(Refused::Budget) => return Fault::no_memory(),
        None => {}
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        let text = "the host has no sandbox left for this call; try again later";
        return Fault::new(FaultKind::Budget, text).logged(&error.to_string());
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return match trap {
            Trap::OutOfFuel => limit(CallLimit::Fuel),
            Trap::StackOverflow => Fault::new(FaultKind::Trap, "the tool crashed: it recursed too deeply"),
            _ => {
                let what = trap.to_string();
                let what = what.strip_prefix("wasm trap: ").unwrap_or(&what);
                Fault::new(FaultKind::Trap, format!("the tool crashed: {what}"))
                    .logging_last_words(known.last_words)
            }
        };
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return limit(CallLimit::Handles);
    }
    untyped(&format!("{error:#}"), known.is_cramped, limit)
}

/// Classifies errors that have no type by their messages; each has a test that provokes it.
fn untyped(text: &str, is_cramped: bool, limit: impl Fn(CallLimit) -> Fault) -> Fault {
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        if is_cramped {
            return Fault::no_memory();
        }
        return limit(CallLimit::Output).logged("one crossing carried more than the host keeps for it");
    }
    if text.contains("store handle limit exceeded") {
        return limit(CallLimit::Handles);
    }
    Fault::new(FaultKind::Trap, "the tool broke the rules between component and host").logged(text)
}
