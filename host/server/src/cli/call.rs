//! `toolgate call`: one call through the same flow as a client's.

use serde_json::{Value, json};
use toolgate_base::interrupt::Interrupt;
use toolgate_base::json::{Json, JsonLimits};
use toolgate_base::outcome::{Blame, Content, Outcome, Verdict};
use toolgate_policy::ToolName;
use toolgate_policy::call::{DeniedError, Transport};
use toolgate_policy::limits::wire::{BODY_BYTES_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};
use toolgate_policy::load::lint::{similar_prefixes, skeleton};
use toolgate_policy::redact::printable;
use toolgate_runtime::call::request::Request;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::spec::{OnRefused, Spec};
use toolgate_state::audit::record::Closed;

use super::exit::Exit;
use super::{ConfigArg, newest, output, serve};
use crate::auth;
use crate::config::Config;
use crate::mcp::content;

/// Arguments of `call`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The tool, as `toolgate tools` lists it
    tool: String,
    /// Its arguments: a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    args: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Parses the value of `--args`.
pub(super) fn arguments(text: &str) -> Result<Json, Exit> {
    let bounds = JsonLimits {
        bytes_max: usize::try_from(BODY_BYTES_MAX.ceiling).unwrap_or(usize::MAX),
        depth_max: JSON_DEPTH_MAX,
        nodes_max: JSON_NODES_MAX,
    };
    Json::parse(text.as_bytes(), bounds).map_err(|error| Exit::usage(format!("--args: {error}")))
}

/// Exit for an unknown tool.
pub(super) fn no_such_tool(tool: &str) -> Exit {
    let tool = printable(tool, 100);
    Exit::refused(format!("no tool `{tool}` is served; `toolgate tools` lists those that are"))
}

/// Exit for a call that is denied. An operator is told why.
pub(super) fn not_permitted(tool: &str, denied: &DeniedError) -> Exit {
    if *denied == DeniedError::Unknown {
        return no_such_tool(tool);
    }
    let tool = printable(tool, 100);
    Exit::refused(format!(
        "the access rules do not permit a call of `{tool}`: {denied}; see `toolgate policy explain --as local {tool}`"
    ))
}

/// A runtime on this thread.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Exit::host(&error))
}

/// Runs a call to its end; Ctrl-C cancels it.
pub(super) async fn until_ctrl_c(gate: &Gate, request: Request, interrupt: &Interrupt) -> Closed<Outcome> {
    let call = gate.call(request);
    tokio::pin!(call);
    tokio::select! {
        closed = &mut call => closed,
        _ = tokio::signal::ctrl_c() => {
            interrupt.cancel();
            call.await
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let arguments = arguments(&args.args)?;
    let config = Config::load(&args.config.config)?;
    let gate = serve::open(&config)?;
    let report = newest::load(&config, |spec| gate.start(&needed(spec, &args.tool)));
    // The reason why the tool's plugin does not load is more useful than that the tool is missing.
    if !report.serves || (!report.is_whole() && gate.now().find(&args.tool).is_none()) {
        return Err(Exit::not_loaded(&report));
    }
    let runtime = runtime()?;
    let interrupt = Interrupt::default();
    let request = Request::new(auth::parent(), args.tool.as_str(), arguments, interrupt.clone());
    let request = Request { transport: Transport::Cli, ..request };
    let closed = runtime.block_on(until_ctrl_c(&gate, request, &interrupt));
    tell(args, closed.into_inner())
}

/// Plugins that could have a tool of this name, or clash with it. No others are loaded, so that their problems do not
/// matter.
fn needed(spec: &Spec, tool: &str) -> Spec {
    let looks = |text: &str| ToolName::parse(text).map_or_else(|_| String::new(), |name| skeleton(&name));
    let prefixes = spec.plugins.iter().map(|plugin| plugin.prefix.as_str());
    let holders: Vec<&str> = prefixes.filter(|prefix| tool.starts_with(prefix)).collect();
    let is_needed = |prefix: &str| {
        looks(tool).starts_with(&looks(prefix))
            || holders.iter().any(|holder| similar_prefixes(holder, prefix))
    };
    let plugins = spec.plugins.iter().filter(|plugin| is_needed(plugin.prefix.as_str())).cloned().collect();
    Spec { plugins, on_refused: OnRefused::Skip, folders: Vec::new(), ..spec.clone() }
}

fn tell(args: &Args, outcome: Outcome) -> Result<(), Exit> {
    match outcome {
        Outcome::Answer(answer) => {
            if args.json {
                let is_error = answer.verdict == Verdict::Err;
                let (text, structured) = match &answer.content {
                    Content::Nothing => (Value::Null, Value::Null),
                    Content::Blocks { structured, .. } => {
                        (json!(answer.to_string()), structured.clone().unwrap_or_default())
                    }
                    Content::Text(text) => (json!(text), Value::Null),
                    Content::Value { text, structured } => (json!(text), structured.clone()),
                };
                let mut json = json!({ "isError": is_error, "text": text, "structuredContent": structured });
                if let (Content::Blocks { blocks, .. }, Some(json)) = (answer.content, json.as_object_mut()) {
                    json.insert("content".to_owned(), content(blocks).map_err(|error| Exit::host(&error))?);
                }
                output::print_json(&json);
            } else {
                output::print(&answer.to_string());
            }
            if answer.verdict == Verdict::Ok { Ok(()) } else { Err(Exit::failed("")) }
        }
        Outcome::Denied(denied) => Err(not_permitted(&args.tool, &denied)),
        Outcome::Fault(fault) => {
            if args.json {
                let (text, fault) = (fault.caller_text(), fault.kind().word());
                output::print_json(&json!({ "isError": true, "text": text, "fault": fault }));
            }
            match fault.blame() {
                Blame::Host => Err(Exit::host_failed(fault.log_text())),
                Blame::Caller | Blame::Plugin | Blame::Operator => {
                    output::complain(fault.operator_text());
                    Err(Exit::failed(""))
                }
            }
        }
    }
}
