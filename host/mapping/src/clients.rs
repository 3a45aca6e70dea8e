//! Limits that MCP clients, and the models behind them, set on a tool's name and schemas, and each client's verdict on
//! a tool. One table; sources are in docs/clients.md. It informs users and plugin authors and never refuses a tool.

mod walk;

use serde_json::{Map, Value};

use walk::{Walk, Within};

/// MCP client, or a model API that clients pass schemas to unchanged.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Short identifier.
    pub word: &'static str,
    /// Display name.
    pub title: &'static str,
    /// Tool names accepted.
    pub names: NameRules,
    /// Most tools accepted, of all servers together.
    pub tools_max: Option<usize>,
    /// Schema features refused.
    pub rules: &'static [Rule],
    /// Whether output schemas are checked too.
    pub reads_output: bool,
}

/// Rules for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameRules {
    /// Characters allowed beside ASCII letters and digits.
    pub more: &'static str,
    /// Maximum length in characters.
    pub chars_max: usize,
    /// Whether the first character must be a letter or `_`.
    pub letter_first: bool,
}

/// Schema feature that a client refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// These keywords at the top level.
    AtTop(&'static [&'static str]),
    /// Keywords other than these.
    Only(&'static [&'static str]),
    /// An array without `items`.
    ArrayWithoutItems,
    /// A schema without a `type`, unless it has `anyOf` or `$ref`.
    NoType,
    /// `true` or `false` as a subschema.
    NoObject,
    /// `type` with several types.
    SeveralTypes,
    /// `enum` with values other than strings, or without `"type": "string"`.
    EnumOfOther,
    /// Keywords beside `anyOf`.
    BesideAnyOf,
    /// An object without `additionalProperties: false`.
    Open,
    /// A property that is not in `required`.
    Optional,
    /// Property names that break these rules.
    Properties(NameRules),
    /// Objects nested deeper than this.
    Depth(usize),
    /// More properties than this, over all objects.
    PropertiesMax(usize),
    /// More values than this, over all `enum`s.
    EnumsMax(usize),
    /// More characters than this in property names and `enum` values together.
    CharsMax(usize),
}

/// Reason that a client refuses a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Place: `name`, or a JSON Pointer that begins with `/inputSchema` or `/outputSchema`.
    pub at: String,
    /// Feature refused there.
    pub what: String,
}

/// Refusals listed for one client and one tool.
const REFUSALS_MAX: usize = 8;

const CHOICES: &[&str] = &["anyOf", "oneOf", "allOf", "not", "enum"];
const DASH: NameRules = NameRules { more: "_-", chars_max: 64, letter_first: false };

/// Keywords supported by OpenAI's structured outputs.
const STRICT: &[&str] = &[
    "$defs",
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "definitions",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maximum",
    "maxItems",
    "minimum",
    "minItems",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
];

/// Fields of Gemini's `Schema`, and `additionalProperties`, which is not one: clients drop it, or send the schema as
/// `parametersJsonSchema`, which has it.
const GEMINI: &[&str] = &[
    "additionalProperties",
    "anyOf",
    "default",
    "description",
    "enum",
    "example",
    "format",
    "items",
    "maximum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "minimum",
    "minItems",
    "minLength",
    "minProperties",
    "nullable",
    "pattern",
    "properties",
    "propertyOrdering",
    "required",
    "title",
    "type",
];

/// Known clients.
pub const CLIENTS: [Client; 7] = [
    Client {
        word: "vscode",
        title: "VS Code with GitHub Copilot",
        names: DASH,
        tools_max: Some(128),
        rules: &[Rule::ArrayWithoutItems],
        reads_output: false,
    },
    Client {
        word: "openai",
        title: "OpenAI, functions",
        names: DASH,
        tools_max: Some(128),
        rules: &[Rule::AtTop(CHOICES), Rule::ArrayWithoutItems],
        reads_output: false,
    },
    Client {
        word: "openai-strict",
        title: "OpenAI, functions with strict",
        names: DASH,
        tools_max: Some(128),
        rules: &[
            Rule::AtTop(CHOICES),
            Rule::ArrayWithoutItems,
            Rule::Only(STRICT),
            Rule::NoObject,
            Rule::NoType,
            Rule::Open,
            Rule::Optional,
            Rule::Depth(10),
            Rule::PropertiesMax(5_000),
            Rule::EnumsMax(1_000),
            Rule::CharsMax(120_000),
        ],
        reads_output: false,
    },
    Client {
        word: "gemini",
        title: "Gemini, function declarations",
        names: NameRules { more: "_.-", chars_max: 64, letter_first: true },
        tools_max: None,
        rules: &[
            Rule::Only(GEMINI),
            Rule::ArrayWithoutItems,
            Rule::NoObject,
            Rule::NoType,
            Rule::SeveralTypes,
            Rule::EnumOfOther,
            Rule::BesideAnyOf,
        ],
        reads_output: false,
    },
    Client {
        word: "anthropic",
        title: "Anthropic, tools",
        names: DASH,
        tools_max: None,
        rules: &[
            Rule::AtTop(&["anyOf", "oneOf", "allOf"]),
            Rule::Properties(NameRules { more: "_.-", chars_max: 64, letter_first: false }),
        ],
        reads_output: false,
    },
    Client {
        word: "cursor",
        title: "Cursor",
        // Cursor allows 59 characters including the server's name, which is `toolgate` in most configurations.
        names: NameRules { more: "_", chars_max: 59 - "toolgate".len(), letter_first: false },
        tools_max: Some(40),
        rules: &[],
        reads_output: false,
    },
    Client {
        word: "inspector",
        title: "MCP Inspector with --strict",
        names: NameRules { more: "_.-", chars_max: 128, letter_first: false },
        tools_max: None,
        rules: &[Rule::ArrayWithoutItems, Rule::NoObject, Rule::NoType, Rule::SeveralTypes],
        reads_output: true,
    },
];

impl Client {
    /// Reasons to refuse a tool with this name and these schemas; at most the first few, empty if the tool is accepted.
    pub fn refuses(
        &self,
        name: &str,
        input: &Map<String, Value>,
        output: Option<&Map<String, Value>>,
    ) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if let Some(what) = self.names.refuses(name) {
            refusals.push(Refusal { at: "name".to_owned(), what });
        }
        let output = output.filter(|_| self.reads_output);
        for (at, schema) in [("/inputSchema", Some(input)), ("/outputSchema", output)] {
            if let Some(schema) = schema {
                let mut walk = Walk::new(self.rules, at);
                walk.schema(schema, Within::default());
                refusals.extend(walk.end());
            }
        }
        refusals.truncate(REFUSALS_MAX);
        refusals
    }
}

impl NameRules {
    /// Description of the first rule that a name breaks.
    fn refuses(&self, name: &str) -> Option<String> {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || self.more.contains(c);
        if let Some(c) = name.chars().find(|c| !is_fine(*c)) {
            return Some(format!("`{}` in a name", c.escape_default()));
        }
        let first = name.chars().next().filter(|c| !c.is_ascii_alphabetic() && *c != '_');
        if let Some(c) = first.filter(|_| self.letter_first) {
            return Some(format!("`{c}` at the beginning of a name"));
        }
        let count = name.chars().count();
        (count > self.chars_max)
            .then(|| format!("a name of {count} characters, where {} are taken", self.chars_max))
    }
}

#[cfg(test)]
#[path = "clients_tests.rs"]
mod tests;
