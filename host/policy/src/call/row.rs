//! Rows of `[[allow]]`: sets alone, no operators. A row permits; it never forbids.

use std::collections::BTreeSet;

use super::rule_id::RuleId;
use super::target::{Target, TargetKind};
use crate::capability::Effects;
use crate::principal::{API_KEY_ISSUER, Principal, PrincipalKind};
use crate::{PluginName, ToolName};

mod cedar_text;
mod read;

pub use read::{RowText, ToolsText, WhoText};

/// A checked row. It covers a use if it covers the caller and the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    id: RuleId,
    who: Who,
    tools: Option<Tools>,
    resources: Option<BTreeSet<Pattern>>,
    prompts: Option<BTreeSet<Pattern>>,
}

/// Sets about the caller; all that are there must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Who {
    groups: Option<BTreeSet<String>>,
    scopes: BTreeSet<String>,
    clients: Option<BTreeSet<String>>,
    /// Never the host. Absent: users and services, so whoever has a credential.
    kinds: Option<BTreeSet<PrincipalKind>>,
    subjects: Option<BTreeSet<String>>,
}

/// Sets about the plugin and the tool; all that are there must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tools {
    plugins: Option<BTreeSet<PluginName>>,
    names: Option<BTreeSet<ToolName>>,
    effects_at_most: Option<Effects>,
    signed_by: Option<BTreeSet<String>>,
}

/// A text, or the beginning of texts where `*` was the last character.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Pattern {
    Exactly(String),
    Beginning(String),
}

impl Row {
    /// The name.
    pub fn id(&self) -> &RuleId {
        &self.id
    }

    /// Scopes that the caller needs, all of them.
    pub fn scopes(&self) -> &BTreeSet<String> {
        &self.who.scopes
    }

    /// Whether it covers this use.
    pub fn covers(&self, principal: &Principal, target: &Target) -> bool {
        self.covers_target(target) && self.covers_caller(principal)
    }

    /// Whether it covers this target, whoever calls.
    pub fn covers_target(&self, target: &Target) -> bool {
        self.target_miss(target).is_none()
    }

    /// Whether it covers this caller, whatever is called.
    pub fn covers_caller(&self, principal: &Principal) -> bool {
        self.caller_miss(principal).is_none()
    }

    /// The sets that do not hold, as they are named in the configuration.
    pub fn misses(&self, principal: &Principal, target: &Target) -> Vec<&'static str> {
        self.caller_miss(principal).into_iter().chain(self.target_miss(target)).collect()
    }

    /// The first set about the caller that does not hold.
    fn caller_miss(&self, principal: &Principal) -> Option<&'static str> {
        let who = &self.who;
        let kind = principal.kind();
        let is_named = match &who.kinds {
            Some(kinds) => kinds.contains(&kind),
            // Without `kinds`, a local peer is not meant: it has no credential.
            None => matches!(kind, PrincipalKind::User | PrincipalKind::Service),
        };
        if !is_named || kind == PrincipalKind::Host {
            return Some("who.kinds");
        }
        let identity = principal.identity();
        let groups = |named: &BTreeSet<String>| identity.is_some_and(|of| !named.is_disjoint(&of.groups));
        if !who.groups.as_ref().is_none_or(groups) {
            return Some("who.groups");
        }
        if !who.scopes.is_empty() && !identity.is_some_and(|of| who.scopes.is_subset(&of.scopes)) {
            return Some("who.scopes");
        }
        let client = identity.and_then(|of| of.client.as_ref());
        let clients = |named: &BTreeSet<String>| client.is_some_and(|client| named.contains(client));
        if !who.clients.as_ref().is_none_or(clients) {
            return Some("who.clients");
        }
        (!self.covers_subject(principal)).then_some("who.subjects")
    }

    fn covers_subject(&self, principal: &Principal) -> bool {
        let Some(subjects) = &self.who.subjects else { return true };
        let Some(identity) = principal.identity() else { return false };
        // A client could be registered under the name of a person: a subject means a person, or an API key, unless the
        // row says `kinds`.
        let is_meant = self.who.kinds.is_some()
            || (identity.issuer == API_KEY_ISSUER) == (principal.kind() == PrincipalKind::Service);
        is_meant && subjects.contains(&format!("{}/{}", identity.issuer, identity.subject))
    }

    /// The first set about the target that does not hold.
    fn target_miss(&self, target: &Target) -> Option<&'static str> {
        let facts = target.facts();
        let tools = self.tools.as_ref();
        let names = tools.and_then(|tools| tools.names.as_ref());
        let covers_all = tools.is_some() && names.is_none();
        let named = |patterns: &Option<BTreeSet<Pattern>>, text: &str| match patterns {
            Some(patterns) => patterns.iter().any(|pattern| pattern.matches(text)),
            None => covers_all,
        };
        let (is_named, set) = match target.kind() {
            TargetKind::Tool(name) => {
                (covers_all || names.is_some_and(|names| names.contains(name)), "tools.names")
            }
            TargetKind::Resource(uri) => (named(&self.resources, uri), "resources"),
            TargetKind::Prompt(name) => (named(&self.prompts, name), "prompts"),
        };
        if !is_named {
            return Some(set);
        }
        let tools = tools?;
        if !tools.plugins.as_ref().is_none_or(|plugins| plugins.contains(&facts.name)) {
            return Some("tools.plugins");
        }
        if !tools.effects_at_most.is_none_or(|most| facts.effects.and(most) == most) {
            return Some("tools.effects_at_most");
        }
        let signed = |by: &BTreeSet<String>| !by.is_disjoint(&facts.signers);
        (!tools.signed_by.as_ref().is_none_or(signed)).then_some("tools.signed_by")
    }

    /// Plugins, tools, groups and signers that it names, each with its word.
    pub fn named(&self) -> Vec<(&'static str, &str)> {
        let mut named: Vec<(&'static str, &str)> = Vec::new();
        named.extend(self.who.groups.iter().flatten().map(|group| ("group", group.as_str())));
        if let Some(tools) = &self.tools {
            named.extend(tools.plugins.iter().flatten().map(|name| ("plugin", name.as_str())));
            named.extend(tools.names.iter().flatten().map(|name| ("tool", name.as_str())));
            named.extend(tools.signed_by.iter().flatten().map(|name| ("signer", name.as_str())));
        }
        named.extend(self.who.subjects.iter().flatten().map(|subject| ("subject", subject.as_str())));
        named
    }
}

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exactly(own) => own == text,
            Self::Beginning(own) => text.starts_with(own.as_str()),
        }
    }
}
