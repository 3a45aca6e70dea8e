//! Callers, tools and moments for the tests of rules.
#![expect(clippy::disallowed_methods, reason = "callers and tools are made up here")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::capability::Effects;
use crate::principal::{CallerIdentity, IdentityKind, Principal};
use crate::{Digest, InvalidValueError, ToolName};

pub(super) fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub(super) fn list(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(|text| (*text).to_owned()).collect())
}

pub(super) fn identity(kind: IdentityKind, name: &str) -> CallerIdentity {
    let (issuer, subject) = name.split_once('/').unwrap();
    CallerIdentity {
        kind,
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        client: Some("editor".to_owned()),
        tenant: "acme".parse().unwrap(),
        groups: BTreeSet::new(),
        scopes: BTreeSet::new(),
        actors: Vec::new(),
        tools: None,
    }
}

pub(super) fn caller(identity: CallerIdentity) -> Principal {
    Principal::identified(identity)
}

pub(super) fn user(name: &str, groups: &[&str], scopes: &[&str]) -> Principal {
    caller(CallerIdentity { groups: set(groups), scopes: set(scopes), ..identity(IdentityKind::User, name) })
}

pub(super) fn service(name: &str) -> Principal {
    caller(identity(IdentityKind::Service, name))
}

pub(super) fn local() -> Principal {
    Principal::local("uid-1000")
}

pub(super) fn host() -> Principal {
    Principal::host()
}

pub(super) fn effects(words: &str) -> Effects {
    Effects {
        reads: words.contains("reads"),
        writes: words.contains("writes"),
        reaches_out: words.contains("out"),
    }
}

pub(super) fn plugin(name: &str, words: &str, signers: &[&str]) -> Arc<PluginFacts> {
    Arc::new(PluginFacts {
        name: name.parse().unwrap(),
        digest: Digest::of(name.as_bytes()),
        version: Some("1.0.0".to_owned()),
        effects: effects(words),
        hosts: set(&["api.example.com"]),
        signers: set(signers),
        roles: set(&["author"]),
    })
}

pub(super) fn target(kind: TargetKind, plugin: &Arc<PluginFacts>) -> Target {
    Target::new(kind, Arc::clone(plugin))
}

pub(super) fn tool(name: &str, plugin: &Arc<PluginFacts>) -> Target {
    target(TargetKind::Tool(ToolName::parse(name).unwrap()), plugin)
}

pub(super) fn served(target: &Target, arguments: &[(&str, ArgumentType)]) -> ServedTool {
    let arguments = arguments.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())).collect();
    ServedTool { target: target.clone(), arguments, destructive: false }
}

pub(super) fn facts(pairs: &[(&str, ArgumentFact)]) -> ArgumentFacts {
    ArgumentFacts::new(pairs.iter().map(|(name, fact)| ((*name).to_owned(), fact.clone())).collect())
}

/// Saturday noon, over HTTP, from a runner.
pub(super) const NOON: Moment = Moment {
    now_s: 1_769_860_800,
    hour: 12,
    weekday: 6,
    source: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 20, 0, 7))),
    transport: Transport::Http,
};

pub(super) fn text(rows: Vec<RowText>, cedar: &str) -> RuleSetText {
    let cedar = (!cedar.is_empty()).then(|| cedar.to_owned());
    let issuers = ["corp", "partner"].map(|issuer| (issuer.to_owned(), BTreeSet::new()));
    RuleSetText { authenticated: true, rows, cedar, obtainable: BTreeMap::from(issuers) }
}

/// Rules that are right, bound to these tools without a misfit.
pub(super) fn rules(text: RuleSetText, tools: &[ServedTool]) -> Rules {
    let (rules, misfits) = RuleSet::new(text).unwrap().bind(tools);
    assert_eq!(misfits, []);
    rules
}

pub(super) fn problems(text: RuleSetText) -> Vec<InvalidValueError> {
    RuleSet::new(text).map(drop).unwrap_err()
}

/// The whole verdict, as `permit: a`, `hidden: b`, `deny: c` or `scope: d`.
pub(super) fn word(
    rules: &Rules,
    principal: &Principal,
    target: &Target,
    moment: &Moment,
    facts: &ArgumentFacts,
) -> String {
    let settled =
        judge(rules, principal, Some(target), moment).and_then(|judged| settle(judged, rules, facts, moment));
    let (word, by) = rules.verdict_word(principal, Some(target), moment, Some(facts));
    let (settled_word, settled_by) = match &settled {
        Ok(Settled::Permit(permit)) => (VerdictWord::Permit, permit.rules().to_vec()),
        Ok(Settled::NeedsApproval(_)) => unreachable!("no rule asks for an approval"),
        Err(error) => (VerdictWord::from(error), error.rules().to_vec()),
    };
    assert_eq!((word, &by), (settled_word, &settled_by), "the word is not the verdict");
    let by: Vec<&str> = by.iter().map(RuleId::as_str).collect();
    format!("{}: {}", word.as_str(), by.join(" "))
}
