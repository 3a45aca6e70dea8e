//! `toolgate plugin diff`: compares the current state with the approved one, for people. Every text of a plugin is
//! escaped and bounded.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};
use toolgate_base::artifact::Artifact;
use toolgate_policy::load::Pin;
use toolgate_policy::load::pin::Approval;
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::redact::{printable, printable_lines};
use toolgate_runtime::load::describe::mapping_version;
use toolgate_runtime::snapshot::plugin::Plugin;
use toolgate_runtime::spec::Approvals;
use toolgate_state::lockfile::Entry;

use super::PluginAdmin;
use super::brief::{brief, is_word};
use crate::cli::exit::Exit;
use crate::cli::{ConfigArg, explain, output};

/// Arguments of `plugin diff`.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The plugin, by its name in the configuration
    plugin: String,
    #[command(flatten)]
    detail: Detail,
    #[command(flatten)]
    config: ConfigArg,
}

/// Detail in which new tools are shown.
#[derive(clap::Args, Clone, Copy)]
pub(super) struct Detail {
    /// Show the schemas of new tools whole, path by path, instead of a line each
    #[arg(long)]
    full: bool,
}

/// Characters shown of one line.
const SHOWN_CHARS_MAX: usize = 4_000;

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let desk = PluginAdmin::of(&args.config)?;
    let (_, spec) = explain::find(&desk.config, &args.plugin)?;
    let plugin = desk.look_at(spec, Approvals::NotAsked)?;
    let entry = desk.lock.file.0.get(plugin.name());
    let lines = differences(&desk, &plugin, entry, args.detail)?;
    output::print(&if lines.is_empty() { unchanged(&plugin, entry) } else { lines.join("\n") });
    Ok(())
}

fn unchanged(plugin: &Plugin, entry: Option<&Entry>) -> String {
    let by = entry.map(|entry| entry.pin.approval.by.as_str()).unwrap_or_default();
    format!("{}: as {} approved it: {}", plugin.name(), shown(by), plugin.digest())
}

/// Differences, as lines; empty if there are none. Everything, if nothing was approved.
pub(super) fn differences(
    desk: &PluginAdmin,
    plugin: &Plugin,
    entry: Option<&Entry>,
    detail: Detail,
) -> Result<Vec<String>, Exit> {
    if entry.is_some_and(|entry| plugin.is_as_approved(&entry.pin)) {
        return Ok(Vec::new());
    }
    // The approval is not compared.
    let now = plugin.pin(Approval { by: String::new(), at: UnixTime(0) });
    let was = entry.map(|entry| &entry.pin);
    let mut lines = vec![match was {
        Some(Pin { revoked: Some(why), .. }) => {
            format!("{}: its approval was taken back: {}", plugin.name(), shown(why))
        }
        Some(was) => format!("{}: approved by {}", plugin.name(), shown(&was.approval.by)),
        None => format!("{}: new; not approved", plugin.name()),
    }];
    let version = |version: Option<&str>| vec![version.unwrap_or("none").to_owned()];
    let before = |of: fn(&Entry) -> Vec<String>| entry.map(of).unwrap_or_default();
    let was_version = entry.map(|entry| version(entry.version.as_deref())).unwrap_or_default();
    for (what, was, is) in [
        ("id", before(|entry| vec![entry.pin.id.clone()]), vec![now.id]),
        ("bytes", before(|entry| vec![entry.pin.digest.to_string()]), vec![now.digest.to_string()]),
        ("version", was_version, version(plugin.provenance.version.as_deref())),
        ("signed by", before(|entry| entry.signers.clone()), plugin.provenance.signers.clone()),
        ("asks", before(|entry| entry.pin.asked.clone()), now.asked),
        ("is granted", before(|entry| entry.pin.grant.clone()), now.grant),
    ] {
        lines.extend(changed(what, &was, &is));
    }
    lines.extend(plugin.warnings().iter().map(|warning| format!("  warning: {}", shown(warning))));
    for (index, surface) in plugin.surfaces.all.iter().enumerate() {
        let before = was.and_then(|was| was.surfaces.get(index).copied());
        let former = plugin.surfaces.former.first().filter(|_| index == 0);
        let is_covered = |it: &Artifact| plugin.surfaces.unseen.is_empty() && Some(it.digest()) == before;
        if before == Some(surface.digest()) || former.is_some_and(is_covered) {
            continue;
        }
        let stored = before.and_then(|digest| desk.gate.blob(digest));
        // Only surfaces of the same mapping version are compared: a new form of schemas needs no approval.
        let version = stored.as_ref().and_then(mapping_version);
        let is_like = |former: &&Artifact| version.is_some() && mapping_version(former) == version;
        let like = former.filter(is_like);
        if before.is_some() && stored.is_none() {
            let what = "  what a model reads of its tools changed; what it read before is not kept here, so all of it follows";
            lines.push(what.to_owned());
        }
        let before = stored.map(|artifact| tools(artifact.bytes())).transpose()?.unwrap_or_default();
        lines.extend(tool_lines(&before, &tools(like.unwrap_or(surface).bytes())?, detail));
        // The rest is compared in the former release's form, which lacks these texts.
        if like.is_some() && !plugin.surfaces.unseen.is_empty() {
            let what =
                "  texts that the former release showed to no model, and that are in none of its approvals";
            lines.push(what.to_owned());
            lines.extend(plugin.surfaces.unseen.iter().map(|text| format!("    + {}", shown(text))));
        }
    }
    if was.is_some_and(|was| was.surfaces.len() > plugin.surfaces.all.len()) {
        lines.push("  it no longer names tools when it runs".to_owned());
    }
    Ok(lines)
}

/// Removed and added lines, below what they are of.
fn changed(what: &str, was: &[String], is: &[String]) -> Vec<String> {
    let lines = changed_lines(was, is);
    if lines.is_empty() { lines } else { [vec![format!("  {what}")], lines].concat() }
}

fn changed_lines(was: &[String], is: &[String]) -> Vec<String> {
    let (before, now): (BTreeSet<_>, BTreeSet<_>) = (was.iter().collect(), is.iter().collect());
    let gone = was.iter().filter(|line| !now.contains(line)).map(|line| format!("    - {}", shown(line)));
    let added = is.iter().filter(|line| !before.contains(line)).map(|line| format!("    + {}", shown(line)));
    gone.chain(added).collect()
}

/// The tools of a surface, by name.
fn tools(surface: &[u8]) -> Result<BTreeMap<String, Map<String, Value>>, Exit> {
    // The approver must not see less than there is.
    let why = "what a model reads of the tools cannot be shown: it is not the JSON that it was made as";
    let unreadable = || Exit::host_failed(why);
    let value: Value = serde_json::from_slice(surface).map_err(|_| unreadable())?;
    let Value::Array(list) = value.get("tools").unwrap_or(&value) else { return Err(unreadable()) };
    let named = list.iter().map(|tool| match tool {
        Value::Object(tool) => Some((tool.get("name")?.as_str()?.to_owned(), tool.clone())),
        _ => None,
    });
    named.collect::<Option<_>>().ok_or_else(unreadable)
}

fn tool_lines(
    was: &BTreeMap<String, Map<String, Value>>,
    is: &BTreeMap<String, Map<String, Value>>,
    detail: Detail,
) -> Vec<String> {
    let nothing = Map::new();
    let mut lines = Vec::new();
    for name in was.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
        let (before, now) = (was.get(name), is.get(name));
        if before == now {
            continue;
        }
        let mark = match (before, now) {
            (None, _) => "new tool",
            (_, None) => "tool is gone:",
            (Some(_), Some(_)) => "tool",
        };
        lines.push(format!("  {mark} {}", shown(name)));
        let Some(now) = now else { continue };
        let before = before.unwrap_or(&nothing);
        for part in before.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
            let (was, is) = (before.get(part), now.get(part));
            match is.filter(|_| was.is_none() && !detail.full).and_then(|is| brief_lines(part, is)) {
                Some(brief) => lines.extend(brief),
                None if part == "name" => {}
                None => lines.extend(part_lines(part, was, is)),
            }
        }
    }
    lines
}

/// A new part of a tool in short; `None` if the short form cannot show it.
fn brief_lines(part: &str, is: &Value) -> Option<Vec<String>> {
    let word = match (part, is) {
        (_, Value::Null) => return Some(Vec::new()),
        (_, Value::Array(list)) if list.iter().all(Value::is_null) => return Some(Vec::new()),
        ("input", _) => "takes",
        ("output", _) => "gives",
        ("claims", Value::Array(claims)) => return hints(claims),
        _ => return None,
    };
    let (line, texts) = brief(&parsed(is)).filter(|(line, _)| line.chars().count() <= SHOWN_CHARS_MAX)?;
    let texts = texts.iter().map(|(path, text)| format!("      {}: {}", shown(path), shown(text)));
    Some(std::iter::once(format!("    {word}: {}", shown(&line))).chain(texts).collect())
}

/// Annotations of a tool (MCP 2025-06-18, `ToolAnnotations`).
fn hints(claims: &[Value]) -> Option<Vec<String>> {
    const NAMES: [&str; 4] = ["read-only", "destructive", "idempotent", "open-world"];
    let claim = |(name, claim): (&str, &Value)| match claim {
        Value::Bool(true) => Some(Some(name.to_owned())),
        Value::Bool(false) => Some(Some(format!("not {name}"))),
        Value::Null => Some(None),
        _ => None,
    };
    let claimed: Option<Vec<_>> = (claims.len() == NAMES.len())
        .then(|| NAMES.into_iter().zip(claims).map(claim).collect::<Option<Vec<_>>>())?;
    Some(vec![format!("    claims to be: {}", claimed?.into_iter().flatten().collect::<Vec<_>>().join(", "))])
}

/// Differences in a part of a tool: at least one line.
fn part_lines(part: &str, was: Option<&Value>, is: Option<&Value>) -> Vec<String> {
    if was == is {
        return Vec::new();
    }
    if let (None | Some(Value::String(_)), Some(Value::String(is)), "title" | "description") = (was, is, part)
    {
        let marked = words(was.and_then(Value::as_str).unwrap_or_default(), is);
        let marked = printable_lines(&marked, SHOWN_CHARS_MAX).replace('\n', "\n      ");
        return vec![format!("    {part}: {marked}")];
    }
    let leaves = |value: Option<&Value>| {
        let mut leaves = Vec::new();
        if let Some(value) = value {
            flat(part, &parsed(value), &mut leaves);
        }
        leaves
    };
    let lines = changed_lines(&leaves(was), &leaves(is));
    if lines.is_empty() {
        vec![format!("    {part}: written in another way, with the same content")]
    } else {
        lines
    }
}

/// Parses schemas of dynamic tools, which are stored as text.
fn parsed(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        other => other.clone(),
    }
}

/// Each leaf with its path. Paths are unique: a key that is more than a word is in brackets and quotes.
fn flat(path: &str, value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => map.iter().for_each(|(key, value)| {
            let path = match is_word(key) {
                true => format!("{path}.{key}"),
                false => format!("{path}[{}]", Value::from(key.as_str())),
            };
            flat(&path, value, into);
        }),
        Value::Array(list) if !list.is_empty() => {
            list.iter().enumerate().for_each(|(n, value)| flat(&format!("{path}[{n}]"), value, into));
        }
        leaf => into.push(format!("{path} = {leaf}")),
    }
}

/// A text with removed words as `[-word-]` and added ones as `{+word+}`. The text itself has no such marks.
fn words(was: &str, is: &str) -> String {
    let diff = TextDiff::from_words(was, is);
    let mut runs: Vec<(ChangeTag, String)> = Vec::new();
    for change in diff.iter_all_changes() {
        match runs.last_mut() {
            Some((tag, text)) if *tag == change.tag() => text.push_str(change.value()),
            _ => runs.push((change.tag(), change.value().to_owned())),
        }
    }
    let marked = runs.iter().map(|(tag, text)| match tag {
        ChangeTag::Equal => unmarked(text),
        ChangeTag::Delete => format!("[-{}-]", unmarked(text)),
        ChangeTag::Insert => format!("{{+{}+}}", unmarked(text)),
    });
    marked.collect()
}

/// A run of words, with brackets escaped that could be part of a mark: beside a plus or minus, or at an end, where a
/// mark may be adjacent.
fn unmarked(text: &str) -> String {
    let is_sign = |c: Option<char>| c.is_none_or(|c| matches!(c, '+' | '-'));
    let mut before = None;
    let mut chars = text.chars().peekable();
    let mut out = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        if matches!(c, '[' | ']' | '{' | '}') && (is_sign(before) || is_sign(chars.peek().copied())) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
        before = Some(c);
    }
    out
}

/// In one line, so that a plugin's text cannot look like output of the program.
fn shown(text: &str) -> String {
    printable(text, SHOWN_CHARS_MAX)
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
