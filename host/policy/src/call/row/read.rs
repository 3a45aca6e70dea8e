//! Rows as the operator wrote them, and their check.

use std::collections::BTreeSet;

use super::{Pattern, Row, Tools, Who};
use crate::call::rule_id::RuleId;
use crate::capability::Effects;
use crate::character::{self, Kind};
use crate::limits::rules::{ROW_ENTRIES_MAX, ROW_ENTRY_CHARS_MAX, ROWS_MAX};
use crate::principal::PrincipalKind;
use crate::redact::printable;
use crate::{InvalidValueError, PluginName, ToolName, suggest};

/// A row, not yet checked. An absent set is no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowText {
    /// `id`.
    pub id: String,
    /// `who`.
    pub who: WhoText,
    /// `tools`.
    pub tools: Option<ToolsText>,
    /// `resources`: URIs; a `*` at the end stands for any rest.
    pub resources: Option<Vec<String>>,
    /// `prompts`: names, likewise.
    pub prompts: Option<Vec<String>>,
}

/// `who`: the caller must be in each set that is there. Without `kinds`, users and services are meant: whoever has a
/// credential, and nobody else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WhoText {
    /// One of these groups, each `issuer/name`.
    pub groups: Option<Vec<String>>,
    /// All of these scopes.
    pub scopes: Option<Vec<String>>,
    /// One of these OAuth clients or ids of API keys.
    pub clients: Option<Vec<String>>,
    /// `user`, `service`, `local`.
    pub kinds: Option<Vec<String>>,
    /// One of these subjects, each `issuer/name`. Without `kinds` they are users, and `apikey/name` services.
    pub subjects: Option<Vec<String>>,
}

/// `tools`: the target must be in each set that is there. Without `names`, resources and prompts of the plugins are
/// covered too, unless `resources` or `prompts` name some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolsText {
    /// One of these plugins.
    pub plugins: Option<Vec<String>>,
    /// One of these tools.
    pub names: Option<Vec<String>>,
    /// No effects but these: `reads`, `writes`, `reaches-out`. An empty list means none.
    pub effects_at_most: Option<Vec<String>>,
    /// One of these signers.
    pub signed_by: Option<Vec<String>>,
}

const KINDS: [(&str, PrincipalKind); 3] =
    [("user", PrincipalKind::User), ("service", PrincipalKind::Service), ("local", PrincipalKind::Local)];
const EFFECTS: [&str; 3] = ["reads", "writes", "reaches-out"];

type Problems = Vec<InvalidValueError>;

impl Row {
    /// Checks the rows, in their order, as `allow[0]` and so on. Ids are distinct.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub fn check_all(rows: &[RowText]) -> Result<Vec<Self>, Vec<InvalidValueError>> {
        if rows.len() > ROWS_MAX {
            let why = format!("{} rows; at most {ROWS_MAX}", rows.len());
            return Err(vec![InvalidValueError::at("allow", why)]);
        }
        let (mut checked, mut problems, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (index, text) in rows.iter().enumerate() {
            let mut found = Vec::new();
            let row = check(text, &mut found);
            if row.as_ref().is_some_and(|row| !seen.insert(row.id.clone())) {
                found.push(InvalidValueError::at("id", format!("another rule has the id `{}`", text.id)));
            }
            problems.extend(found.into_iter().map(|problem| problem.under(&format!("allow[{index}]"))));
            checked.extend(row);
        }
        if problems.is_empty() { Ok(checked) } else { Err(problems) }
    }
}

fn check(text: &RowText, problems: &mut Problems) -> Option<Row> {
    let before = problems.len();
    let id = RuleId::parse(&text.id).map_err(|problem| problems.push(problem.under("id"))).ok();
    let who = check_who(&text.who, problems);
    let tools = text.tools.as_ref().map(|tools| check_tools(tools, problems));
    let resources = set("resources", text.resources.as_ref(), problems, pattern);
    let prompts = set("prompts", text.prompts.as_ref(), problems, pattern);
    if text.tools.is_none() && text.resources.is_none() && text.prompts.is_none() {
        let why = "it covers nothing; write tools = {} for everything that is served";
        problems.push(InvalidValueError::new(why));
    }
    (problems.len() == before).then_some(Row { id: id?, who, tools, resources, prompts })
}

fn check_who(who: &WhoText, problems: &mut Problems) -> Who {
    let is_local = who.kinds.as_ref().is_some_and(|kinds| kinds.iter().all(|kind| kind == "local"));
    let has_others = [&who.groups, &who.scopes, &who.clients, &who.subjects].iter().any(|set| set.is_some());
    if is_local && has_others {
        let why = "it covers nobody: a local caller has no groups, scopes, client or subject";
        problems.push(InvalidValueError::at("who.kinds", why));
    }
    Who {
        groups: set("who.groups", who.groups.as_ref(), problems, of_issuer),
        scopes: set("who.scopes", who.scopes.as_ref(), problems, scope).unwrap_or_default(),
        clients: set("who.clients", who.clients.as_ref(), problems, plain),
        kinds: set("who.kinds", who.kinds.as_ref(), problems, kind),
        subjects: set("who.subjects", who.subjects.as_ref(), problems, of_issuer),
    }
}

fn check_tools(tools: &ToolsText, problems: &mut Problems) -> Tools {
    let plugin = |name: &str| name.parse::<PluginName>().map_err(|error| error.to_string());
    let tool = |name: &str| match name {
        "*" => Err("leave `names` out to cover all tools".to_owned()),
        name => ToolName::parse(name).map_err(|error| error.to_string()),
    };
    Tools {
        plugins: set("tools.plugins", tools.plugins.as_ref(), problems, plugin),
        names: set("tools.names", tools.names.as_ref(), problems, tool),
        effects_at_most: tools.effects_at_most.as_ref().map(|words| effects(words, problems)),
        signed_by: set("tools.signed_by", tools.signed_by.as_ref(), problems, plain),
    }
}

/// Reads a set. An empty one would cover nobody, which is never meant.
fn set<T: Ord>(
    key: &str,
    entries: Option<&Vec<String>>,
    problems: &mut Problems,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<BTreeSet<T>> {
    let entries = entries?;
    if entries.is_empty() || entries.len() > ROW_ENTRIES_MAX {
        let why = format!("{} entries; write 1 to {ROW_ENTRIES_MAX}, or leave the key out", entries.len());
        problems.push(InvalidValueError::at(key, why));
        return None;
    }
    let mut read_one = |(index, entry): (usize, &String)| {
        let fits = entry.chars().count() <= ROW_ENTRY_CHARS_MAX;
        let value =
            if fits { read(entry) } else { Err(format!("longer than {ROW_ENTRY_CHARS_MAX} characters")) };
        value.map_err(|why| problems.push(InvalidValueError::at(format!("{key}[{index}]"), why))).ok()
    };
    Some(entries.iter().enumerate().filter_map(&mut read_one).collect())
}

fn effects(words: &[String], problems: &mut Problems) -> Effects {
    let mut effects = Effects::default();
    for (index, word) in words.iter().enumerate() {
        match word.as_str() {
            "reads" => effects.reads = true,
            "writes" => effects.writes = true,
            "reaches-out" => effects.reaches_out = true,
            other => {
                let why = unknown("effect", other, EFFECTS);
                problems.push(InvalidValueError::at(format!("tools.effects_at_most[{index}]"), why));
            }
        }
    }
    effects
}

fn kind(word: &str) -> Result<PrincipalKind, String> {
    let known = KINDS.into_iter().find_map(|(known, kind)| (known == word).then_some(kind));
    known.ok_or_else(|| unknown("kind", word, KINDS.map(|(known, _)| known)))
}

fn unknown(what: &str, word: &str, known: [&'static str; 3]) -> String {
    let [one, two, three] = known;
    let meant = suggest::nearest(word, known).map(|meant| format!("; `{meant}`?")).unwrap_or_default();
    format!("unknown {what} `{}`; write {one}, {two} or {three}{meant}", printable(word, 40))
}

/// A text that shows as it is.
fn plain(text: &str) -> Result<String, String> {
    let is_plain = |c| character::kind(c) == Kind::Visible;
    if !text.is_empty() && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(format!("`{}` is empty or has characters that do not show", printable(text, 40)))
}

/// `issuer/name`, so that the names of two issuers never meet.
fn of_issuer(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((issuer, name)) if !issuer.is_empty() && !name.is_empty() => plain(text),
        _ => Err(format!("`{}` lacks its issuer; write issuer/name", printable(text, 40))),
    }
}

/// A scope-token of RFC 6749 §3.3.
fn scope(text: &str) -> Result<String, String> {
    let fits = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if !text.is_empty() && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(format!("`{}` is not one scope (RFC 6749, section 3.3)", printable(text, 40)))
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let (own, is_beginning) = match text.strip_suffix('*') {
        Some(own) => (own, true),
        None => (text, false),
    };
    if own.contains('*') {
        return Err("a `*` may stand at the end alone".to_owned());
    }
    if is_beginning && own.is_empty() {
        return Ok(Pattern::Beginning(String::new()));
    }
    let own = plain(own)?;
    Ok(if is_beginning { Pattern::Beginning(own) } else { Pattern::Exactly(own) })
}
