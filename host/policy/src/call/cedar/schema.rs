//! The schema that policies are validated against. Types of arguments are those of the tool's WIT.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::str::FromStr as _;

use cedar_policy::{Schema, SchemaFragment};

use crate::call::facts::ArgumentType;
use crate::limits::rules::ARGUMENT_TYPE_DEPTH_MAX;
use crate::redact::printable;

/// Actions that are not the name of a tool. `call` is the group of all tools.
pub(super) const ACTIONS: [&str; 3] = ["call", "read", "get"];

const ENTITIES: &str = r#"
entity Tenant, Group, Client, Signer;
entity Local in [Tenant];
entity User in [Group, Tenant] {
  issuer: String, client?: Client, scopes: Set<String>, actors: Set<String>
};
entity Service in [Group, Tenant] { issuer: String, client?: Client, scopes: Set<String> };
entity Plugin in [Signer] { digest: String, version?: String, roles: Set<String> };
entity Tool in [Plugin] {
  plugin: Plugin, reads: Bool, writes: Bool, reaches_out: Bool, destructive: Bool, hosts: Set<String>
};
entity Resource in [Plugin] {
  plugin: Plugin, uri: String, reads: Bool, writes: Bool, reaches_out: Bool, hosts: Set<String>
};
entity Prompt in [Plugin] {
  plugin: Plugin, name: String, reads: Bool, writes: Bool, reaches_out: Bool, hosts: Set<String>
};
"#;

const CONTEXT: &str = "now: datetime, hour: Long, weekday: Long, source?: ipaddr, transport: String";

/// The schema of everything but arguments: the three actions, and each of `tools` as if it were served.
pub(super) fn general(tools: &BTreeSet<String>) -> Result<Schema, String> {
    let mut text = ENTITIES.to_owned();
    for (action, resource) in ACTIONS.into_iter().zip(["Tool", "Resource", "Prompt"]) {
        text.push_str(&applies(&format!("action {action:?}"), resource, CONTEXT));
    }
    for tool in tools {
        text.push_str(&applies(&format!("action {tool:?} in [\"call\"]"), "Tool", CONTEXT));
    }
    read(&text)
}

/// The entities of every schema, read once.
pub(super) fn entities() -> Result<SchemaFragment, String> {
    fragment(ENTITIES)
}

/// The schema of one tool with its arguments. The other actions that policies name exist, and apply to nothing.
pub(super) fn of_tool(
    entities: &SchemaFragment,
    tool: &str,
    arguments: &BTreeMap<String, ArgumentType>,
    named: &BTreeSet<String>,
) -> Result<Schema, String> {
    let mut text = String::new();
    for action in ACTIONS {
        // Writing to a text does not fail.
        let _written = writeln!(text, "action {action:?};");
    }
    for action in named.iter().filter(|action| action.as_str() != tool) {
        let _written = writeln!(text, "action {action:?} in [\"call\"];");
    }
    let context = format!("{CONTEXT}, args: {}", record(arguments, 0));
    text.push_str(&applies(&format!("action {tool:?} in [\"call\"]"), "Tool", &context));
    Schema::from_schema_fragments([entities.clone(), fragment(&text)?]).map_err(|error| unreadable(&error))
}

/// Whether rules can see a value of this type that is so deep inside an argument.
pub(super) fn is_visible(kind: &ArgumentType, depth: usize) -> bool {
    match kind {
        _ if depth > ARGUMENT_TYPE_DEPTH_MAX => false,
        ArgumentType::Hidden => false,
        ArgumentType::Bool | ArgumentType::Long | ArgumentType::Text | ArgumentType::Record(_) => true,
        ArgumentType::Optional(_) => false,
        ArgumentType::Set(inner) => is_visible(inner, depth + 1),
    }
}

/// Whether a field or an argument of this name and type is in the schema; an option is one only there.
pub(super) fn is_field(name: &str, kind: &ArgumentType, depth: usize) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    let kind = if let ArgumentType::Optional(inner) = kind { inner } else { kind };
    !name.is_empty() && name.chars().all(is_plain) && is_visible(kind, depth)
}

fn applies(action: &str, resource: &str, context: &str) -> String {
    format!(
        "{action} appliesTo {{ principal: [User, Service, Local], resource: [{resource}], context: {{ {context} }} }};\n"
    )
}

fn record(fields: &BTreeMap<String, ArgumentType>, depth: usize) -> String {
    let visible = fields.iter().filter(|(name, kind)| is_field(name, kind, depth));
    let fields = visible.map(|(name, kind)| match kind {
        ArgumentType::Optional(inner) => format!("\"{name}\"?: {}", written(inner, depth)),
        kind => format!("\"{name}\": {}", written(kind, depth)),
    });
    format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
}

/// A type that is visible, in the words of a schema.
fn written(kind: &ArgumentType, depth: usize) -> String {
    match kind {
        ArgumentType::Bool => "Bool".to_owned(),
        ArgumentType::Long => "Long".to_owned(),
        ArgumentType::Text | ArgumentType::Optional(_) | ArgumentType::Hidden => "String".to_owned(),
        ArgumentType::Set(inner) => format!("Set<{}>", written(inner, depth + 1)),
        ArgumentType::Record(fields) => record(fields, depth + 1),
    }
}

fn read(text: &str) -> Result<Schema, String> {
    Schema::from_str(text).map_err(|error| unreadable(&error))
}

fn fragment(text: &str) -> Result<SchemaFragment, String> {
    SchemaFragment::from_str(text).map_err(|error| unreadable(&error))
}

fn unreadable(error: &dyn std::fmt::Display) -> String {
    printable(&format!("the schema cannot be read: {error}"), 400)
}
