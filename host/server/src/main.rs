//! The program. Everything it does is a command; see `cli`. The server also runs it as a child process, to compile.

#![forbid(unsafe_code)]
// Lossy numeric casts are reported.
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod cli;

mod drain;
mod reload;

mod auth;
mod config;
mod mcp;
mod notices;
mod transport;
mod upkeep;

use std::process::ExitCode;

fn main() -> ExitCode {
    match toolgate_sandbox::child::run(std::env::args_os().skip(1)) {
        Some(code) => code,
        None => cli::main(),
    }
}
