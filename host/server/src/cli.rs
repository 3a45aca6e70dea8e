//! The command line: one file for each command. Arguments and exit codes are a stable contract.

mod apikey;
mod auth;
mod bundle;
mod call;
mod check;
mod component;
mod connect;
mod edit;
mod exit;
mod explain;
mod init;
mod inspect;
mod key;
mod learn;
mod newest;
mod output;
mod pack;
mod place;
mod plugin;
mod policy;
mod progress;
mod push;
mod serve;
mod sign;
mod tools;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use exit::Exit;

/// Serve WebAssembly tools over MCP: verified, granted, sandboxed per call.
///
/// Plugins are WebAssembly components. Toolgate loads those that the trust policy trusts, gives each what its grant says and
/// nothing more, runs every call in a fresh sandbox, and serves each exported function as an MCP tool.
#[derive(Parser)]
#[command(name = "toolgate", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done · 1 the thing asked for failed · 2 usage or configuration · \
3 refused by trust, grant or policy · 4 the host failed.\n\nTOOLGATE_LOG sets the log's level, such as info, debug or toolgate_net=debug.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a folder with a commented toolgate.toml, a trust.toml and a signing key
    Init(init::Args),
    /// Show or write what a client needs to use this server, and check that the server answers
    Connect(connect::Args),
    /// Serve MCP over Streamable HTTP (at /mcp), or over stdio
    Serve(serve::Args),
    /// Load everything as `serve` would, and report what would serve and what would not
    Check(PrintArgs),
    /// Show a component's tools, imports and required capabilities (does not run it)
    Inspect(inspect::Args),
    /// Call one tool as a client would
    Call(call::Args),
    /// List the tools that would serve, and what each may touch
    Tools(PrintArgs),
    /// Show what a plugin can reach and why, or whether it may do one thing
    Explain(explain::Args),
    /// Run a tool, refuse what it is not granted, and print the grant that it would need
    Learn(learn::Args),
    /// Manage plugins: add, list, compare, approve, remove, revoke
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Generate signing keys
    #[command(subcommand)]
    Key(key::Command),
    /// Check, show, explain and test access rules: who may call what
    #[command(subcommand)]
    Policy(policy::Command),
    /// Check the issuers of tokens, and explain why a token is good or not
    #[command(subcommand)]
    Auth(auth::Command),
    /// Make, list and revoke API keys of callers
    #[command(subcommand)]
    Apikey(apikey::Command),
    /// Write descriptions and other metadata into a component
    Pack(pack::Args),
    /// Sign a component
    Sign(sign::Args),
    /// Check who signed a component, and whether that satisfies the trust policy
    Verify(verify::Args),
    /// Push a component and its signatures to a registry
    Push(push::Args),
    /// Export and import components with their signatures, for machines without a registry
    #[command(subcommand)]
    Bundle(bundle::Command),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Path of the configuration.
#[derive(clap::Args)]
struct ConfigArg {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "toolgate.toml", global = true)]
    config: PathBuf,
}

/// Arguments of a command that prints something about a configuration.
#[derive(clap::Args)]
struct PrintArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the requested command.
pub(crate) fn main() -> ExitCode {
    output::catch_panics();
    if let Err(error) = toolgate_sandbox::child::forbid_core_dumps() {
        return exit::code(Err(Exit::host_failed(format!("core dumps cannot be switched off: {error}"))));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    exit::code(run(cli.command))
}

fn run(command: Command) -> Result<(), Exit> {
    let level = if matches!(command, Command::Serve(_)) { "info" } else { "warn" };
    output::log(level);
    match command {
        Command::Init(args) => init::run(&args),
        Command::Connect(args) => connect::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Call(args) => call::run(&args),
        Command::Tools(args) => tools::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Learn(args) => learn::run(&args),
        Command::Plugin(command) => plugin::run(&command),
        Command::Key(command) => key::run(&command),
        Command::Policy(command) => policy::run(&command),
        Command::Auth(command) => auth::run(&command),
        Command::Apikey(command) => apikey::run(&command),
        Command::Pack(args) => pack::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Push(args) => push::run(&args),
        Command::Bundle(command) => bundle::run(&command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "toolgate", &mut script);
            output::print(&String::from_utf8_lossy(&script));
            Ok(())
        }
    }
}
