//! What clients of MCP, and the models behind them, take of a tool: its name and the keywords of its schemas. One table, with its
//! sources in docs/clients.md, and the verdict of each client about a tool. For people who choose a client or write a plugin: nothing is refused by it.

mod walk;

use serde_json::{Map, Value};

use walk::{At, Walk, Within};

/// A client, or a model's interface that clients hand schemas to as they are.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// One word for it.
    pub word: &'static str,
    /// What it is called.
    pub title: &'static str,
    /// Names of tools that it takes.
    pub names: NameRules,
    /// How many tools it takes, of all servers together.
    pub tools_max: Option<usize>,
    /// What it refuses in a schema.
    pub rules: &'static [Rule],
    /// Whether it looks at schemas of answers as well.
    pub reads_output: bool,
}

/// Which names are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameRules {
    /// Characters that may stand in one, beside ASCII letters and digits.
    pub more: &'static str,
    /// Characters of one.
    pub chars_max: usize,
    /// Whether it must begin with a letter or `_`.
    pub letter_first: bool,
}

/// One thing that a client refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// These keywords at the top.
    AtTop(&'static [&'static str]),
    /// Every keyword but these.
    Only(&'static [&'static str]),
    /// An array that does not say what its items are.
    ArrayWithoutItems,
    /// A schema without a `type`, unless it is a choice.
    NoType,
    /// `true` or `false` as the schema of a part.
    NoObject,
    /// Several types at once.
    SeveralTypes,
    /// Values of anything but text in an `enum`, or one without the type.
    EnumOfOther,
    /// Anything beside `anyOf`.
    BesideAnyOf,
    /// An object that may have other properties.
    Open,
    /// A property that may be left out.
    Optional,
    /// Names of properties other than these.
    Properties(NameRules),
    /// Objects within objects, so deep.
    Depth(usize),
    /// Properties of all objects together.
    PropertiesMax(usize),
    /// Values of all `enum`s together.
    EnumsMax(usize),
    /// Characters of the names of properties and the values of `enum`s together.
    CharsMax(usize),
}

/// Why a client does not take a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where: `name`, or a JSON Pointer that begins with `/inputSchema` or `/outputSchema`.
    pub at: String,
    /// What is refused there.
    pub what: String,
}

/// Refusals that are listed of one client and one tool.
const REFUSALS_MAX: usize = 8;

const CHOICES: &[&str] = &["anyOf", "oneOf", "allOf", "not", "enum"];
const DASH: NameRules = NameRules { more: "_-", chars_max: 64, letter_first: false };

/// What OpenAI's structured outputs take.
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

/// The fields of Gemini's `Schema`. `additionalProperties` is none of them: clients leave it away, or hand the schema over as
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

/// The clients that are known here.
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
        // With the name that the server has there 59; it is called `toolgate` in most places.
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
    /// Why it does not take a tool of this name with these schemas: the first reasons, none if it takes it.
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
                walk.schema(schema, At::Top, Within::default());
                refusals.extend(walk.end());
            }
        }
        refusals.truncate(REFUSALS_MAX);
        refusals
    }
}

impl NameRules {
    /// What is wrong with a name, if it is none of these.
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
