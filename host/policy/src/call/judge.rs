//! The verdict in two steps, and the only maker of [`Judged`] and [`Permit`]. Before the arguments are read, [`judge`]
//! says whether a principal may use a target at all; lists are made of the same verdict. Then [`settle`] looks at the
//! arguments.

use std::sync::Arc;

use super::facts::ArgumentFacts;
use super::rules::{RuleId, Rules};
use super::target::Target;
use crate::Digest;
use crate::capability::Effects;
use crate::principal::{Principal, Tenant};

/// Proof that this principal may use this target in principle, under these rules. It opens nothing.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    principal: Principal,
    target: Target,
    permits: Arc<[RuleId]>,
    policy: Digest,
}

/// Proof that this principal may use this target of these bytes, now, with the arguments that were settled.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit(Judged);

/// Verdict on a use with its arguments.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It may begin.
    Permit(Permit),
    /// It may begin once a person has agreed, says this rule.
    NeedsApproval(RuleId),
}

/// Reason why a call is denied. Callers cannot tell an unknown tool from a forbidden one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeniedError {
    /// There is no such tool.
    #[error("no tool of that name is served")]
    Unknown,
    /// No rule permits it, or these forbid it.
    #[error("{}", if .by.is_empty() { "no rule permits it".to_owned() } else { format!("forbidden by {}", listed(.by)) })]
    Hidden {
        /// Rules that forbid it; empty where none permits it.
        by: Arc<[RuleId]>,
    },
    /// The rules changed between the two steps of the verdict, or could not be evaluated.
    #[error("the rules could not be evaluated{}", if .ids.is_empty() { String::new() } else { format!(": {}", listed(.ids)) })]
    Errored {
        /// Rules that failed.
        ids: Arc<[RuleId]>,
    },
}

/// Decides whether `principal` may use `target` in principle; no target means there is none of that name.
///
/// # Errors
/// Why not.
pub fn judge(rules: &Rules, principal: &Principal, target: Option<&Target>) -> Result<Judged, DeniedError> {
    let target = target.ok_or(DeniedError::Unknown)?;
    if !is_within(principal, target) {
        return Err(DeniedError::Hidden { by: Arc::default() });
    }
    let decision = rules.decide(principal, target);
    if decision.permits.is_empty() {
        return Err(DeniedError::Hidden { by: Arc::default() });
    }
    Ok(Judged {
        principal: principal.clone(),
        target: target.clone(),
        permits: decision.permits.into(),
        policy: rules.digest(),
    })
}

/// Decides whether what was judged may begin with these arguments, under the same rules.
///
/// # Errors
/// Why not.
pub fn settle(judged: Judged, rules: &Rules, _arguments: &ArgumentFacts) -> Result<Settled, DeniedError> {
    if judged.policy != rules.digest() {
        return Err(DeniedError::Errored { ids: Arc::default() });
    }
    Ok(Settled::Permit(Permit(judged)))
}

/// Whether the credential is limited to nothing, or to tools of which this is one.
fn is_within(principal: &Principal, target: &Target) -> bool {
    let limited = principal.identity().and_then(|identity| identity.tools.as_ref());
    limited.is_none_or(|tools| target.tool().is_some_and(|tool| tools.contains(tool.as_str())))
}

fn listed(rules: &[RuleId]) -> String {
    rules.iter().map(RuleId::as_str).collect::<Vec<_>>().join(", ")
}

impl DeniedError {
    /// The rule `id` could not be applied.
    pub fn errored(id: RuleId) -> Self {
        Self::Errored { ids: Arc::new([id]) }
    }
}

impl Judged {
    /// Principal that makes the call.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Target to be used.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Rules that permit it.
    pub fn rules(&self) -> &[RuleId] {
        &self.permits
    }

    /// Digest of the rules under which this holds.
    pub fn policy(&self) -> Digest {
        self.policy
    }
}

impl Permit {
    /// Principal that makes the call.
    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }

    /// Tenant whose data the call may touch.
    pub fn tenant(&self) -> &Tenant {
        self.0.principal.tenant()
    }

    /// Target to be used.
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// Effects that the call may have.
    pub fn effects(&self) -> Effects {
        self.0.target.effects()
    }

    /// Rules that permit it.
    pub fn rules(&self) -> &[RuleId] {
        &self.0.permits
    }

    /// Digest of the rules under which this holds.
    pub fn policy(&self) -> Digest {
        self.0.policy
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what is judged is made up here")]
mod tests {
    use super::super::target::{PluginFacts, TargetKind};
    use super::*;
    use crate::ToolName;

    fn target() -> Target {
        let facts = PluginFacts::without_grants(&"a".parse().unwrap(), Digest::of(b"bytes"));
        Target::new(TargetKind::Tool(ToolName::parse("a_b").unwrap()), Arc::new(facts))
    }

    #[test]
    fn a_permit_names_the_tool_the_bytes_the_rules_and_the_tenant_it_is_for() {
        let (rules, target) = (Rules::default(), target());
        let judged = judge(&rules, &Principal::local("me"), Some(&target)).unwrap();
        let Settled::Permit(permit) = settle(judged, &rules, &ArgumentFacts::default()).unwrap() else {
            panic!("no rule asks for an approval");
        };
        assert_eq!((permit.target(), permit.policy()), (&target, rules.digest()));
        let ids: Vec<&str> = permit.rules().iter().map(RuleId::as_str).collect();
        assert_eq!(ids, ["local-principal-may-call-what-is-served"]);
        assert_eq!(
            (permit.principal().to_string().as_str(), permit.tenant().as_str()),
            ("local:me", "default")
        );
    }

    #[test]
    fn nothing_is_permitted_that_is_not_there() {
        assert_eq!(judge(&Rules::default(), &Principal::local("me"), None), Err(DeniedError::Unknown));
    }
}
