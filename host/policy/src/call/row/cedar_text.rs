//! A row as a Cedar policy of the same meaning, for people; `policy show` prints it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Pattern, Row, Tools};
use crate::principal::{API_KEY_ISSUER, PrincipalKind};

impl Row {
    /// The policy, with a line break at its end.
    pub fn to_cedar(&self) -> String {
        let mut conditions = vec![self.kinds()];
        let who = &self.who;
        conditions
            .extend(who.groups.as_ref().map(|groups| format!("principal in {}", entities("Group", groups))));
        // Local callers have no scopes and no client: the validator wants that told apart first.
        let has_credential = "(principal is User || principal is Service)";
        if !who.scopes.is_empty() {
            let scopes = texts(&who.scopes);
            conditions.push(format!("({has_credential} && principal.scopes.containsAll({scopes}))"));
        }
        if let Some(clients) = &who.clients {
            let clients = entities("Client", clients);
            conditions
                .push(format!("({has_credential} && principal has client && principal.client in {clients})"));
        }
        conditions.extend(who.subjects.as_ref().map(|subjects| self.subjects(subjects)));
        conditions.push(self.kinds_of_target());
        if let Some(tools) = &self.tools {
            conditions.extend(of_plugin(tools));
        }
        format!(
            "@id({})\npermit (principal, action, resource)\nwhen {{\n  {}\n}};\n",
            quoted(self.id.as_str()),
            conditions.join(" &&\n  ")
        )
    }

    fn kinds(&self) -> String {
        let default = BTreeSet::from([PrincipalKind::User, PrincipalKind::Service]);
        let kinds = self.who.kinds.as_ref().unwrap_or(&default);
        let words = kinds.iter().filter_map(|kind| match kind {
            PrincipalKind::User => Some("principal is User"),
            PrincipalKind::Service => Some("principal is Service"),
            PrincipalKind::Local => Some("principal is Local"),
            PrincipalKind::Host => None,
        });
        any(words.map(str::to_owned).collect())
    }

    fn subjects(&self, subjects: &BTreeSet<String>) -> String {
        let prefix = format!("{API_KEY_ISSUER}/");
        let is_explicit = self.who.kinds.is_some();
        let of = |kind: &str, is_key: bool| {
            let own = subjects.iter().filter(|name| is_explicit || name.starts_with(&prefix) == is_key);
            let own: BTreeSet<String> = own.cloned().collect();
            (!own.is_empty())
                .then(|| format!("(principal is {kind} && principal in {})", entities(kind, &own)))
        };
        any([of("User", false), of("Service", true)].into_iter().flatten().collect())
    }

    fn kinds_of_target(&self) -> String {
        let names = self.tools.as_ref().and_then(|tools| tools.names.as_ref());
        let covers_all = self.tools.is_some() && names.is_none();
        let mut kinds = Vec::new();
        match names {
            Some(names) => {
                let names = names.iter().map(|name| name.as_str().to_owned()).collect();
                kinds.push(format!("(resource is Tool && resource in {})", entities("Tool", &names)));
            }
            None if covers_all => kinds.push("resource is Tool".to_owned()),
            None => {}
        }
        for (kind, attribute, patterns) in
            [("Resource", "uri", &self.resources), ("Prompt", "name", &self.prompts)]
        {
            match patterns {
                Some(patterns) => {
                    let likes = patterns.iter().map(|pattern| pattern.to_cedar(attribute)).collect();
                    kinds.push(format!("(resource is {kind} && {})", any(likes)));
                }
                None if covers_all => kinds.push(format!("resource is {kind}")),
                None => {}
            }
        }
        any(kinds)
    }
}

impl Pattern {
    fn to_cedar(&self, attribute: &str) -> String {
        match self {
            Self::Exactly(text) => format!("resource.{attribute} == {}", quoted(text)),
            Self::Beginning(text) => {
                let mut pattern = quoted(text);
                pattern.insert(pattern.len() - 1, '*');
                format!("resource.{attribute} like {pattern}")
            }
        }
    }
}

fn of_plugin(tools: &Tools) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Some(plugins) = &tools.plugins {
        let plugins = plugins.iter().map(|name| name.as_str().to_owned()).collect();
        conditions.push(format!("resource in {}", entities("Plugin", &plugins)));
    }
    if let Some(most) = tools.effects_at_most {
        let effects = [(most.reads, "reads"), (most.writes, "writes"), (most.reaches_out, "reaches_out")];
        let others = effects.into_iter().filter(|(may, _)| !may);
        conditions.extend(others.map(|(_, effect)| format!("!resource.{effect}")));
    }
    conditions.extend(tools.signed_by.as_ref().map(|by| format!("resource in {}", entities("Signer", by))));
    conditions
}

fn any(conditions: Vec<String>) -> String {
    match conditions.as_slice() {
        [] => "false".to_owned(),
        [one] => one.clone(),
        more => format!("({})", more.join(" || ")),
    }
}

fn entities(kind: &str, names: &BTreeSet<String>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{kind}::{}", quoted(name))).collect();
    format!("[{}]", names.join(", "))
}

fn texts(texts: &BTreeSet<String>) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}

/// A Cedar string. Texts of rows are visible characters, so quotes and backslashes are all that is escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        if c.is_control() {
            // Writing to a text does not fail.
            let _written = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out.push('"');
    out
}
