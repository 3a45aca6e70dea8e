//! The verdict in two steps, and the only maker of [`Judged`] and [`Permit`]. Before the arguments are read, [`judge`]
//! says whether a principal may use a target at all; lists are made of the same verdict. Then [`settle`] looks at the
//! arguments.

use std::sync::Arc;

use super::denied::DeniedError;
use super::facts::ArgumentFacts;
use super::moment::Moment;
use super::rule_id::RuleId;
use super::rules::Rules;
use super::target::Target;
use crate::Digest;
use crate::capability::Effects;
use crate::principal::{Principal, PrincipalKind, Tenant};

/// Proof that this principal may use this target in principle, under these rules. It opens nothing.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    principal: Principal,
    target: Target,
    permits: Arc<[RuleId]>,
    reads_arguments: bool,
    moment: Moment,
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

/// Decides whether `principal` may use `target` in principle; no target means there is none of that name. Lists are made
/// of the same verdict: what is shown is what is judged, and what [`DeniedError::is_listed`] says.
///
/// # Errors
/// Why not.
pub fn judge(
    rules: &Rules,
    principal: &Principal,
    target: Option<&Target>,
    moment: &Moment,
) -> Result<Judged, DeniedError> {
    let Some(target) = target else {
        rules.decide_nothing(principal, moment);
        return Err(DeniedError::Unknown);
    };
    if !is_within(principal, target) {
        rules.decide_nothing(principal, moment);
        return Err(DeniedError::Hidden { by: Arc::default() });
    }
    Ok(Judged {
        permits: rules.decide(principal, target, moment)?,
        principal: principal.clone(),
        target: target.clone(),
        reads_arguments: principal.kind() != PrincipalKind::Host && rules.reads_arguments(target),
        moment: *moment,
        policy: rules.digest(),
    })
}

/// Decides whether what was judged may begin with these arguments, under the same rules. Where time has passed, the
/// circumstances are judged again.
///
/// # Errors
/// Why not. Rules about arguments deny where `arguments` were not read.
pub fn settle(
    mut judged: Judged,
    rules: &Rules,
    arguments: &ArgumentFacts,
    moment: &Moment,
) -> Result<Settled, DeniedError> {
    if judged.policy != rules.digest() {
        return Err(DeniedError::Errored { ids: Arc::default() });
    }
    if judged.moment != *moment {
        judged.permits = rules.decide(&judged.principal, &judged.target, moment)?;
        judged.moment = *moment;
    }
    rules.decide_arguments(&judged.principal, &judged.target, moment, arguments)?;
    Ok(Settled::Permit(Permit(judged)))
}

/// Whether the credential is limited to nothing, or to tools of which this is one.
fn is_within(principal: &Principal, target: &Target) -> bool {
    let limited = principal.identity().and_then(|identity| identity.tools.as_ref());
    limited.is_none_or(|tools| target.tool().is_some_and(|tool| tools.contains(tool.as_str())))
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

    /// Whether [`settle`] needs facts about the arguments.
    pub fn reads_arguments(&self) -> bool {
        self.reads_arguments
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
    use super::super::moment::Transport;
    use super::super::target::{PluginFacts, TargetKind};
    use super::*;
    use crate::ToolName;

    const NOON: Moment =
        Moment { now_s: 1_769_860_800, hour: 12, weekday: 6, source: None, transport: Transport::Stdio };

    fn target() -> Target {
        let facts = PluginFacts::without_grants(&"a".parse().unwrap(), Digest::of(b"bytes"));
        Target::new(TargetKind::Tool(ToolName::parse("a_b").unwrap()), Arc::new(facts))
    }

    #[test]
    fn a_permit_names_the_tool_the_bytes_the_rules_and_the_tenant_it_is_for() {
        let (rules, target) = (Rules::default(), target());
        let judged = judge(&rules, &Principal::local("me"), Some(&target), &NOON).unwrap();
        let Settled::Permit(permit) = settle(judged, &rules, &ArgumentFacts::default(), &NOON).unwrap()
        else {
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
        let judged = judge(&Rules::default(), &Principal::local("me"), None, &NOON);
        assert_eq!(judged, Err(DeniedError::Unknown));
    }
}
