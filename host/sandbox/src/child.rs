//! What a process of ours does inside: it compiles, or it works. It takes its bounds from its arguments, enters them, and only
//! then reads its input: a component, or calls. It has no configuration, no state and no environment, and opens neither files nor connections.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use toolgate_base::spec::EngineKind;
use toolgate_policy::limits::load::COMPONENT_BYTES_MAX;

use crate::compile::machine::{self, CodeError};
use crate::compile::{COMPILE, FAILED, NO_MEMORY, REFUSED};
use crate::isolated::{WORKER, worker_main};
use crate::worker::rlimits::{self, ProcessLimits};

/// Does what the arguments say, if they are those of a process of ours; else this is an ordinary start of the program. To be
/// called first thing in `main`, with the arguments after the program's name.
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
            // Nobody may be listening any more.
            drop(io::stderr().write_all(text.as_bytes()));
            ExitCode::from(code)
        }
    })
}

/// Makes sure that no core dump of this process is taken, nor of those that it starts.
///
/// # Errors
/// When the system does not do so.
pub fn forbid_core_dumps() -> io::Result<()> {
    rlimits::no_core_dump()
}

fn arguments(args: &[String]) -> Option<(EngineKind, ProcessLimits)> {
    let [engine, cpu_s, memory_bytes_max] = args else { return None };
    let engine = EngineKind::ALL.into_iter().find(|kind| kind.word() == engine)?;
    Some((engine, ProcessLimits::from_args([cpu_s, memory_bytes_max])?))
}

/// Calls on stdin, what they came to on stdout.
fn work(args: &[String]) -> Result<(), (u8, String)> {
    worker_main::run(args).map_err(|why| (FAILED, why))
}

/// A component on stdin, its machine code on stdout.
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
