//! Entry point of child processes (compiler, worker). Limits come from the arguments and apply before any input is read
//! (a component, or calls). A child has no configuration, state or environment, and opens no files or connections.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use toolgate_base::spec::EngineKind;
use toolgate_policy::limits::load::COMPONENT_BYTES_MAX;

use crate::compile::machine::{self, CodeError};
use crate::compile::{COMPILE, FAILED, NO_MEMORY, REFUSED};
use crate::isolated::{WORKER, worker_main};
use crate::worker::rlimits::{self, ProcessLimits};

/// Runs a child role if the first argument names one; returns `None` for an ordinary start of the program. Call it
/// first in `main`, with the arguments after the program's name.
#[expect(clippy::disallowed_methods, reason = "the server reads this, and no terminal")]
pub fn run(args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.map(|arg| arg.into_string().unwrap_or_default());
    let role = args.next()?;
    let work = match role.as_str() {
        COMPILE => compile,
        WORKER => work,
        _ => return None,
    };
    let args: Vec<String> = args.take(4).collect();
    Some(match work(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, text)) => {
            // The parent may have closed its end already.
            drop(io::stderr().write_all(text.as_bytes()));
            ExitCode::from(code)
        }
    })
}

/// Disables core dumps for this process and the processes that it starts.
///
/// # Errors
/// The error of the system call.
pub fn forbid_core_dumps() -> io::Result<()> {
    rlimits::no_core_dump()
}

fn arguments(args: &[String]) -> Option<(EngineKind, ProcessLimits)> {
    let [engine, cpu_s, memory_bytes_max] = args else { return None };
    let engine = EngineKind::ALL.into_iter().find(|kind| kind.word() == engine)?;
    Some((engine, ProcessLimits::from_args([cpu_s, memory_bytes_max])?))
}

/// Reads calls from stdin and writes their results to stdout.
fn work(args: &[String]) -> Result<(), (u8, String)> {
    worker_main::run(args).map_err(|why| (FAILED, why))
}

/// Reads a component from stdin and writes its machine code to stdout.
#[expect(clippy::disallowed_methods, reason = "the server reads this, and no terminal")]
fn compile(args: &[String]) -> Result<(), (u8, String)> {
    let failed = |error: &dyn std::fmt::Display| (FAILED, error.to_string());
    let Some((engine, bounds)) = arguments(args) else {
        return Err(failed(&"its arguments are an engine, seconds and bytes"));
    };
    bounds.enter().map_err(|error| failed(&format!("its limits cannot be set: {error}")))?;
    let mut component = Vec::new();
    io::stdin().take(COMPONENT_BYTES_MAX).read_to_end(&mut component).map_err(|error| failed(&error))?;
    let code = machine::code(&component, engine).map_err(|why| match why {
        CodeError::Refused(text) => (REFUSED, text),
        CodeError::Memory => (NO_MEMORY, String::new()),
    })?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&code).and_then(|()| stdout.flush()).map_err(|error| failed(&error))
}
