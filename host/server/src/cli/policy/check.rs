//! `toolgate policy check`.

use serde_json::json;
use toolgate_policy::call::Rules;

use super::BoundRules;
use crate::cli::exit::Exit;
use crate::cli::{PrintArgs, output};

pub(super) fn run(args: &PrintArgs) -> Result<(), Exit> {
    let bound = BoundRules::load(&args.config)?;
    let (misfits, others) = bound.refused();
    let rules = bound.snapshot.rules();
    let mut warnings = dead(rules, "");
    if let Some(shadow) = bound.snapshot.shadow() {
        warnings.extend(dead(shadow, "shadow: "));
    }
    if rules.permits_nothing() {
        warnings.push(NOTHING_PERMITTED.to_owned());
    }
    warnings.extend(others.iter().map(|why| format!("{why}; rules about its tools were not checked")));
    if args.json {
        let rules: Vec<&str> = rules.ids().map(|id| id.as_str()).collect();
        output::print_json(&json!({ "rules": rules, "warnings": warnings, "misfits": misfits }));
    } else {
        let count = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            _ => format!("{count} {word}s"),
        };
        let (ids, tools) = (rules.ids().count(), bound.snapshot.tools().count());
        let mut lines = vec![format!("{}, bound to {}", count(ids, "rule"), count(tools, "tool"))];
        lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
        output::print(&lines.join("\n"));
    }
    if misfits.is_empty() { Ok(()) } else { Err(Exit::refused(misfits.join("\n"))) }
}

/// Warning for a configuration that lets nobody do anything.
pub(in crate::cli) const NOTHING_PERMITTED: &str = "[auth] is on and no rule permits a tool that is served, so nothing can be called; write an [[allow]] row, or a permit into [access] policy";

fn dead(rules: &Rules, prefix: &str) -> Vec<String> {
    rules.dead().iter().map(|dead| format!("{prefix}rule {}: {}", dead.rule, dead.why)).collect()
}
