//! The program. Everything it does is a command; see `cli`.
#![forbid(unsafe_code)]

mod cli;

mod drain;
mod reload;

mod auth;
mod config;
mod mcp;
mod transport;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
