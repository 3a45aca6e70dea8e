//! `toolgate policy explain`.

use super::BoundRules;
use super::answer::PolicyAnswer;
use crate::cli::call::no_such_tool;
use crate::cli::exit::Exit;
use crate::cli::{ConfigArg, output};
use crate::config::SupposedCaller;

/// Arguments of `policy explain`.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The caller: `local`, or a TOML file with kind, issuer, subject, and where wanted client, tenant, groups, scopes,
    /// actors, source, time
    #[arg(long = "as", value_name = "WHO")]
    who: String,
    /// The tool, as `toolgate tools` lists it
    tool: String,
    /// Its arguments, a JSON object: rules about arguments are asked too
    #[arg(long, value_name = "JSON")]
    args: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let bound = BoundRules::load(&args.config)?;
    let caller = SupposedCaller::read(&args.who, bound.config.auth.as_ref())?;
    let Some(answer) = PolicyAnswer::ask(&bound, &caller, &args.tool, args.args.as_deref())? else {
        // The reason why a plugin does not load says more than that the tool is missing.
        let whole = bound.report.is_whole();
        return Err(if whole { no_such_tool(&args.tool) } else { Exit::not_loaded(&bound.report) });
    };
    if args.json {
        output::print_json(&answer.as_json());
    } else {
        output::print(&answer.as_text());
    }
    if answer.is_permitted() { Ok(()) } else { Err(Exit::refused("")) }
}
