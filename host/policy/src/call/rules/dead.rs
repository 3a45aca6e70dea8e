//! Rules that can have no effect.

use std::collections::BTreeSet;

use super::{Checked, DeadRule, RuleId, ServedTool};
use crate::principal::API_KEY_ISSUER;
use crate::redact::printable;

/// Names in rules that exist nowhere, and permits that are always forbidden. Sorted, each once.
pub(super) fn find(set: &Checked, served: &[ServedTool]) -> Vec<DeadRule> {
    let targets = || served.iter().map(|tool| &tool.target);
    let plugins: BTreeSet<&str> = targets().map(|target| target.plugin().as_str()).collect();
    let tools: BTreeSet<&str> = targets().filter_map(|it| it.tool()).map(|name| name.as_str()).collect();
    let signers: BTreeSet<&str> = targets().flat_map(|it| &it.facts().signers).map(String::as_str).collect();
    let is_issuer = |name: &str| {
        let issuer = name.split_once('/').map_or(name, |(issuer, _)| issuer);
        issuer == API_KEY_ISSUER || set.obtainable.contains_key(issuer)
    };
    let why = |word: &str, name: &str| {
        let (exists, missing) = match word {
            "plugin" => (plugins.contains(name), "is not served"),
            "tool" => (tools.contains(name), "is not served"),
            "signer" => (signers.contains(name), "signed no plugin that is served"),
            _ => (is_issuer(name), "is of no issuer of the configuration"),
        };
        (!exists).then(|| format!("{word} `{}` {missing}", printable(name, 100)))
    };
    let dead = |rule: &RuleId, why: String| DeadRule { rule: rule.clone(), why };
    let mut found = BTreeSet::new();
    for row in &set.rows {
        found.extend(
            row.named().into_iter().filter_map(|(word, name)| Some(dead(row.id(), why(word, name)?))),
        );
    }
    if let Some(cedar) = &set.cedar {
        found.extend(
            cedar.named().into_iter().filter_map(|(id, word, name)| Some(dead(id, why(word, &name)?))),
        );
        found.extend(
            cedar.shadowed().into_iter().map(|(permit, forbid)| {
                dead(permit, format!("`{forbid}` forbids everything that it permits"))
            }),
        );
    }
    found.into_iter().collect()
}
