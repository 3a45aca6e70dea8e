//! `toolgate learn`: runs a tool with what it is not granted refused and noted, and prints the grant that would have let
//! through what was refused, and nothing else.

use std::collections::BTreeSet;
use std::path::PathBuf;

use toolgate_policy::capability::attempt::{Attempt, Judged};
use toolgate_policy::limits::call::LEARN_TIMES_MAX;
use toolgate_policy::load::Grants;
use toolgate_policy::load::learn::{Lesson, in_force, lesson};
use toolgate_policy::redact::{printable, printable_lines};
use toolgate_runtime::call::request::Request;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::json::Json;
use toolgate_runtime::outcome::{FaultKind, Outcome};
use toolgate_runtime::reconcile::{Loaded, Report};
use toolgate_runtime::sandbox::interrupt::Interrupt;
use toolgate_runtime::spec::{Approvals, Spec};

use super::exit::Exit;
use super::explain::find;
use super::{ConfigArg, call, output, serve};
use crate::auth::local;
use crate::config::{Config, Instead};

/// What `learn` takes.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The plugin, by its name in the configuration
    plugin: String,
    /// The tool, as `toolgate tools` lists it
    tool: String,
    /// Its arguments: a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    args: String,
    /// How many calls to make
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(LEARN_TIMES_MAX)))]
    times: u16,
    /// Run it with the grant of this file, such as one that `learn` printed, instead of its own
    #[arg(long, value_name = "FILE", conflicts_with = "bare")]
    grant_file: Option<PathBuf>,
    /// Run it without its own grant
    #[arg(long)]
    bare: bool,
}

/// Characters of an answer that are shown.
const SHOWN_CHARS_MAX: usize = 500;

/// What came of the calls.
#[derive(Default)]
struct Heard {
    calls: u16,
    refused: BTreeSet<Attempt>,
    not_listed: u64,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let arguments = call::arguments(&args.args)?;
    let instead = args.grant_file.as_deref().map(|file| Instead { plugin: &args.plugin, file });
    let config = Config::load_with(&args.config.config, instead.as_ref())?;
    let (_, spec) = find(&config, &args.plugin)?;
    let mut spec = spec.clone();
    let present = if args.bare { Grants::default() } else { spec.grants.clone() };
    let not_loaded = |why| {
        Exit::not_loaded(&Report {
            plugins: vec![(spec.name.clone(), Loaded::Not { why, instead: None })],
            serves: false,
            problem: None,
        })
    };
    let gate = serve::open(&config)?;
    let asked = gate.asked(&spec, &config.spec.trust).map_err(not_loaded)?;
    // A guest that sees no folder cannot even ask for one. This one is empty, and every use of it is refused.
    let empty = tempfile::Builder::new()
        .prefix("toolgate-learn-")
        .tempdir()
        .map_err(|error| Exit::host(&std::io::Error::other(format!("make an empty folder: {error}"))))?;
    spec.grants = in_force(present.clone(), &asked, &empty.path().to_string_lossy());
    // Whoever learns is about to approve.
    let alone = Spec { plugins: vec![spec.clone()], approvals: Approvals::NotAsked, ..config.spec.clone() };
    let report = gate.start(&alone);
    if report.problem.is_some()
        || report.plugins.iter().any(|(_, loaded)| matches!(loaded, Loaded::Not { .. }))
    {
        return Err(Exit::not_loaded(&report));
    }
    let heard = listen(args, &gate, &arguments)?;
    let lesson = lesson(&present, &asked, &heard.refused);
    output::print(&told(args, &heard, &lesson));
    Ok(())
}

/// Makes the calls, and says on stderr how each ended.
fn listen(args: &Args, gate: &Gate, arguments: &Json) -> Result<Heard, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::host(&error))?;
    let mut heard = Heard::default();
    for number in 1..=args.times {
        let interrupt = Interrupt::default();
        let request = Request::new(local::parent(), args.tool.as_str(), arguments.clone(), interrupt.clone());
        let request = Request { learning: true, ..request };
        let closed = runtime.block_on(call::until_ctrl_c(gate, request, &interrupt));
        let (attempts, not_listed) = closed.attempts();
        let refused = attempts.into_iter().filter(|(_, judged)| *judged == Judged::Refused);
        heard.refused.extend(refused.map(|(attempt, _)| attempt));
        heard.not_listed += not_listed;
        let ended = match closed.get() {
            Outcome::Denied(_) => return Err(call::no_such_tool(&args.tool)),
            Outcome::Answer(answer) => format!("it answered: {answer}"),
            Outcome::Fault(fault) => fault.log_text().to_owned(),
        };
        output::complain(&format!("call {number}: {}", printable_lines(&ended, SHOWN_CHARS_MAX)));
        heard.calls = number;
        if matches!(closed.get(), Outcome::Fault(fault) if fault.kind() == FaultKind::Cancelled) {
            break;
        }
    }
    Ok(heard)
}

/// TOML that can be pasted: all but the grant itself are comments, and no text of the plugin's can end one.
fn told(args: &Args, heard: &Heard, lesson: &Lesson) -> String {
    let (plugin, tool) = (printable(&args.plugin, 100), printable(&args.tool, 100));
    let base = match (&args.grant_file, args.bare) {
        (Some(file), _) => format!("with the grant of {}", printable(&file.display().to_string(), 300)),
        (None, true) => "without any grant".to_owned(),
        (None, false) => "with its present grant".to_owned(),
    };
    let mut lines = vec![format!("# {tool} of {plugin}, {base}, was refused in {} call(s):", heard.calls)];
    lines.extend(heard.refused.iter().map(|attempt| format!("#   {}", printable(&attempt.to_string(), 500))));
    if heard.refused.is_empty() {
        lines.push("#   nothing".to_owned());
    } else {
        lines.push("# A program often stops at its first refusal: with this grant, learn again.".to_owned());
    }
    if heard.not_listed > 0 {
        lines.push(format!("# {} more attempts had no room in the record.", heard.not_listed));
    }
    lines.extend(lesson.remarks.iter().map(|remark| format!("# {}", printable(remark, 1_000))));
    lines.push("[plugin.grant]".to_owned());
    lines.extend(lesson.lines.iter().cloned());
    lines.join("\n")
}
