//! `[[allow]]` and `[access]`: who may call what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::tz::TimeZone;
use toolgate_policy::call::{RowText, RuleSet, RuleSetText, ToolsText, WhoText};
use toolgate_policy::limits::rules::{CEDAR_BYTES_MAX, ROWS_MAX};
use toolgate_runtime::spec::AccessRules;

use super::modes;
use super::problem::{ConfigError, Problem};
use super::reader::{Document, Section};

/// Rules as they were written, so that their files can be read again.
#[derive(Clone)]
pub(crate) struct AccessConfig {
    rows: Vec<RowText>,
    authenticated: bool,
    obtainable: BTreeMap<String, BTreeSet<String>>,
    policy: Option<PathBuf>,
    shadow: Option<PathBuf>,
    zone: TimeZone,
}

/// Reads the rules. `obtainable` has the scopes of each issuer; without it callers need no credentials.
pub(super) fn read(
    document: &Document<'_>,
    root: &Section<'_>,
    obtainable: Option<BTreeMap<String, BTreeSet<String>>>,
) -> AccessConfig {
    let rows = root.sections("allow", ROWS_MAX).into_iter().map(read_row).collect();
    let mut access = AccessConfig {
        rows,
        authenticated: obtainable.is_some(),
        obtainable: obtainable.unwrap_or_default(),
        policy: None,
        shadow: None,
        zone: TimeZone::UTC,
    };
    let Some(section) = root.section("access") else { return access };
    access.policy = section.string("policy").map(|path| document.relative(&path));
    access.shadow = section.string("shadow").map(|path| document.relative(&path));
    if let Some(name) = section.string("timezone") {
        let wrong =
            |_| format!("`{name}` is not a time zone of this machine; write one such as \"Europe/Berlin\"");
        access.zone =
            section.parsed("timezone", TimeZone::get(&name).map_err(wrong)).unwrap_or(TimeZone::UTC);
    }
    section.finish();
    access
}

impl AccessConfig {
    /// The files of rules.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.policy.iter().chain(&self.shadow)
    }

    /// The rules with the present content of their files; all of them or none.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(crate) fn load(&self, config: &std::path::Path) -> Result<AccessRules, ConfigError> {
        let problems = ConfigError::default();
        let set = self.set(config, self.policy.as_ref(), &problems);
        let shadow = self.shadow.as_ref().map(|path| self.set(config, Some(path), &problems));
        let zone = self.zone.clone();
        super::whole(set.map(|set| AccessRules { set, shadow: shadow.flatten(), zone }), &problems)
    }

    fn set(
        &self,
        config: &std::path::Path,
        cedar: Option<&PathBuf>,
        problems: &ConfigError,
    ) -> Option<RuleSet> {
        let note = |file: &std::path::Path, key: String, why: String| {
            problems.add(Problem { file: file.to_owned(), line: None, key, why });
        };
        let read = |path: &PathBuf| {
            modes::read_text(path, CEDAR_BYTES_MAX as u64, modes::FileKind::Policy)
                .map_err(|why| note(path, String::new(), why))
                .ok()
        };
        let cedar_text = match cedar {
            Some(path) => Some(read(path)?),
            None => None,
        };
        let text = RuleSetText {
            authenticated: self.authenticated,
            rows: self.rows.clone(),
            cedar: cedar_text,
            obtainable: self.obtainable.clone(),
        };
        RuleSet::new(text)
            .map_err(|found| {
                for problem in found {
                    let file = if problem.at.starts_with("allow") {
                        config
                    } else {
                        cedar.map_or(config, |path| path)
                    };
                    note(file, problem.at, problem.why);
                }
            })
            .ok()
    }
}

fn read_row(section: Section<'_>) -> RowText {
    let id = section.required("id", "support-reads").unwrap_or_default();
    let who = section.section("who").map(|who| {
        let text = WhoText {
            groups: who.strings("groups"),
            scopes: who.strings("scopes"),
            clients: who.strings("clients"),
            kinds: who.strings("kinds"),
            subjects: who.strings("subjects"),
        };
        who.finish();
        text
    });
    let tools = section.section("tools").map(|tools| {
        let text = ToolsText {
            plugins: tools.strings("plugins"),
            names: tools.strings("names"),
            effects_at_most: tools.strings("effects_at_most"),
            signed_by: tools.strings("signed_by"),
        };
        tools.finish();
        text
    });
    let row = RowText {
        id,
        who: who.unwrap_or_default(),
        tools,
        resources: section.strings("resources"),
        prompts: section.strings("prompts"),
    };
    section.finish();
    row
}
