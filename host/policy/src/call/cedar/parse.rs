//! Reading the file of policies: sizes, syntax, names, and the restrictions that Toolgate adds to the language.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::CharIndices;
use std::sync::Arc;

use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, PolicyId, ResourceConstraint, pst};

use super::schema::ACTIONS;
use super::walk::{self, Reads};
use crate::InvalidValueError;
use crate::call::rule_id::RuleId;
use crate::limits::rules::{
    CEDAR_BYTES_MAX, CEDAR_MESSAGE_CHARS_MAX, CEDAR_POLICIES_MAX, CEDAR_POLICY_BYTES_MAX,
    CEDAR_POLICY_OPERATORS_MAX, RULE_REASON_CHARS_MAX,
};
use crate::redact::{self, printable};

/// One policy, read and restricted, not yet validated.
#[derive(Debug, Clone)]
pub(super) struct Parsed {
    pub(super) id: RuleId,
    pub(super) policy: Policy,
    pub(super) permits: bool,
    pub(super) reason: Option<Arc<str>>,
    pub(super) reads: Reads,
    /// Names of tools in the scope of its action.
    pub(super) actions: BTreeSet<String>,
    pub(super) action: ActionConstraint,
    pub(super) resource: ResourceConstraint,
}

/// A policy's text with the line it begins in.
struct Piece<'a> {
    text: &'a str,
    line: usize,
    /// Characters of operators and brackets, and `if`s: its conditions are at most so deep.
    operators: usize,
}

/// Reads all policies of a file. `taken` are ids of other rules.
pub(super) fn parse(text: &str, taken: &BTreeSet<RuleId>) -> Result<Vec<Parsed>, Vec<InvalidValueError>> {
    if text.len() > CEDAR_BYTES_MAX {
        let why = format!("{} bytes; at most {CEDAR_BYTES_MAX}", text.len());
        return Err(vec![InvalidValueError::at("policy", why)]);
    }
    let pieces = split(text);
    if pieces.len() > CEDAR_POLICIES_MAX {
        let why = format!("{} policies; at most {CEDAR_POLICIES_MAX}", pieces.len());
        return Err(vec![InvalidValueError::at("policy", why)]);
    }
    let (mut parsed, mut problems, mut seen) = (Vec::new(), Vec::new(), taken.clone());
    for piece in pieces {
        match parse_one(&piece) {
            Ok(policy) if seen.insert(policy.id.clone()) => parsed.push(policy),
            Ok(policy) => problems.push(at(piece.line, format!("another rule has the id `{}`", policy.id))),
            Err(why) => problems.push(at(piece.line, why)),
        }
    }
    if problems.is_empty() { Ok(parsed) } else { Err(problems) }
}

fn at(line: usize, why: String) -> InvalidValueError {
    InvalidValueError::at(format!("policy line {line}"), why)
}

fn parse_one(piece: &Piece<'_>) -> Result<Parsed, String> {
    let text = piece.text;
    if piece.operators > CEDAR_POLICY_OPERATORS_MAX {
        let why = "operators and brackets in one policy; split it";
        return Err(format!("{} {why}, at most {CEDAR_POLICY_OPERATORS_MAX}", piece.operators));
    }
    if text.len() > CEDAR_POLICY_BYTES_MAX {
        return Err(format!("a policy of {} bytes; at most {CEDAR_POLICY_BYTES_MAX}", text.len()));
    }
    let policy = Policy::parse(None, text).map_err(|error| shown(&with_sources(&error)))?;
    let id = policy.annotation("id").ok_or("it has no name; write @id(\"…\") before it")?;
    let id = RuleId::parse(id).map_err(|problem| format!("@id: {problem}"))?;
    let reason = reason(&policy).map_err(|why| format!("`{id}`: {why}"))?;
    let tree = policy.to_pst().map_err(|error| shown(&error.to_string()))?;
    let pst::Policy::Static(tree) = tree else { return Err(format!("`{id}` is a template")) };
    let reads = walk::reads(tree.body()).map_err(|why| format!("`{id}`: {why}"))?;
    let permits = policy.effect() == Effect::Permit;
    if permits && reads.arguments {
        let why = "a permit must not read context.args, since lists are made without arguments; \
                   permit the call and forbid it with `unless`";
        return Err(format!("`{id}`: {why}"));
    }
    let action = policy.action_constraint();
    let actions = tools(&action).map_err(|why| format!("`{id}`: {why}"))?;
    if reads.arguments && !is_of_calls(&action) {
        let why = "only calls have arguments; write `action in Action::\"call\"`, or name the tools";
        return Err(format!("`{id}`: {why}"));
    }
    let resource = policy.resource_constraint();
    let policy = policy.new_id(PolicyId::new(id.as_str()));
    Ok(Parsed { id, policy, permits, reason, reads, actions, action, resource })
}

/// Whether a scope covers calls of tools alone.
fn is_of_calls(action: &ActionConstraint) -> bool {
    let others = ["read", "get"];
    match action {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(one) => !others.contains(&id_of(one)),
        ActionConstraint::In(some) => some.iter().all(|one| !others.contains(&id_of(one))),
    }
}

fn reason(policy: &Policy) -> Result<Option<Arc<str>>, String> {
    let known = ["id", "reason"];
    if let Some((other, _)) = policy.annotations().find(|(name, _)| !known.contains(name)) {
        return Err(format!("unknown annotation @{}; write @id and @reason", printable(other, 40)));
    }
    let Some(reason) = policy.annotation("reason") else { return Ok(None) };
    let fits = (1..=RULE_REASON_CHARS_MAX).contains(&reason.chars().count());
    if fits && reason.chars().all(redact::is_plain) {
        return Ok(Some(reason.into()));
    }
    Err(format!("@reason has 1 to {RULE_REASON_CHARS_MAX} characters, and all of them show"))
}

/// Names of tools that a scope names. The group `call` is never equal to the action of a call, so `==` would be a rule
/// without effect.
fn tools(action: &ActionConstraint) -> Result<BTreeSet<String>, String> {
    let named: Vec<&EntityUid> = match action {
        ActionConstraint::Any => Vec::new(),
        ActionConstraint::Eq(one) if id_of(one) == "call" => {
            return Err(
                "no call has the action Action::\"call\"; write `action in Action::\"call\"`".to_owned()
            );
        }
        ActionConstraint::Eq(one) => vec![one],
        ActionConstraint::In(some) => some.iter().collect(),
    };
    let ids = named.into_iter().map(|uid| id_of(uid).to_owned());
    let tools: BTreeSet<String> = ids.filter(|id| !ACTIONS.contains(&id.as_str())).collect();
    match tools.iter().find(|name| crate::ToolName::parse(name).is_err()) {
        Some(name) => Err(format!("no tool can be named `{}`", printable(name, 40))),
        None => Ok(tools),
    }
}

pub(super) fn id_of(uid: &EntityUid) -> &str {
    uid.id().unescaped()
}

pub(super) fn shown(message: &str) -> String {
    printable(message, CEDAR_MESSAGE_CHARS_MAX)
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// Splits a file at the semicolons that end policies: those outside of strings and comments. A piece that is not exactly
/// one policy does not parse, so a mistake here refuses the file.
fn split(text: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut line, mut operators, mut begin) = (Vec::new(), 1, 0, None);
    let mut chars = text.char_indices().peekable();
    let mut before = ' ';
    while let Some((index, c)) = chars.next() {
        line += usize::from(c == '\n');
        if c == '/' && chars.peek().is_some_and(|(_, next)| *next == '/') {
            while chars.next_if(|(_, next)| *next != '\n').is_some() {}
            continue;
        }
        if !c.is_whitespace() && begin.is_none() {
            begin = Some((index, line));
        }
        if c == '"' {
            line += skip_string(&mut chars);
        }
        // Each `if` counts, and a name that ends in these letters does no harm.
        operators += usize::from("&|+-*([{.!<>=".contains(c) || (before == 'i' && c == 'f'));
        before = c;
        if c == ';'
            && let Some((from, line)) = begin.take()
        {
            pieces.extend(text.get(from..=index).map(|text| Piece { text, line, operators }));
            operators = 0;
        }
    }
    // What is left has no end; it does not parse, and is reported with its line.
    pieces
        .extend(begin.and_then(|(from, line)| text.get(from..).map(|text| Piece { text, line, operators })));
    pieces
}

/// Skips to the end of a string, and counts the line breaks in it.
fn skip_string(chars: &mut Peekable<CharIndices<'_>>) -> usize {
    let mut breaks = 0;
    while let Some((_, c)) = chars.next() {
        match c {
            '"' => break,
            '\\' => breaks += usize::from(chars.next().is_some_and(|(_, next)| next == '\n')),
            c => breaks += usize::from(c == '\n'),
        }
    }
    breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_end_at_semicolons_outside_of_strings_and_comments() {
        let text = "// a; b\n@id(\"x;\\\";\") permit(a); // c;\n\n forbid(b);\n // end;\n rest";
        let pieces = split(text);
        let found: Vec<(&str, usize)> = pieces.iter().map(|piece| (piece.text, piece.line)).collect();
        assert_eq!(found, [("@id(\"x;\\\";\") permit(a);", 2), ("forbid(b);", 4), ("rest", 6)]);
        assert!(split(" // nothing;\n").is_empty());
    }
}
