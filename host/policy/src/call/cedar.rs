//! Policies in Cedar, and the only files that name its library. A policy is read once, held to Toolgate's restrictions
//! and validated; then each tool gets the policies that its name, plugin and signers can concern.
//!
//! Restrictions beyond the language: a permit reads no arguments, so that a list is what can be called; an error of any
//! policy denies; each policy has an `@id`; actions are named in the scope alone.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request,
    ResourceConstraint, SchemaFragment, ValidationMode, ValidationWarning, Validator,
};

use super::facts::ArgumentFacts;
use super::moment::Moment;
use super::rule_id::RuleId;
use super::target::Target;
use crate::principal::Principal;
use crate::{InvalidValueError, redact};

mod entity;
mod explain;
mod parse;
mod schema;
mod slice;
mod stack;
mod walk;

#[cfg(test)]
mod entity_tests;

pub(super) use entity::Caller;
pub(super) use slice::{PartCache, Slice};

use entity::Types;
use parse::{Parsed, id_of};
use slice::Part;

/// The policies of a file, read, restricted, and validated as far as they read no arguments.
#[derive(Debug)]
pub(super) struct Policies {
    parsed: Vec<Parsed>,
    index: HashMap<String, usize>,
    /// Tools that policies name as actions.
    actions: BTreeSet<String>,
    types: Types,
    entities: SchemaFragment,
}

/// Rules that have a say, sorted as they are in the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Those that permit; empty where one forbids.
    pub(super) permits: Vec<RuleId>,
    /// Those that forbid.
    pub(super) forbids: Vec<RuleId>,
    /// Those that could not be evaluated.
    pub(super) errors: Vec<RuleId>,
    /// Something else went wrong.
    pub(super) is_broken: bool,
}

impl Policies {
    /// Reads a file of policies. `taken` are ids of other rules.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line or its id.
    pub(super) fn read(text: &str, taken: &BTreeSet<RuleId>) -> Result<Self, Vec<InvalidValueError>> {
        let read = stack::with_large_stack(|| Self::read_here(text, taken));
        read.unwrap_or_else(|| Err(vec![InvalidValueError::at("policy", "it cannot be read")]))
    }

    fn read_here(text: &str, taken: &BTreeSet<RuleId>) -> Result<Self, Vec<InvalidValueError>> {
        let parsed = parse::parse(text, taken)?;
        let actions: BTreeSet<String> = parsed.iter().flat_map(|policy| policy.actions.clone()).collect();
        let of_us = |why: String| vec![InvalidValueError::at("policy", why)];
        let schema = schema::general(&actions).map_err(of_us)?;
        let set = set_of(parsed.iter().filter(|policy| !policy.reads.arguments)).map_err(of_us)?;
        let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
        let errors = result.validation_errors().map(|error| (error.policy_id(), error.to_string()));
        let warnings = result.validation_warnings().filter_map(|warning| match warning {
            // A rule that can never match is not what its author meant.
            ValidationWarning::ImpossiblePolicy(_)
            | ValidationWarning::BidiCharsInString(_)
            | ValidationWarning::BidiCharsInIdentifier(_) => Some((warning.policy_id(), warning.to_string())),
            _ => None,
        });
        let problems: Vec<InvalidValueError> = errors
            .chain(warnings)
            .map(|(id, why)| InvalidValueError::at(format!("policy `{id}`"), parse::shown(&why)))
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let index = parsed.iter().enumerate().map(|(index, one)| (one.id.to_string(), index)).collect();
        let types = Types::new().map_err(of_us)?;
        let entities = schema::entities().map_err(of_us)?;
        Ok(Self { parsed, index, actions, types, entities })
    }

    /// Ids of all policies.
    pub(super) fn ids(&self) -> impl Iterator<Item = &RuleId> {
        self.parsed.iter().map(|policy| &policy.id)
    }

    /// Ids of the policies that can concern a target of this slice.
    pub(super) fn concerned(&self, slice: &Slice) -> Vec<RuleId> {
        let mut all: Vec<usize> =
            [&slice.open, &slice.arguments].iter().flat_map(|part| part.policies.clone()).collect();
        all.sort_unstable();
        all.into_iter().filter_map(|at| self.parsed.get(at)).map(|policy| policy.id.clone()).collect()
    }

    /// Whether any policy permits.
    pub(super) fn has_permit(&self) -> bool {
        self.parsed.iter().any(|policy| policy.permits)
    }

    /// The `@reason` of a policy.
    pub(super) fn reason(&self, id: &RuleId) -> Option<Arc<str>> {
        self.parsed.get(*self.index.get(id.as_str())?)?.reason.clone()
    }

    /// The caller as policies see it; `None` if it cannot be made, which must deny.
    pub(super) fn caller(&self, principal: &Principal) -> Option<Caller> {
        self.types.caller(principal)
    }

    /// Decides by the policies that read no arguments.
    pub(super) fn decide(&self, slice: &Slice, caller: &Caller, target: &Target, moment: &Moment) -> Outcome {
        if !slice.misfits.is_empty() {
            return Outcome { errors: slice.misfits.clone(), ..Outcome::default() };
        }
        let Some(context) = entity::context(moment, &slice.open.circumstances, None) else {
            return Outcome::broken();
        };
        self.evaluate(slice, &slice.open, caller, target, context)
    }

    /// Decides by the policies that read arguments; all of them forbid.
    pub(super) fn decide_arguments(
        &self,
        slice: &Slice,
        caller: &Caller,
        target: &Target,
        moment: &Moment,
        facts: &ArgumentFacts,
    ) -> Outcome {
        let Some(arguments) = facts.arguments() else {
            return Outcome { errors: self.ids_of(&slice.arguments), ..Outcome::default() };
        };
        let unreadable = entity::unreadable(arguments, &slice.types);
        let errs = |policy: &&Parsed| {
            let names = &policy.reads.argument_names;
            !unreadable.is_empty()
                && (policy.reads.all_arguments || names.iter().any(|name| unreadable.contains(name.as_str())))
        };
        let errors: Vec<RuleId> =
            self.of(&slice.arguments).filter(errs).map(|policy| policy.id.clone()).collect();
        if !errors.is_empty() {
            return Outcome { errors, ..Outcome::default() };
        }
        let record = entity::record(arguments, &slice.types, 0);
        let context =
            record.and_then(|record| entity::context(moment, &slice.arguments.circumstances, Some(record)));
        let Some(context) = context else { return Outcome::broken() };
        self.evaluate(slice, &slice.arguments, caller, target, context)
    }

    fn evaluate(
        &self,
        slice: &Slice,
        part: &Part,
        caller: &Caller,
        target: &Target,
        context: Context,
    ) -> Outcome {
        if part.policies.is_empty() {
            return Outcome::default();
        }
        let Some((resource, entities)) = self.world(slice, caller, target) else { return Outcome::broken() };
        let (principal, action) = (caller.uid.clone(), slice.action.clone());
        let Ok(request) = Request::new(principal, action, resource, context, None) else {
            return Outcome::broken();
        };
        let response = Authorizer::new().is_authorized(&request, &part.set, &entities);
        let by = self.sorted(response.diagnostics().reason());
        let errors = response.diagnostics().errors().map(|error| match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
        });
        let errors = self.sorted(errors);
        match response.decision() {
            Decision::Allow => Outcome { permits: by, errors, ..Outcome::default() },
            Decision::Deny => Outcome { forbids: by, errors, ..Outcome::default() },
        }
    }

    /// The target's name, and all entities of a decision.
    fn world(&self, slice: &Slice, caller: &Caller, target: &Target) -> Option<(EntityUid, Entities)> {
        let (resource, around) = match &slice.world {
            Some((resource, around)) => (resource.clone(), around.clone()),
            None => self.types.unbound(target, &slice.action)?,
        };
        Some((resource, around.add_entities([caller.entity.clone()], None).ok()?))
    }

    fn sorted<'a>(&self, ids: impl Iterator<Item = &'a cedar_policy::PolicyId>) -> Vec<RuleId> {
        let mut found: Vec<usize> =
            ids.filter_map(|id| self.index.get::<str>(id.as_ref()).copied()).collect();
        found.sort_unstable();
        found.into_iter().filter_map(|at| self.parsed.get(at)).map(|policy| policy.id.clone()).collect()
    }

    fn of<'a>(&'a self, part: &'a Part) -> impl Iterator<Item = &'a Parsed> {
        part.policies.iter().filter_map(|at| self.parsed.get(*at))
    }

    fn ids_of(&self, part: &Part) -> Vec<RuleId> {
        self.of(part).map(|policy| policy.id.clone()).collect()
    }

    /// Plugins, tools, groups, signers and subjects that policies name, each with its word.
    pub(super) fn named(&self) -> Vec<(&RuleId, &'static str, String)> {
        let mut named = Vec::new();
        for policy in &self.parsed {
            for uid in policy.policy.entity_literals() {
                let word = match uid.type_name().basename() {
                    "Plugin" => "plugin",
                    "Tool" => "tool",
                    "Group" => "group",
                    "Signer" => "signer",
                    "User" | "Service" => "subject",
                    "Action" if !schema::ACTIONS.contains(&id_of(&uid)) => "tool",
                    _ => continue,
                };
                named.push((&policy.id, word, id_of(&uid).to_owned()));
            }
        }
        named
    }

    /// Permits that a forbid without conditions makes useless, each with that forbid.
    pub(super) fn shadowed(&self) -> Vec<(&RuleId, &RuleId)> {
        let is_any = |policy: &&Parsed| {
            !policy.permits
                && !policy.policy.has_non_scope_constraint()
                && policy.policy.principal_constraint() == cedar_policy::PrincipalConstraint::Any
        };
        let mut shadowed = Vec::new();
        for forbid in self.parsed.iter().filter(is_any) {
            let wider = |permit: &&Parsed| {
                let action = forbid.action == ActionConstraint::Any || forbid.action == permit.action;
                let resource =
                    forbid.resource == ResourceConstraint::Any || forbid.resource == permit.resource;
                permit.permits && action && resource
            };
            shadowed.extend(self.parsed.iter().filter(wider).map(|permit| (&permit.id, &forbid.id)));
        }
        shadowed
    }
}

impl Outcome {
    fn broken() -> Self {
        Self { is_broken: true, ..Self::default() }
    }
}

fn set_of<'a>(policies: impl Iterator<Item = &'a Parsed>) -> Result<PolicySet, String> {
    PolicySet::from_policies(policies.map(|policy| policy.policy.clone()))
        .map_err(|error| redact::printable(&error.to_string(), 200))
}
