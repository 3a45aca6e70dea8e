//! Roles, their thresholds, and the roles each plugin needs. Signatures are counted: a key fills one place of one role.

use std::collections::{BTreeMap, BTreeSet};

use super::signer::is_id;
use crate::InvalidValueError;

/// A function that signers have, such as publisher or vetting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Number of its signers that must have signed.
    pub threshold: u32,
    /// Ids of its signers.
    pub signers: Vec<String>,
}

/// Roles that a plugin needs. Every rule that matches a plugin must be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRule {
    /// Plugins that the rule covers.
    pub plugin: Pattern,
    /// Names of the required roles.
    pub require: Vec<String>,
}

/// Plugin ids that a rule covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// The one with this id.
    Exact(String),
    /// Ids with this prefix; empty means all.
    Prefix(String),
}

/// A role that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// Name of the role.
    pub role: String,
    /// Ids of the signers that fill it.
    pub signers: Vec<String>,
}

/// A role that was not met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("role `{role}` needs {threshold} of [{}], has {}", signers.join(", "), if *have == 0 { "none".to_owned() } else { have.to_string() })]
pub struct UnmetRuleError {
    /// Name of the role.
    pub role: String,
    /// Required number of signers.
    pub threshold: u32,
    /// Ids of the signers who could fill it.
    pub signers: Vec<String>,
    /// Number of filled places.
    pub have: u32,
}

impl Pattern {
    /// Reads an id, a prefix followed by `*`, or `*`. Refuses a star elsewhere.
    pub fn parse(text: &str) -> Result<Self, InvalidValueError> {
        let (body, pattern): (&str, fn(String) -> Self) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, Self::Prefix),
            None => (text, Self::Exact),
        };
        let fits = body.bytes().all(|b| b.is_ascii_graphic() && b != b'*');
        if text.is_empty() || !fits || body.len() > 128 {
            let why = format!(
                r#"`{text}` is not a plugin id; write one such as "acme:files", a beginning such as "acme:*", or "*""#
            );
            return Err(InvalidValueError::new(why));
        }
        Ok(pattern(body.to_owned()))
    }

    /// Whether the pattern covers this plugin id.
    pub fn matches(&self, id: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == id,
            Self::Prefix(prefix) => id.starts_with(prefix.as_str()),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(id) => f.write_str(id),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// Checks roles and rules against the known signer ids.
pub(super) fn check(roles: &[Role], rules: &[RoleRule], signers: &[&str]) -> Vec<InvalidValueError> {
    let mut problems = Vec::new();
    let signers: BTreeSet<&str> = signers.iter().copied().collect();
    let mut by_name: BTreeMap<&str, &Role> = BTreeMap::new();
    for (index, role) in roles.iter().enumerate() {
        let mut note = |key: &str, why: String| {
            problems.push(InvalidValueError::at(format!("role[{index}].{key}"), why))
        };
        if !is_id(&role.name) {
            note("name", format!("`{}` is not a name; write letters, digits, . _ @ or -", role.name));
        }
        if by_name.contains_key(role.name.as_str()) {
            note("name", format!("`{}` appears twice", role.name));
        } else {
            by_name.insert(&role.name, role);
        }
        let mut earlier = BTreeSet::new();
        for signer in &role.signers {
            if !signers.contains(signer.as_str()) {
                note("signers", format!("there is no [[signer]] with id `{signer}`"));
            }
            if !earlier.insert(signer) {
                note("signers", format!("`{signer}` appears twice"));
            }
        }
        if role.threshold == 0 || role.threshold as usize > role.signers.len() {
            note("threshold", format!("write 1 to {}, the number of its signers", role.signers.len()));
        }
    }
    for (index, rule) in rules.iter().enumerate() {
        check_rule(index, rule, &by_name, &mut problems);
    }
    problems
}

fn check_rule(
    index: usize,
    rule: &RoleRule,
    roles: &BTreeMap<&str, &Role>,
    problems: &mut Vec<InvalidValueError>,
) {
    let mut note = |why: String| problems.push(InvalidValueError::at(format!("rule[{index}].require"), why));
    if rule.require.is_empty() {
        note("an empty list would trust every plugin; name at least one role".to_owned());
    }
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut earlier = BTreeSet::new();
    for name in &rule.require {
        let Some(role) = roles.get(name.as_str()) else {
            note(format!("there is no [[role]] with name `{name}`"));
            continue;
        };
        if !earlier.insert(name) {
            note(format!("`{name}` appears twice"));
            continue;
        }
        for signer in &role.signers {
            if let Some(other) = seen.insert(signer, name) {
                note(format!(
                    "`{signer}` is in role `{other}` and in role `{name}`; one signer cannot be two of a rule"
                ));
            }
        }
    }
}

/// Fills the places of `roles` with the signer ids in `signed`, each at most once. Finds a complete assignment whenever
/// there is one (bipartite matching by augmenting paths). Else names the unmet roles of a largest possible one.
pub(super) fn fill(roles: &[&Role], signed: &[&str]) -> Result<Vec<Met>, Vec<UnmetRuleError>> {
    // place[i] is the role of the i-th signer, if it has one.
    let mut place: Vec<Option<usize>> = vec![None; signed.len()];
    for (index, role) in roles.iter().enumerate() {
        for _ in 0..role.threshold {
            let mut seen = vec![false; signed.len()];
            if !augment(index, roles, signed, &mut place, &mut seen) {
                break;
            }
        }
    }
    let mut met = Vec::new();
    let mut unmet = Vec::new();
    for (index, role) in roles.iter().enumerate() {
        let filled = signed.iter().zip(&place).filter(|(_, at)| **at == Some(index));
        let signers: Vec<String> = filled.map(|(id, _)| (*id).to_owned()).collect();
        let have = u32::try_from(signers.len()).unwrap_or(u32::MAX);
        if have >= role.threshold {
            met.push(Met { role: role.name.clone(), signers });
        } else {
            let (role, threshold, signers) = (role.name.clone(), role.threshold, role.signers.clone());
            unmet.push(UnmetRuleError { role, threshold, signers, have });
        }
    }
    if unmet.is_empty() { Ok(met) } else { Err(unmet) }
}

fn augment(
    role: usize,
    roles: &[&Role],
    signed: &[&str],
    place: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    let Some(wanted) = roles.get(role) else {
        return false;
    };
    for (index, id) in signed.iter().enumerate() {
        let fits = wanted.signers.iter().any(|signer| signer == id);
        let fresh = seen.get_mut(index).is_some_and(|seen| !std::mem::replace(seen, true));
        if !fits || !fresh {
            continue;
        }
        let held = place.get(index).copied().flatten();
        let free = match held {
            None => true,
            Some(other) if other == role => false,
            Some(other) => augment(other, roles, signed, place, seen),
        };
        if free {
            if let Some(slot) = place.get_mut(index) {
                *slot = Some(role);
            }
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, threshold: u32, signers: &[&str]) -> Role {
        Role { name: name.into(), threshold, signers: signers.iter().map(|s| (*s).to_owned()).collect() }
    }

    #[test]
    fn a_key_fills_one_place_of_one_role() {
        let (a, b) = (role("publisher", 1, &["v", "w"]), role("vetting", 1, &["v"]));
        assert!(fill(&[&a, &b], &["v"]).is_err());
        let met = fill(&[&a, &b], &["v", "w"]).unwrap();
        assert_eq!(met.first().unwrap().signers, ["w"], "the only complete filling is found");
        assert_eq!(met.last().unwrap().signers, ["v"]);
    }

    #[test]
    fn a_threshold_counts_distinct_signers() {
        let vetting = role("vetting", 2, &["a", "b", "c"]);
        assert!(fill(&[&vetting], &["a", "c"]).is_ok());
        let unmet = fill(&[&vetting], &["b", "x"]).unwrap_err();
        assert_eq!(unmet.first().unwrap().to_string(), "role `vetting` needs 2 of [a, b, c], has 1");
    }

    #[test]
    fn rules_that_would_trust_everybody_are_refused() {
        let roles = [
            role("p", 1, &["a"]),
            role("q", 1, &["a"]),
            role("zero", 0, &["a"]),
            role("two", 2, &["a", "x"]),
        ];
        let rules = [
            RoleRule { plugin: Pattern::parse("*").unwrap(), require: vec![] },
            RoleRule { plugin: Pattern::parse("acme:*").unwrap(), require: vec!["p".into(), "q".into()] },
            RoleRule { plugin: Pattern::parse("x").unwrap(), require: vec!["nobody".into()] },
        ];
        let places: Vec<String> = check(&roles, &rules, &["a"]).into_iter().map(|p| p.at).collect();
        assert_eq!(
            places,
            ["role[2].threshold", "role[3].signers", "rule[0].require", "rule[1].require", "rule[2].require"]
        );
    }

    #[test]
    fn patterns_have_their_star_at_the_end() {
        assert!(Pattern::parse("acme:*").unwrap().matches("acme:files"));
        assert!(!Pattern::parse("acme:*").unwrap().matches("acmefiles"));
        assert!(!Pattern::parse("files").unwrap().matches("files2"));
        for bad in ["", "*a", "a*b", "a b", "a**"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
