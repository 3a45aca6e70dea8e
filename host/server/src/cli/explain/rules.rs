//! Access rules that are about a plugin's tools.

use serde_json::{Value, json};
use toolgate_policy::call::RuleId;

use super::Subject;

/// Tools of the plugin that the same rules cover.
struct CoveredTools {
    tools: Vec<String>,
    rules: Vec<RuleId>,
}

/// Lines about the rules; none where the configuration has none and callers need no credentials.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    let needs_credentials = subject.config.has_auth;
    if !needs_credentials && subject.snapshot.rules().ids().next().is_none() {
        return Vec::new();
    }
    let line = |covered: CoveredTools| {
        let rules: Vec<&str> = covered.rules.iter().map(RuleId::as_str).collect();
        let rules = match (rules.is_empty(), needs_credentials) {
            (false, _) => rules.join(", "),
            (true, true) => "none, so that nobody may call them".to_owned(),
            (true, false) => "none, so that local callers may call them".to_owned(),
        };
        format!("  {}: {rules}", covered.tools.join(", "))
    };
    let covered = covered(subject).into_iter().map(line);
    std::iter::once("access rules:".to_owned()).chain(covered).collect()
}

/// The same as JSON.
pub(super) fn as_json(subject: &Subject<'_>) -> Value {
    let json = |covered: CoveredTools| {
        let rules: Vec<&str> = covered.rules.iter().map(RuleId::as_str).collect();
        json!({ "tools": covered.tools, "rules": rules })
    };
    covered(subject).into_iter().map(json).collect()
}

fn covered(subject: &Subject<'_>) -> Vec<CoveredTools> {
    let mut all: Vec<CoveredTools> = Vec::new();
    for tool in subject.snapshot.tools() {
        let rules = subject.snapshot.rules().covering(&tool.target);
        let name = tool.listing.name.as_str().to_owned();
        match all.iter_mut().find(|covered| covered.rules == rules) {
            Some(covered) => covered.tools.push(name),
            None => all.push(CoveredTools { tools: vec![name], rules }),
        }
    }
    all
}
