//! Verdicts for people: what was decided, by which rules, and what the rules that did not permit it would have needed.

use super::denied::DeniedError;
use super::facts::ArgumentFacts;
use super::moment::Moment;
use super::rule_id::RuleId;
use super::rules::Rules;
use super::target::Target;
use crate::principal::Principal;

/// A verdict in one word, as tests of rules and records write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VerdictWord {
    /// It may begin.
    Permit,
    /// It is shown and fails: a rule forbids these arguments, or rules could not be evaluated.
    Deny,
    /// It would be permitted with more scopes.
    Scope,
    /// It is as if it were not there.
    Hidden,
}

/// A verdict, with the rules that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict.
    pub verdict: VerdictWord,
    /// Rules that decided. A test of the rules collects them and compares with [`Rules::ids`].
    pub by: Vec<RuleId>,
    /// Scopes that are missing.
    pub needed: Vec<String>,
    /// Whether rules about arguments would have a say, and were not asked because no arguments were given.
    pub is_undecided: bool,
    /// The `@reason` of the rule that forbids the arguments.
    pub reason: Option<String>,
    /// Rules that did not permit it, the nearest first; empty where it is permitted.
    pub misses: Vec<RuleMiss>,
}

/// A rule that does not permit a use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleMiss {
    /// The rule.
    pub rule: RuleId,
    /// Everything that does not hold: keys of a row (`who.groups`), or a condition of a policy as its text.
    pub lacks: Vec<String>,
}

impl VerdictWord {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Deny => "deny",
            Self::Scope => "scope",
            Self::Hidden => "hidden",
        }
    }
}

impl From<&DeniedError> for VerdictWord {
    fn from(error: &DeniedError) -> Self {
        match error {
            DeniedError::Unknown | DeniedError::Hidden { .. } => Self::Hidden,
            DeniedError::Scope { .. } => Self::Scope,
            DeniedError::Arguments { .. } | DeniedError::Errored { .. } => Self::Deny,
        }
    }
}

impl Rules {
    /// The verdict on a use in a word, and the rules that decided: for rules that are tried beside those in force.
    /// Without `facts`, rules about arguments are not asked.
    pub fn verdict_word(
        &self,
        principal: &Principal,
        target: Option<&Target>,
        moment: &Moment,
        facts: Option<&ArgumentFacts>,
    ) -> (VerdictWord, Vec<RuleId>) {
        match self.verdict(principal, target, moment, facts) {
            Ok(by) => (VerdictWord::Permit, by),
            Err(error) => (VerdictWord::from(&error), error.rules().to_vec()),
        }
    }

    /// The verdict on a use, with what was near to permitting it. Slow: every rule is looked at.
    pub fn explain(
        &self,
        principal: &Principal,
        target: Option<&Target>,
        moment: &Moment,
        facts: Option<&ArgumentFacts>,
    ) -> Explanation {
        let verdict = self.verdict(principal, target, moment, facts);
        let reads_arguments = target.is_some_and(|target| self.reads_arguments(target));
        let mut explanation = Explanation {
            verdict: VerdictWord::Permit,
            by: Vec::new(),
            needed: Vec::new(),
            is_undecided: verdict.is_ok() && facts.is_none() && reads_arguments,
            reason: None,
            misses: Vec::new(),
        };
        match verdict {
            Ok(by) => explanation.by = by,
            Err(error) => {
                explanation.verdict = VerdictWord::from(&error);
                explanation.by = error.rules().to_vec();
                let misses = target.map(|target| self.misses(principal, target, moment));
                let misses = misses.into_iter().flatten();
                explanation.misses = misses.map(|(rule, lacks)| RuleMiss { rule, lacks }).collect();
                explanation.misses.sort_by_key(|miss| miss.lacks.len());
                match error {
                    DeniedError::Scope { needed, .. } => explanation.needed = needed.to_vec(),
                    DeniedError::Arguments { reason, .. } => {
                        explanation.reason = reason.as_deref().map(str::to_owned);
                    }
                    DeniedError::Unknown | DeniedError::Hidden { .. } | DeniedError::Errored { .. } => {}
                }
            }
        }
        explanation
    }

    fn verdict(
        &self,
        principal: &Principal,
        target: Option<&Target>,
        moment: &Moment,
        facts: Option<&ArgumentFacts>,
    ) -> Result<Vec<RuleId>, DeniedError> {
        let target = target.ok_or(DeniedError::Unknown)?;
        let by = self.decide(principal, target, moment)?;
        if let Some(facts) = facts {
            self.decide_arguments(principal, target, moment, facts)?;
        }
        Ok(by.to_vec())
    }
}
