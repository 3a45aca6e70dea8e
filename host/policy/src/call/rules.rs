//! All rules about calls as one value, replaced as a whole together with the tools. [`RuleSet`] is what the operator
//! wrote; bound to the tools that are served it becomes [`Rules`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::cedar::{Caller, PartCache, Policies, Slice};
use super::denied::DeniedError;
use super::facts::ArgumentFacts;
use super::memo::Memo;
use super::moment::Moment;
use super::row::{Row, RowText};
use super::rule_id::RuleId;
use super::served::{DeadRule, RuleMisfit, ServedTool};
use super::target::{Target, TargetKind};
use crate::capability::Effects;
use crate::limits::rules::{CEDAR_ACTIONS_MAX, OBTAINABLE_SCOPES_MAX};
use crate::principal::{Principal, PrincipalKind};
use crate::{Digest, InvalidValueError, ToolName};

mod covering;
mod dead;
mod misses;
mod scopes;

/// Rules as the operator wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleSetText {
    /// Whether callers need credentials (`[auth]`). Then nothing is permitted that no rule permits; else a local caller
    /// may use what is served unless a rule forbids it.
    pub authenticated: bool,
    /// `[[allow]]`.
    pub rows: Vec<RowText>,
    /// Content of the file of Cedar policies.
    pub cedar: Option<String>,
    /// Every issuer by its `id`, with the scopes that a client can still obtain there.
    pub obtainable: BTreeMap<String, BTreeSet<String>>,
}

/// Rules that were checked, not yet bound to tools. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RuleSet(Arc<Checked>);

#[derive(Debug, Default)]
struct Checked {
    authenticated: bool,
    rows: Vec<Row>,
    cedar: Option<Policies>,
    obtainable: BTreeMap<String, BTreeSet<String>>,
    digest: Option<Digest>,
}

/// The rules in force, bound to the tools that are served. Cheap to clone; clones remember verdicts together.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    set: Arc<Checked>,
    bound: Arc<Bound>,
    memo: Arc<Memo<Caller, Verdict>>,
}

/// The rules that permit a use, or the reason why not.
pub(super) type Verdict = Result<Arc<[RuleId]>, DeniedError>;

#[derive(Debug, Default)]
struct Bound {
    tools: Vec<BoundTool>,
    /// Indices in `tools`. Several only where tools of several tenants have one name.
    names: HashMap<ToolName, Vec<u32>>,
    resources: Option<Slice>,
    prompts: Option<Slice>,
    dead: Vec<DeadRule>,
    /// Whether the verdict about any tool depends on the moment.
    reads_context: bool,
}

#[derive(Debug)]
struct BoundTool {
    target: Target,
    /// Rows that cover it, as indices.
    rows: Vec<usize>,
    slice: Option<Slice>,
}

/// The rules that are about a target.
#[derive(Clone, Copy)]
struct Part<'a> {
    number: Option<u32>,
    rows: Option<&'a [usize]>,
    slice: Option<&'a Slice>,
}

impl RuleSet {
    /// Checks rules.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key (`allow[0].who.groups[1]`) or the line of its policy.
    pub fn new(text: RuleSetText) -> Result<Self, Vec<InvalidValueError>> {
        let digest = text.digest();
        let mut problems = Vec::new();
        let rows = Row::check_all(&text.rows).map_err(|found| problems.extend(found)).unwrap_or_default();
        let taken = text.rows.iter().filter_map(|row| RuleId::parse(&row.id).ok()).chain([local(), host()]);
        let taken: BTreeSet<RuleId> = taken.collect();
        problems.extend(
            rows.iter().filter(|row| [local(), host()].contains(row.id())).map(|row| {
                InvalidValueError::at("allow", format!("`{}` is a rule of the program", row.id()))
            }),
        );
        let read = text.cedar.as_ref().map(|cedar| Policies::read(cedar, &taken)).transpose();
        let cedar = read.map_err(|found| problems.extend(found)).unwrap_or_default();
        for (issuer, scopes) in &text.obtainable {
            if scopes.len() > OBTAINABLE_SCOPES_MAX {
                let why = format!("{} scopes of `{issuer}`; at most {OBTAINABLE_SCOPES_MAX}", scopes.len());
                problems.push(InvalidValueError::at("scopes", why));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let (authenticated, obtainable) = (text.authenticated, text.obtainable);
        Ok(Self(Arc::new(Checked { authenticated, rows, cedar, obtainable, digest: Some(digest) })))
    }

    /// Digest of everything in the rules.
    pub fn digest(&self) -> Digest {
        self.0.digest.unwrap_or_else(|| Digest::of(b""))
    }

    /// Binds the rules to the tools that are served. A tool that a misfit names is denied to everybody, and its plugin's
    /// version should not be served.
    pub fn bind(&self, served: &[ServedTool]) -> (Rules, Vec<RuleMisfit>) {
        let set = &self.0;
        let (mut bound, mut misfits, mut parts) = (Bound::default(), Vec::new(), PartCache::default());
        let allowed = if set.cedar.is_some() { CEDAR_ACTIONS_MAX } else { usize::MAX };
        for tool in served.iter().take(allowed) {
            let covering = set.rows.iter().enumerate().filter(|(_, row)| row.covers_target(&tool.target));
            let rows = covering.map(|(index, _)| index).collect();
            let cut = set.cedar.as_ref().and_then(|cedar| cedar.slice(tool, &mut parts));
            let (slice, found) = cut.map_or((None, Vec::new()), |(slice, found)| (Some(slice), found));
            misfits.extend(found.into_iter().filter_map(|(id, why)| misfit(tool, id, why)));
            bound.push(BoundTool { target: tool.target.clone(), rows, slice });
        }
        let beyond = served.iter().skip(allowed);
        let why = format!("policies can be bound to {CEDAR_ACTIONS_MAX} tools at most");
        misfits.extend(
            beyond.filter_map(|tool| misfit(tool, RuleId::built_in("policy-actions-max"), why.clone())),
        );
        let mut of_kind = |is_resource| set.cedar.as_ref()?.slice_of_kind(is_resource, &mut parts);
        (bound.resources, bound.prompts) = (of_kind(true), of_kind(false));
        bound.dead = dead::find(set, served);
        bound.reads_context =
            bound.tools.iter().any(|tool| tool.slice.as_ref().is_some_and(Slice::reads_context));
        (Rules { set: Arc::clone(set), bound: Arc::new(bound), memo: Arc::default() }, misfits)
    }
}

impl Rules {
    /// Digest of everything in the rules.
    pub fn digest(&self) -> Digest {
        self.set.digest.unwrap_or_else(|| Digest::of(b""))
    }

    /// Rules without effect, or with names that exist nowhere.
    pub fn dead(&self) -> &[DeadRule] {
        &self.bound.dead
    }

    /// Ids of all rules of the operator, rows first: a test of the rules should see each of them decide.
    pub fn ids(&self) -> impl Iterator<Item = &RuleId> {
        let cedar = self.set.cedar.iter().flat_map(Policies::ids);
        self.set.rows.iter().map(Row::id).chain(cedar)
    }

    /// The rows as Cedar policies of the same meaning.
    pub fn to_cedar(&self) -> String {
        self.set.rows.iter().map(Row::to_cedar).collect::<Vec<_>>().join("\n")
    }

    /// Whether what a caller sees in a list of tools depends on the moment.
    pub fn lists_by_moment(&self) -> bool {
        self.bound.reads_context
    }

    /// Whether a call of this target needs facts about its arguments.
    pub fn reads_arguments(&self, target: &Target) -> bool {
        self.part(target).and_then(|part| part.slice).is_some_and(Slice::reads_arguments)
    }

    /// Decides about a use, arguments apart.
    pub(super) fn decide(&self, principal: &Principal, target: &Target, moment: &Moment) -> Verdict {
        if principal.kind() == PrincipalKind::Host {
            return of_host(target);
        }
        let Some(part) = self.part(target).filter(|_| moment.is_valid()) else { return errored(Vec::new()) };
        let Some(number) = part.number.filter(|_| !part.slice.is_some_and(Slice::reads_context)) else {
            return self.decide_anew(principal, target, moment, part);
        };
        if let Some(known) = self.memo.verdict(principal.digest(), number) {
            return known;
        }
        let verdict = self.decide_anew(principal, target, moment, part);
        self.memo.remember(principal.digest(), number, verdict.clone());
        verdict
    }

    /// Takes the time of a decision about a target that is not there, so that its absence is not seen by the clock. Only
    /// verdicts that are made anew each time take long enough to tell.
    pub(super) fn decide_nothing(&self, principal: &Principal, moment: &Moment) {
        let is_slow = |tool: &&BoundTool| tool.slice.as_ref().is_some_and(Slice::reads_context);
        if let Some(tool) = self.bound.tools.iter().find(is_slow) {
            drop(self.decide(principal, &tool.target, moment));
        }
    }

    /// Decides about the arguments of a use that is otherwise permitted.
    pub(super) fn decide_arguments(
        &self,
        principal: &Principal,
        target: &Target,
        moment: &Moment,
        facts: &ArgumentFacts,
    ) -> Result<(), DeniedError> {
        if principal.kind() == PrincipalKind::Host {
            return Ok(());
        }
        let part = self.part(target).ok_or(DeniedError::Errored { ids: Arc::default() })?;
        let (Some(cedar), Some(slice)) = (&self.set.cedar, part.slice.filter(|it| it.reads_arguments()))
        else {
            return Ok(());
        };
        let Some(caller) = self.caller(cedar, principal) else { return errored(Vec::new()).map(drop) };
        let outcome = cedar.decide_arguments(slice, &caller, target, moment, facts);
        if outcome.is_broken || !outcome.errors.is_empty() {
            return errored(outcome.errors).map(drop);
        }
        match outcome.forbids.into_iter().next() {
            None => Ok(()),
            Some(rule) => Err(DeniedError::Arguments { reason: cedar.reason(&rule), rule }),
        }
    }

    fn decide_anew(
        &self,
        principal: &Principal,
        target: &Target,
        moment: &Moment,
        part: Part<'_>,
    ) -> Verdict {
        let caller = self.set.cedar.as_ref().filter(|_| part.slice.is_some());
        let caller = caller.and_then(|cedar| self.caller(cedar, principal));
        let verdict = self.evaluate(principal, caller, target, moment, part);
        match verdict {
            Err(DeniedError::Hidden { .. }) => {
                self.with_more_scopes(principal, target, moment, part).map_or(verdict, Err)
            }
            decided => decided,
        }
    }

    /// Decides by everything that is about a target. `caller` is the principal as policies see it.
    fn evaluate(
        &self,
        principal: &Principal,
        caller: Option<Arc<Caller>>,
        target: &Target,
        moment: &Moment,
        part: Part<'_>,
    ) -> Verdict {
        let is_local = principal.kind() == PrincipalKind::Local;
        let mut permits: Vec<RuleId> =
            (is_local && !self.set.authenticated).then(local).into_iter().collect();
        match part.rows {
            Some(rows) => {
                let rows = rows.iter().filter_map(|index| self.set.rows.get(*index));
                permits.extend(rows.filter(|row| row.covers_caller(principal)).map(|row| row.id().clone()));
            }
            None => {
                let rows = self.set.rows.iter().filter(|row| row.covers(principal, target));
                permits.extend(rows.map(|row| row.id().clone()));
            }
        }
        if let (Some(cedar), Some(slice)) = (&self.set.cedar, part.slice) {
            let Some(caller) = caller else { return errored(Vec::new()) };
            let outcome = cedar.decide(slice, &caller, target, moment);
            if outcome.is_broken || !outcome.errors.is_empty() {
                return errored(outcome.errors);
            }
            if !outcome.forbids.is_empty() {
                return Err(DeniedError::Hidden { by: outcome.forbids.into() });
            }
            permits.extend(outcome.permits);
        }
        if permits.is_empty() { Err(DeniedError::Hidden { by: Arc::default() }) } else { Ok(permits.into()) }
    }

    fn caller(&self, cedar: &Policies, principal: &Principal) -> Option<Arc<Caller>> {
        self.memo.caller(principal.digest(), || cedar.caller(principal))
    }

    /// The rules about a target; `None` if there are policies and it was not bound, or not with these bytes.
    fn part(&self, target: &Target) -> Option<Part<'_>> {
        let slice = match target.kind() {
            TargetKind::Tool(name) => {
                let mut numbers = self.bound.names.get(name).into_iter().flatten();
                let of =
                    |number: &u32| Some((*number, self.bound.tools.get(usize::try_from(*number).ok()?)?));
                let found = numbers.find_map(|number| of(number).filter(|(_, tool)| tool.target == *target));
                match found {
                    Some((number, tool)) if self.set.cedar.is_none() || tool.slice.is_some() => {
                        let (rows, slice) = (Some(tool.rows.as_slice()), tool.slice.as_ref());
                        return Some(Part { number: Some(number), rows, slice });
                    }
                    _ => None,
                }
            }
            TargetKind::Resource(_) => self.bound.resources.as_ref(),
            TargetKind::Prompt(_) => self.bound.prompts.as_ref(),
        };
        let is_complete = self.set.cedar.is_none() || slice.is_some();
        is_complete.then_some(Part { number: None, rows: None, slice })
    }
}

impl Bound {
    fn push(&mut self, tool: BoundTool) {
        // More tools than numbers cannot be: they would not fit into memory.
        if let (Ok(number), Some(name)) = (u32::try_from(self.tools.len()), tool.target.tool()) {
            self.names.entry(name.clone()).or_default().push(number);
            self.tools.push(tool);
        }
    }
}

impl RuleSetText {
    fn digest(&self) -> Digest {
        let is_empty = !self.authenticated && self.rows.is_empty() && self.cedar.is_none();
        if is_empty { Digest::of(b"") } else { Digest::of(format!("{self:?}").as_bytes()) }
    }
}

fn local() -> RuleId {
    RuleId::built_in("local-principal-may-call-what-is-served")
}

fn host() -> RuleId {
    RuleId::built_in("host-may-ask-without-effects")
}

/// The host's own question to a plugin carries no grant, so it has no effects. No rule of the operator sees it.
fn of_host(target: &Target) -> Verdict {
    let may = target.effects() == Effects::default();
    if may { Ok(Arc::new([host()])) } else { Err(DeniedError::Hidden { by: Arc::default() }) }
}

fn errored(ids: Vec<RuleId>) -> Verdict {
    Err(DeniedError::Errored { ids: ids.into() })
}

fn misfit(tool: &ServedTool, rule: RuleId, why: String) -> Option<RuleMisfit> {
    let target = &tool.target;
    Some(RuleMisfit { plugin: target.plugin().clone(), tool: target.tool()?.clone(), rule, why })
}
