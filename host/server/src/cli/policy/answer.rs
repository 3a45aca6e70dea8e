//! A question about rules, and its answer.

use serde_json::{Value, json};
use toolgate_policy::Principal;
use toolgate_policy::call::{Explanation, RuleId, Transport, VerdictWord};
use toolgate_policy::redact::printable;

use super::BoundRules;
use crate::auth;
use crate::cli::call::arguments;
use crate::cli::exit::Exit;
use crate::config::{CallerOrigin, SupposedCaller};

/// Rules shown that came near to permitting a use.
const MISSES_SHOWN: usize = 5;

/// Verdict on the use of a tool by a caller.
pub(super) struct PolicyAnswer {
    caller: String,
    tool: String,
    pub(super) explanation: Explanation,
}

impl PolicyAnswer {
    /// Asks the rules; `None` if no tool of this name is served.
    ///
    /// # Errors
    /// The arguments are not what the tool takes.
    pub(super) fn ask(
        bound: &BoundRules,
        caller: &SupposedCaller,
        tool: &str,
        args: Option<&str>,
    ) -> Result<Option<Self>, Exit> {
        let Some(found) = bound.tool(tool) else { return Ok(None) };
        let facts = args.map(|text| {
            let json = arguments(text)?;
            found.argument_facts(&json).map_err(|error| Exit::usage(error.to_string()))
        });
        let facts = facts.transpose()?;
        let principal = principal(caller);
        let transport = match (&caller.origin, caller.source) {
            (CallerOrigin::Local, None) => Transport::Cli,
            _ => Transport::Http,
        };
        let moment = match caller.time {
            Some(time) => bound.snapshot.moment_at(time, caller.source, transport),
            None => bound.snapshot.moment(caller.source, transport),
        };
        let rules = bound.snapshot.rules();
        let explanation = rules.explain(&principal, Some(&found.target), &moment, facts.as_ref());
        Ok(Some(Self { caller: principal.to_string(), tool: tool.to_owned(), explanation }))
    }

    /// Whether the caller may.
    pub(super) fn is_permitted(&self) -> bool {
        self.explanation.verdict == VerdictWord::Permit
    }

    /// The answer for people.
    pub(super) fn as_text(&self) -> String {
        let Explanation { verdict, by, needed, is_undecided, reason, misses } = &self.explanation;
        let what = format!("{} calls {}", self.caller, self.tool);
        let mut lines = vec![match verdict {
            VerdictWord::Permit => format!("permitted: {what}"),
            _ => format!("denied ({}): {what}", verdict.as_str()),
        }];
        lines.push(match (verdict, by.is_empty()) {
            (_, true) => "  no rule permits it".to_owned(),
            (VerdictWord::Permit, _) => format!("  by {}", listed(by)),
            (VerdictWord::Scope, _) => format!("  {} would permit it", listed(by)),
            (VerdictWord::Deny | VerdictWord::Hidden, _) => format!("  because of {}", listed(by)),
        });
        lines.extend(reason.iter().map(|reason| format!("  reason that the caller sees: {reason}")));
        if !needed.is_empty() {
            lines.push(format!("  lacks the scopes: {}", needed.join(" ")));
        }
        if *is_undecided {
            lines.push("  rules about its arguments were not asked; give --args".to_owned());
        }
        let (shown, left) = misses.split_at(misses.len().min(MISSES_SHOWN));
        let miss =
            shown.iter().map(|miss| format!("  {} does not permit it: {}", miss.rule, miss.lacks.join(", ")));
        lines.extend(miss);
        if !left.is_empty() {
            lines.push(format!("  {} more rules do not permit it", left.len()));
        }
        lines.iter().map(|line| printable(line, 2_000)).collect::<Vec<_>>().join("\n")
    }

    /// The answer as JSON.
    pub(super) fn as_json(&self) -> Value {
        let Explanation { verdict, by, needed, is_undecided, reason, misses } = &self.explanation;
        let misses = misses.iter().map(|miss| json!({ "rule": miss.rule.as_str(), "lacks": miss.lacks }));
        json!({
            "caller": self.caller,
            "tool": self.tool,
            "verdict": verdict.as_str(),
            "by": by.iter().map(RuleId::as_str).collect::<Vec<_>>(),
            "lacksScopes": needed,
            "argumentsNotAsked": is_undecided,
            "reason": reason,
            "misses": misses.collect::<Vec<_>>(),
        })
    }
}

fn principal(caller: &SupposedCaller) -> Principal {
    match &caller.origin {
        CallerOrigin::Local => auth::parent(),
        CallerOrigin::Identified(identity) => toolgate_auth::supposed(identity.clone()),
    }
}

/// Ids of rules, for a sentence.
pub(super) fn listed(rules: &[RuleId]) -> String {
    rules.iter().map(RuleId::as_str).collect::<Vec<_>>().join(", ")
}
