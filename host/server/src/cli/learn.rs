//! `toolgate learn`: runs a tool, records what is refused for lack of a grant, and prints the smallest grant that
//! allows it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use toolgate_base::interrupt::Interrupt;
use toolgate_base::json::Json;
use toolgate_base::outcome::{FaultKind, Outcome};
use toolgate_base::spec::PluginSpec;
use toolgate_policy::call::Transport;
use toolgate_policy::capability::attempt::{Attempt, AttemptVerdict};
use toolgate_policy::limits::call::LEARN_TIMES_MAX;
use toolgate_policy::load::learn::{GrantProposal, in_force, lesson};
use toolgate_policy::load::{Grants, Pin};
use toolgate_policy::redact::{printable, printable_lines};
use toolgate_runtime::call::request::Request;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::load::Kind;
use toolgate_runtime::reconcile::{LoadReport, Loaded};
use toolgate_runtime::spec::Approvals;

use super::exit::Exit;
use super::explain::find;
use super::{ConfigArg, call, newest, output, serve};
use crate::auth;
use crate::config::Config;

/// Arguments of `learn`.
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
    /// Number of calls
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(LEARN_TIMES_MAX)))]
    times: u16,
    /// Run it with the grant of this file, such as one that `learn` printed, instead of its own
    #[arg(long, value_name = "FILE", conflicts_with = "bare")]
    grant_file: Option<PathBuf>,
    /// Run it without its own grant, as bytes that are not approved always are
    #[arg(long)]
    bare: bool,
}

/// Characters shown of an answer.
const SHOWN_CHARS_MAX: usize = 500;

/// Results of the calls.
#[derive(Default)]
struct Observed {
    calls: u16,
    refused: BTreeSet<Attempt>,
    not_listed: u64,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let arguments = call::arguments(&args.args)?;
    let instead = args.grant_file.as_deref().map(|file| (args.plugin.as_str(), file));
    let config = Config::load_with(&args.config.config, instead)?;
    let (_, spec) = find(&config, &args.plugin)?;
    let gate = serve::open(&config)?;
    let asked = gate.asked(spec, &config.spec.trust).map_err(|why| {
        let why = Arc::new(why);
        Exit::not_loaded(&LoadReport {
            plugins: vec![(spec.name.clone(), Loaded::Not { why, instead: None })],
            ..LoadReport::default()
        })
    })?;
    // A guest without any folder could not attempt to open files. This one is empty, and every use of it is refused.
    let empty = tempfile::Builder::new()
        .prefix("toolgate-learn-")
        .tempdir()
        .map_err(|error| Exit::host(&std::io::Error::other(format!("make an empty folder: {error}"))))?;
    let granted = |present: &Grants| {
        let grants = in_force(present.clone(), &asked, &empty.path().to_string_lossy());
        PluginSpec { grants, ..spec.clone() }
    };
    let (base, present, spec, approvals) = match approvals(args, &config, &gate, &granted(&spec.grants))? {
        Some(approvals) => (asked_for(args), spec.grants.clone(), granted(&spec.grants), approvals),
        None => {
            let bare = PluginSpec { secrets: BTreeMap::new(), ..granted(&Grants::default()) };
            (WITHOUT.to_owned(), Grants::default(), bare, Approvals::NotAsked)
        }
    };
    let alone = config.spec.of(spec, approvals);
    // The approval is checked once more here, for the very bytes that run.
    let report = newest::look(&config.policy, alone, |spec| ((), gate.start(spec))).1;
    if !report.is_whole() {
        return Err(Exit::not_loaded(&report));
    }
    let observed = listen(args, &gate, &arguments)?;
    let lesson = lesson(&present, &asked, &observed.refused);
    output::print(&proposal_text(args, &base, &observed, &lesson));
    Ok(())
}

/// Description of the grant that the operator asked for.
fn asked_for(args: &Args) -> String {
    match (&args.grant_file, args.bare) {
        (Some(file), _) => format!("with the grant of {}", printable(&file.display().to_string(), 300)),
        (None, true) => WITHOUT.to_owned(),
        (None, false) => "with its present grant".to_owned(),
    }
}

const WITHOUT: &str = "without any grant";

/// Approvals under which the plugin may have the requested grant; `None` if it runs without one. Unapproved bytes get
/// none. The grant may differ from the approved one: it is the operator's own.
fn approvals(
    args: &Args,
    config: &Config,
    gate: &Gate,
    spec: &PluginSpec,
) -> Result<Option<Approvals>, Exit> {
    if args.bare {
        return Ok(None);
    }
    let Approvals::Asked(pins) = &config.spec.approvals else { return Ok(Some(Approvals::NotAsked)) };
    if let Some(pin) = pins.get(&spec.name).filter(|pin| pin.revoked.is_none()) {
        let pin = Pin { grant: spec.grants.written(), ..pin.clone() };
        let approvals = Approvals::Asked([(spec.name.clone(), pin)].into());
        let alone = config.spec.of(spec.clone(), approvals.clone());
        let report = newest::look(&config.policy, alone, |spec| ((), gate.reconciler.look(spec).1)).1;
        match report.plugins.as_slice() {
            [(_, Loaded::Ready { .. })] => return Ok(Some(approvals)),
            [(_, Loaded::Not { why, .. })] if why.kind() == Kind::Held => {}
            _ => return Err(Exit::not_loaded(&report)),
        }
    }
    let name = &spec.name;
    if args.grant_file.is_some() {
        return Err(Exit::refused(format!(
            "plugin {name}: these bytes are not approved, so --grant-file grants them nothing; leave it out to run them without \
             any grant, or look at them (`toolgate plugin diff {name}`) and approve them"
        )));
    }
    output::complain(&format!(
        "plugin {name}: these bytes are not approved: they run without any grant and any secret, as with --bare \
         (`toolgate plugin diff {name}` shows them)"
    ));
    Ok(None)
}

/// Makes the calls, and reports on stderr how each ended.
fn listen(args: &Args, gate: &Gate, arguments: &Json) -> Result<Observed, Exit> {
    let runtime = call::runtime()?;
    let mut observed = Observed::default();
    for number in 1..=args.times {
        let interrupt = Interrupt::default();
        let request = Request::new(auth::parent(), args.tool.as_str(), arguments.clone(), interrupt.clone());
        let request = Request { learning: true, transport: Transport::Cli, ..request };
        let closed = runtime.block_on(call::until_ctrl_c(gate, request, &interrupt));
        let (attempts, not_listed) = closed.attempts();
        let refused = attempts.into_iter().filter(|(_, judged)| *judged == AttemptVerdict::Refused);
        observed.refused.extend(refused.map(|(attempt, _)| attempt));
        observed.not_listed += not_listed;
        let ended = match closed.get() {
            Outcome::Denied(denied) => return Err(call::not_permitted(&args.tool, denied)),
            Outcome::Answer(answer) => format!("it answered: {answer}"),
            Outcome::Fault(fault) => fault.log_text().to_owned(),
        };
        output::complain(&format!("call {number}: {}", printable_lines(&ended, SHOWN_CHARS_MAX)));
        observed.calls = number;
        if matches!(closed.get(), Outcome::Fault(fault) if fault.kind() == FaultKind::Cancelled) {
            break;
        }
    }
    Ok(observed)
}

/// TOML to be pasted: everything but the grant is a comment, and no text of a plugin can end one.
fn proposal_text(args: &Args, base: &str, observed: &Observed, lesson: &GrantProposal) -> String {
    let (plugin, tool) = (printable(&args.plugin, 100), printable(&args.tool, 100));
    let mut lines = vec![format!("# {tool} of {plugin}, {base}, was refused in {} call(s):", observed.calls)];
    lines.extend(
        observed.refused.iter().map(|attempt| format!("#   {}", printable(&attempt.to_string(), 500))),
    );
    if observed.refused.is_empty() {
        lines.push("#   nothing".to_owned());
    } else {
        lines.push("# A program often stops at its first refusal: with this grant, learn again.".to_owned());
    }
    if observed.not_listed > 0 {
        lines.push(format!("# {} more attempts had no room in the record.", observed.not_listed));
    }
    lines.extend(lesson.remarks.iter().map(|remark| format!("# {}", printable(remark, 1_000))));
    lines.push("[plugin.grant]".to_owned());
    lines.extend(lesson.lines.iter().cloned());
    lines.join("\n")
}
