//! Policies cut to what can concern one tool, so that a decision costs what its own policies cost.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Entities, EntityUid, PolicySet, ResourceConstraint, ValidationMode, Validator,
};

use super::entity::Types;
use super::parse::{self, Parsed, id_of};
use super::{Policies, schema, set_of, stack};
use crate::call::facts::ArgumentType;
use crate::call::rule_id::RuleId;
use crate::call::served::ServedTool;
use crate::call::target::{Target, TargetKind};

/// The policies that can concern a tool, or any resource or prompt.
#[derive(Debug)]
pub(in crate::call) struct Slice {
    /// The action of a use.
    pub(super) action: EntityUid,
    /// Policies that read no arguments.
    pub(super) open: Arc<Part>,
    /// Policies that do.
    pub(super) arguments: Arc<Part>,
    /// Types of the arguments.
    pub(super) types: ArgumentTypes,
    /// The tool's entity with those around it; `None` where the target is not known yet.
    pub(super) world: Option<(EntityUid, Entities)>,
    /// Policies that are wrong for the tool's types. They deny.
    pub(super) misfits: Vec<RuleId>,
}

/// Policies that are evaluated together; shared by the slices that have the same.
#[derive(Debug)]
pub(super) struct Part {
    /// Indices, ascending.
    pub(super) policies: Vec<usize>,
    pub(super) set: PolicySet,
    /// Names of the circumstances that are read.
    pub(super) circumstances: BTreeSet<String>,
    scopes: BTreeSet<String>,
}

/// Parts by their policies, and misfits by the policies and the types that they are about.
#[derive(Debug, Default)]
pub(in crate::call) struct PartCache {
    parts: HashMap<Vec<usize>, Arc<Part>>,
    misfits: HashMap<(Vec<usize>, ArgumentTypes), Misfits>,
}

/// Policies that are wrong for a tool, each with the reason.
type Misfits = Vec<(RuleId, String)>;

/// Types of arguments by name.
type ArgumentTypes = BTreeMap<String, ArgumentType>;

/// A target as far as it is known when policies are cut.
#[derive(Clone, Copy)]
enum Known<'a> {
    Target(&'a Target),
    Kind(&'static str),
}

impl Slice {
    /// Whether a verdict without arguments depends on the circumstances, so that it cannot be remembered.
    pub(in crate::call) fn reads_context(&self) -> bool {
        !self.open.circumstances.is_empty()
    }

    /// Whether a call needs its arguments to be looked at.
    pub(in crate::call) fn reads_arguments(&self) -> bool {
        !self.arguments.policies.is_empty()
    }

    /// Texts of policies that read scopes, so all scopes that can make a difference.
    pub(in crate::call) fn scopes(&self) -> &BTreeSet<String> {
        &self.open.scopes
    }
}

impl Policies {
    /// The policies for a tool, and those about arguments that are wrong for its types, each with the reason.
    pub(in crate::call) fn slice(
        &self,
        served: &ServedTool,
        parts: &mut PartCache,
    ) -> Option<(Slice, Vec<(RuleId, String)>)> {
        let target = &served.target;
        let name = target.tool()?.as_str();
        // An action of that name has another meaning: such a tool is called as a tool without a name.
        let action = if schema::ACTIONS.contains(&name) { "call" } else { name };
        let (open, arguments) = self.cut(action, Known::Target(target), parts)?;
        // Conditions cannot name the action, so tools of equal types are equal to them.
        let key = (arguments.policies.clone(), served.arguments.clone());
        let misfits = match parts.misfits.get(&key) {
            Some(known) if action != "call" => known.clone(),
            _ => self.misfits(action, served, &arguments),
        };
        if action != "call" {
            parts.misfits.insert(key, misfits.clone());
        }
        let slice = Slice {
            action: self.types.action(action),
            open,
            arguments,
            types: served.arguments.clone(),
            world: Some(self.types.target(target, served.destructive, action)?),
            misfits: misfits.iter().map(|(id, _)| id.clone()).collect(),
        };
        Some((slice, misfits))
    }

    /// The policies for any resource or any prompt.
    pub(in crate::call) fn slice_of_kind(&self, is_resource: bool, parts: &mut PartCache) -> Option<Slice> {
        let (action, kind) = if is_resource { ("read", "Resource") } else { ("get", "Prompt") };
        let (open, arguments) = self.cut(action, Known::Kind(kind), parts)?;
        let misfits = self.of(&arguments).map(|policy| policy.id.clone()).collect();
        let action = self.types.action(action);
        Some(Slice { action, open, arguments, types: BTreeMap::new(), world: None, misfits })
    }

    fn cut(&self, action: &str, known: Known<'_>, parts: &mut PartCache) -> Option<(Arc<Part>, Arc<Part>)> {
        let concerns = |policy: &Parsed| concerns_action(policy, action) && concerns_resource(policy, known);
        let own = self.parsed.iter().enumerate().filter(|(_, policy)| concerns(policy));
        let (arguments, open): (Vec<_>, Vec<_>) = own.partition(|(_, policy)| policy.reads.arguments);
        Some((parts.of(&open)?, parts.of(&arguments)?))
    }

    fn misfits(&self, action: &str, served: &ServedTool, arguments: &Part) -> Vec<(RuleId, String)> {
        let all = |why: &str| self.of(arguments).map(|policy| (policy.id.clone(), why.to_owned())).collect();
        if arguments.policies.is_empty() {
            return Vec::new();
        }
        if action == "call" {
            return all("a tool named call, read or get has no action of its own; give its plugin a prefix");
        }
        let schema = match schema::of_tool(&self.entities, action, &served.arguments, &self.actions) {
            Ok(schema) => schema,
            Err(why) => return all(&why),
        };
        let validate = || Validator::new(schema).validate(&arguments.set, ValidationMode::Strict);
        let Some(result) = stack::with_large_stack(validate) else { return all("it cannot be validated") };
        let errors = result.validation_errors();
        let found = errors.filter_map(|error| {
            let at = self.index.get::<str>(error.policy_id().as_ref())?;
            Some((self.parsed.get(*at)?.id.clone(), parse::shown(&error.to_string())))
        });
        let found: Vec<(RuleId, String)> = found.collect();
        if found.is_empty() && !result.validation_passed() {
            return all("it does not fit the tool");
        }
        found
    }
}

impl PartCache {
    fn of(&mut self, policies: &[(usize, &Parsed)]) -> Option<Arc<Part>> {
        let key: Vec<usize> = policies.iter().map(|(index, _)| *index).collect();
        if let Some(known) = self.parts.get(&key) {
            return Some(Arc::clone(known));
        }
        let own = || policies.iter().map(|(_, policy)| *policy);
        let part = Arc::new(Part {
            policies: key.clone(),
            set: set_of(own()).ok()?,
            circumstances: own().flat_map(|policy| policy.reads.circumstances.clone()).collect(),
            scopes: own()
                .filter(|policy| policy.reads.scopes)
                .flat_map(|policy| policy.reads.texts.clone())
                .collect(),
        });
        self.parts.insert(key, Arc::clone(&part));
        Some(part)
    }
}

fn concerns_action(policy: &Parsed, action: &str) -> bool {
    let is_tool = action != "read" && action != "get";
    match &policy.action {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(one) => id_of(one) == action,
        ActionConstraint::In(some) => {
            some.iter().any(|one| id_of(one) == action || (is_tool && id_of(one) == "call"))
        }
    }
}

fn concerns_resource(policy: &Parsed, known: Known<'_>) -> bool {
    match &policy.resource {
        ResourceConstraint::Any => true,
        ResourceConstraint::Is(kind) => known.is_kind(kind.basename()),
        ResourceConstraint::Eq(one) => known.is_kind(one.type_name().basename()) && known.is_in(one),
        ResourceConstraint::In(one) => known.is_in(one),
        ResourceConstraint::IsIn(kind, one) => known.is_kind(kind.basename()) && known.is_in(one),
    }
}

impl Known<'_> {
    fn kind(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind,
            Self::Target(target) => match target.kind() {
                TargetKind::Tool(_) => "Tool",
                TargetKind::Resource(_) => "Resource",
                TargetKind::Prompt(_) => "Prompt",
            },
        }
    }

    fn is_kind(self, kind: &str) -> bool {
        self.kind() == kind
    }

    /// Whether it may be this entity, or lie in it.
    fn is_in(self, entity: &EntityUid) -> bool {
        let (kind, id) = (entity.type_name().basename(), id_of(entity));
        match self {
            Self::Kind(own) => kind == own || kind == "Plugin" || kind == "Signer",
            Self::Target(target) => match kind {
                "Plugin" => target.plugin().as_str() == id,
                "Signer" => target.facts().signers.contains(id),
                kind => kind == self.kind() && target.kind().name() == id,
            },
        }
    }
}

impl Types {
    /// The entities of a target that was not known when policies were cut.
    pub(super) fn unbound(&self, target: &Target, action: &EntityUid) -> Option<(EntityUid, Entities)> {
        self.target(target, false, id_of(action))
    }
}
