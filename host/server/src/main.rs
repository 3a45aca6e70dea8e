//! The program. Everything it does is a command; see `cli`. The server also starts it as a process of its own, to compile.

#![forbid(unsafe_code)]
// A number that another type cannot hold is not cut short unseen.
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
