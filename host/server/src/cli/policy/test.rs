//! `toolgate policy test`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;
use toolgate_policy::redact::printable;

use super::BoundRules;
use super::answer::PolicyAnswer;
use crate::cli::exit::Exit;
use crate::cli::{ConfigArg, output};
use crate::config::PolicyCase;

/// Arguments of `policy test`.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The file of cases: [[case]] with as, tool, expect, and where wanted args and by
    file: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Results of all cases.
#[derive(Default)]
struct CaseResults {
    failures: Vec<(usize, String)>,
    /// Rules that decided a case.
    decided: BTreeSet<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let bound = BoundRules::load(&args.config)?;
    let cases = PolicyCase::read_all(&args.file, bound.config.auth.as_ref())?;
    let mut results = CaseResults::default();
    for case in &cases {
        if let Err(why) = results.run(&bound, case) {
            results.failures.push((case.line, printable(&why, 2_000)));
        }
    }
    let rules = bound.snapshot.rules().ids();
    let missed: Vec<&str> = rules.map(|id| id.as_str()).filter(|id| !results.decided.contains(*id)).collect();
    let failed = results.failures.len();
    let passed = cases.len().saturating_sub(failed);
    if args.json {
        let failures = results.failures.iter().map(|(line, why)| json!({ "line": line, "why": why }));
        let failures: Vec<_> = failures.collect();
        output::print_json(&json!({ "passed": passed, "failed": failures, "rulesWithoutCase": missed }));
    } else {
        let file = args.file.display();
        let failures = results.failures.iter().map(|(line, why)| format!("{file}:{line}: {why}"));
        let missed = missed.iter().map(|id| format!("rule {id} decides no case; write a case for it"));
        let end = format!("{passed} passed, {failed} failed");
        output::print(&failures.chain(missed).chain([end]).collect::<Vec<_>>().join("\n"));
    }
    if failed == 0 && missed.is_empty() { Ok(()) } else { Err(Exit::failed("")) }
}

impl CaseResults {
    /// Asks one question. The error says how the answer differs.
    fn run(&mut self, bound: &BoundRules, case: &PolicyCase) -> Result<(), String> {
        let args = case.args.as_deref();
        let answer = PolicyAnswer::ask(bound, &case.caller, &case.tool, args);
        let answer = answer.map_err(|exit| exit.text().to_owned())?;
        let answer = answer.ok_or_else(|| format!("no tool `{}` is served", case.tool))?;
        let found = &answer.explanation;
        let by: BTreeSet<String> = found.by.iter().map(|id| id.as_str().to_owned()).collect();
        self.decided.extend(by.iter().cloned());
        let expected = &case.expect;
        if found.verdict != expected.verdict {
            let (wanted, text) = (expected.verdict.as_str(), answer.as_text());
            return Err(format!("expected {wanted}; {}", text.replace('\n', ";")));
        }
        match &expected.by {
            Some(wanted) if *wanted != by => {
                let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
                Err(format!("expected to be decided by {}; it was by {}", list(wanted), list(&by)))
            }
            _ => Ok(()),
        }
    }
}
