//! Permits that do not permit a use, and the condition of each that does not hold.

use std::sync::Arc;

use cedar_policy::pst::{self, BinaryOp, Clause, Expr};
use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, Policy, PolicySet, Request};

use super::parse::Parsed;
use super::{Caller, Policies, Slice, entity, stack};
use crate::call::moment::Moment;
use crate::call::rule_id::RuleId;
use crate::call::target::Target;
use crate::limits::rules::CEDAR_MESSAGE_CHARS_MAX;
use crate::redact::printable;

/// One use, in which the parts of policies are tried.
struct World {
    principal: EntityUid,
    action: EntityUid,
    resource: EntityUid,
    entities: Entities,
    context: Context,
}

impl Policies {
    /// Each permit with the parts of it that do not hold; those that permit it are left out.
    pub(in crate::call) fn misses(
        &self,
        slice: &Slice,
        caller: &Caller,
        target: &Target,
        moment: &Moment,
    ) -> Vec<(RuleId, Vec<String>)> {
        // Permits that are not about this target may read other circumstances.
        let all = self.parsed.iter().flat_map(|policy| policy.reads.circumstances.clone()).collect();
        let context = entity::context(moment, &all, None);
        let world = self.world(slice, caller, target);
        let (Some(context), Some((resource, entities))) = (context, world) else { return Vec::new() };
        let (principal, action) = (caller.uid.clone(), slice.action.clone());
        let world = World { principal, action, resource, entities, context };
        let find = || {
            let permits = self.parsed.iter().filter(|policy| policy.permits);
            let missed = permits.map(|policy| (policy.id.clone(), world.lacks(policy)));
            missed.filter(|(_, lacks)| !lacks.is_empty()).collect()
        };
        stack::with_large_stack(find).unwrap_or_default()
    }
}

impl World {
    fn lacks(&self, policy: &Parsed) -> Vec<String> {
        let Ok(pst::Policy::Static(tree)) = policy.policy.to_pst() else { return Vec::new() };
        let tree = tree.body();
        let blank = pst::Template::new(
            tree.id.clone(),
            pst::Effect::Permit,
            pst::PrincipalConstraint::Any,
            pst::ActionConstraint::Any,
            pst::ResourceConstraint::Any,
        );
        let mut lacks = Vec::new();
        let mut scopes =
            [("principal", blank.clone()), ("action", blank.clone()), ("resource", blank.clone())];
        let [(_, principal), (_, action), (_, resource)] = &mut scopes;
        principal.principal = tree.principal.clone();
        action.action = tree.action.clone();
        resource.resource = tree.resource.clone();
        for (word, scope) in scopes {
            if !self.holds(scope) {
                lacks.push(format!("{word} in its scope"));
            }
        }
        for clause in tree.clauses() {
            for part in parts(clause) {
                let text = printable(&part.to_string(), CEDAR_MESSAGE_CHARS_MAX);
                let holds = blank.clone().try_with_clauses(vec![part]).is_ok_and(|alone| self.holds(alone));
                if !holds {
                    lacks.push(text);
                    // What stands to its right may make sense only where it holds.
                    break;
                }
            }
        }
        lacks
    }

    fn holds(&self, part: pst::Template) -> bool {
        let request = Request::new(
            self.principal.clone(),
            self.action.clone(),
            self.resource.clone(),
            self.context.clone(),
            None,
        );
        let policy = pst::StaticPolicy::try_from(part).ok().map(pst::Policy::Static);
        let set = policy.and_then(|policy| PolicySet::from_policies([Policy::from_pst(policy).ok()?]).ok());
        let (Ok(request), Some(set)) = (request, set) else { return false };
        Authorizer::new().is_authorized(&request, &set, &self.entities).decision() == Decision::Allow
    }
}

/// The parts of a condition that must all hold, from left to right.
fn parts(clause: &Clause) -> Vec<Clause> {
    let Clause::When(condition) = clause else { return vec![clause.clone()] };
    let (mut parts, mut left) = (Vec::new(), vec![condition]);
    while let Some(next) = left.pop() {
        match &**next {
            Expr::BinaryOp { op: BinaryOp::And, left: one, right: other } => left.extend([other, one]),
            _ => parts.push(Clause::When(Arc::clone(next))),
        }
    }
    parts
}
