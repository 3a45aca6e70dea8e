//! Walks a schema with all its subschemas and checks each against a client's rules.

use serde_json::{Map, Value};
use toolgate_policy::redact::printable;

use super::{REFUSALS_MAX, Refusal, Rule};
use crate::problem::escaped;

/// Nesting around a schema.
#[derive(Clone, Copy, Default)]
pub(super) struct Within {
    /// Enclosing objects.
    objects: usize,
    /// Enclosing schemas and this one, which bounds the recursion.
    schemas: usize,
}

/// Levels beyond which the walk stops. Schemas read here have fewer.
const DEPTH_MAX: usize = 256;

pub(super) struct Walk {
    rules: &'static [Rule],
    at: String,
    refusals: Vec<Refusal>,
    properties: usize,
    enums: usize,
    chars: usize,
}

/// Keywords whose value is a schema, a list of schemas, or schemas by name.
const ONE: [&str; 4] = ["additionalProperties", "contains", "items", "not"];
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const BY_NAME: [&str; 4] = ["$defs", "definitions", "patternProperties", "properties"];

impl Walk {
    pub(super) fn new(rules: &'static [Rule], at: &str) -> Self {
        Self { rules, at: at.to_owned(), refusals: Vec::new(), properties: 0, enums: 0, chars: 0 }
    }

    /// Checks the limits on totals and returns all refusals.
    pub(super) fn end(mut self) -> Vec<Refusal> {
        for rule in self.rules {
            let (count, most, what) = match rule {
                Rule::PropertiesMax(most) => (self.properties, *most, "properties"),
                Rule::EnumsMax(most) => (self.enums, *most, "values in `enum`"),
                Rule::CharsMax(most) => (self.chars, *most, "characters in names and `enum`"),
                _ => continue,
            };
            if count > most {
                self.refuse(format!("{count} {what} in all, where {most} are taken"));
            }
        }
        self.refusals
    }

    pub(super) fn schema(&mut self, schema: &Map<String, Value>, within: Within) {
        if within.schemas > DEPTH_MAX || self.refusals.len() >= REFUSALS_MAX {
            return;
        }
        let is_object = schema.get("type").is_some_and(|kind| is_kind(kind, "object"));
        let within = Within { objects: within.objects + usize::from(is_object), schemas: within.schemas + 1 };
        self.count(schema);
        for rule in self.rules {
            self.hold(rule, schema, within);
        }
        for (key, value) in schema {
            match value {
                Value::Object(parts) if BY_NAME.contains(&key.as_str()) => {
                    for (name, part) in parts {
                        self.part(&format!("/{key}/{}", escaped(name)), part, within);
                    }
                }
                Value::Array(parts) if LIST.contains(&key.as_str()) => {
                    for (index, part) in parts.iter().enumerate() {
                        self.part(&format!("/{key}/{index}"), part, within);
                    }
                }
                Value::Object(_) if ONE.contains(&key.as_str()) => {
                    self.part(&format!("/{key}"), value, within)
                }
                Value::Bool(_) if ONE.contains(&key.as_str()) && key != "additionalProperties" => {
                    self.part(&format!("/{key}"), value, within);
                }
                _ => {}
            }
        }
    }

    fn part(&mut self, step: &str, part: &Value, within: Within) {
        let length = self.at.len();
        self.at.push_str(step);
        match part {
            Value::Object(schema) => self.schema(schema, within),
            _ if self.rules.contains(&Rule::NoObject) => self.refuse(format!("`{part}` as a schema")),
            _ => {}
        }
        self.at.truncate(length);
    }

    fn count(&mut self, schema: &Map<String, Value>) {
        if let Some(Value::Object(properties)) = schema.get("properties") {
            self.properties += properties.len();
            self.chars += properties.keys().map(|name| name.chars().count()).sum::<usize>();
        }
        if let Some(Value::Array(values)) = schema.get("enum") {
            self.enums += values.len();
            self.chars +=
                values.iter().filter_map(Value::as_str).map(|text| text.chars().count()).sum::<usize>();
        }
    }

    fn hold(&mut self, rule: &Rule, schema: &Map<String, Value>, within: Within) {
        let kind = schema.get("type");
        let is = |name: &str| kind.is_some_and(|kind| is_kind(kind, name));
        match rule {
            Rule::AtTop(keys) if within.schemas == 1 => {
                for key in keys.iter().filter(|key| schema.contains_key(**key)) {
                    self.refuse(format!("`{key}` at the top"));
                }
            }
            Rule::Only(keys) => {
                for key in schema.keys().filter(|key| !keys.contains(&key.as_str())) {
                    self.refuse(format!("`{}`", printable(key, 100)));
                }
            }
            Rule::ArrayWithoutItems if is("array") && !schema.contains_key("items") => {
                self.refuse("an array without `items`".to_owned());
            }
            Rule::NoType
                if kind.is_none() && !schema.contains_key("anyOf") && !schema.contains_key("$ref") =>
            {
                self.refuse("a schema without `type`".to_owned());
            }
            Rule::SeveralTypes if matches!(kind, Some(Value::Array(_))) => {
                self.refuse("`type` with several types".to_owned());
            }
            Rule::EnumOfOther => {
                if let Some(values) = schema.get("enum").and_then(Value::as_array)
                    && !(kind == Some(&Value::from("string")) && values.iter().all(Value::is_string))
                {
                    self.refuse("`enum` of anything but texts".to_owned());
                }
            }
            Rule::BesideAnyOf if schema.contains_key("anyOf") && schema.len() > 1 => {
                let other = schema.keys().find(|key| *key != "anyOf").map_or("", String::as_str);
                self.refuse(format!("`{}` beside `anyOf`", printable(other, 100)));
            }
            Rule::Open if is("object") && schema.get("additionalProperties") != Some(&Value::Bool(false)) => {
                self.refuse("an object without `additionalProperties: false`".to_owned());
            }
            Rule::Optional => self.hold_to_required(schema),
            Rule::Properties(names) => {
                if let Some(Value::Object(properties)) = schema.get("properties") {
                    for (name, what) in
                        properties.keys().filter_map(|name| Some((name, names.refuses(name)?)))
                    {
                        self.refuse(format!("the property `{}`: {what}", printable(name, 100)));
                    }
                }
            }
            // Only at the level that first exceeds the limit.
            Rule::Depth(most) if is("object") && within.objects == most + 1 => {
                self.refuse(format!("objects in objects of more than {most} levels"));
            }
            _ => {}
        }
    }

    fn hold_to_required(&mut self, schema: &Map<String, Value>) {
        let Some(Value::Object(properties)) = schema.get("properties") else { return };
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
        for name in properties.keys().filter(|name| !is_required(name)) {
            self.refuse(format!("the property `{}`, which is not in `required`", printable(name, 100)));
        }
    }

    fn refuse(&mut self, what: String) {
        if self.refusals.len() < REFUSALS_MAX {
            self.refusals.push(Refusal { at: printable(&self.at, 500), what });
        }
    }
}

/// Whether a `type` is this one, or lists it.
fn is_kind(kind: &Value, name: &str) -> bool {
    match kind {
        Value::Array(kinds) => kinds.iter().any(|kind| kind == name),
        kind => kind == name,
    }
}
