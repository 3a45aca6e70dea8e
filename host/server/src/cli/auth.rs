//! `toolgate auth`: whether the issuers of the configuration can be used, and whether a credential is good.

mod check;

use super::exit::Exit;

/// Subcommands of `auth`.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Fetch the keys of each issuer and say what will not work; with a token on stdin, explain each step of its verification
    ///
    /// Exit codes: 0 all is good · 1 the credential would be refused · 4 an issuer has no usable keys.
    Check(check::Args),
}

pub(super) fn run(command: &Command) -> Result<(), Exit> {
    match command {
        Command::Check(args) => check::run(args),
    }
}
