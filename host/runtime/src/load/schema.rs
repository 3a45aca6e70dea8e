//! Schemas that a plugin declares at run time. Clients compile and apply them, so they must be valid JSON Schema,
//! self-contained, and applicable in bounded time.

pub(super) mod held;
pub(super) mod tree;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use toolgate_base::json::{Json, JsonLimits};
use toolgate_policy::limits::load::{
    PATTERN_RANGES_MAX, PATTERNS_MAX, SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_LEFTOVERS_MAX,
    SCHEMA_NODES_MAX, SCHEMA_STEPS_MAX,
};
use toolgate_policy::redact::printable;

use super::pattern::{self, PatternError};

/// Keywords whose value is a schema.
const ONE: [&str; 12] = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Keywords whose value is, or may be, a list of schemas.
const LIST: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];

/// Keywords whose value maps, or may map, names to schemas.
const BY_NAME: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// Keywords whose schemas apply to the same value, not to a part of it.
const IN_PLACE: [&str; 9] =
    ["allOf", "anyOf", "dependencies", "dependentSchemas", "else", "if", "not", "oneOf", "then"];

/// Keywords about parts that no other schema for the same value evaluated.
const LEFTOVERS: [&str; 2] = ["unevaluatedItems", "unevaluatedProperties"];

/// Keywords that refer to another schema.
const REFERENCES: [&str; 3] = ["$dynamicRef", "$recursiveRef", "$ref"];

/// A schema that is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("it cannot be read as JSON: {0}")]
    Json(String),
    #[error(r#"its "type" is not "object""#)]
    Type,
    #[error("`$schema` is {0}; write a dialect from draft-06 to 2020-12, or none")]
    Dialect(String),
    #[error("`{0}` is {1}, which is outside of it; put the schema under `$defs` and write #/$defs/NAME")]
    Outside(&'static str, String),
    #[error("`$id` is {0}; leave it away, or write a urn: at the top")]
    Id(String),
    #[error("`$ref` is {0}, where it has no schema")]
    Missing(String),
    #[error("two schemas in it have the `$anchor` {0}; give each a name of its own")]
    Anchor(String),
    #[error("it has {0}: {1}")]
    Pattern(PatternError, String),
    #[error("it is not a JSON Schema: {0}")]
    Shape(String),
    #[error(
        "with it the schemas of its dynamic tools have more than {PATTERNS_MAX} patterns together, or more than {PATTERN_RANGES_MAX} ranges of characters in them (`\\p{{L}}` has some 650, `\\p{{L}}{{3}}` three times as many)"
    )]
    Patterns,
    #[error(
        "with it the schemas of its dynamic tools have `unevaluatedProperties` or `unevaluatedItems` about more than {SCHEMA_LEFTOVERS_MAX} schemas together; write `additionalProperties` or `items`, or fewer schemas beside them"
    )]
    Leftovers,
    #[error("values cannot be held to it: {0}")]
    Compiled(String),
    #[error(
        "its `$ref`s come back to where they began, or to more than {SCHEMA_STEPS_MAX} schemas for one value"
    )]
    Steps,
}

/// Parses a schema as strictly as a caller's input.
pub(super) fn read(text: &str) -> Result<Map<String, Value>, SchemaError> {
    let bounds = JsonLimits {
        bytes_max: SCHEMA_BYTES_MAX,
        depth_max: SCHEMA_DEPTH_MAX * 2,
        nodes_max: SCHEMA_NODES_MAX * 8,
    };
    let json = Json::parse(text.as_bytes(), bounds).map_err(|error| SchemaError::Json(error.to_string()))?;
    let schema = json.value();
    if schema.get("type") != Some(&Value::from("object")) {
        return Err(SchemaError::Type);
    }
    outside(&schema, true)?;
    is_schema(&schema)?;
    Schemas::of(&schema)?.check_references()?;
    match schema {
        Value::Object(schema) => Ok(schema),
        _ => Err(SchemaError::Type),
    }
}

/// Checks every object, data included, for references that a client could fetch: some clients look for them everywhere.
fn outside(value: &Value, is_top: bool) -> Result<(), SchemaError> {
    let members = match value {
        Value::Array(list) => return list.iter().try_for_each(|value| outside(value, false)),
        Value::Object(members) => members,
        _ => return Ok(()),
    };
    for (key, value) in members {
        let text = value.as_str();
        let shown = || printable(text.unwrap_or_default(), 100);
        let reference = REFERENCES.into_iter().find(|reference| reference == key);
        if let Some(reference) = reference.filter(|_| text.is_some_and(|text| !text.starts_with('#'))) {
            return Err(SchemaError::Outside(reference, shown()));
        }
        let is_id = key == "$id" && text.is_some_and(|text| !(is_top && text.starts_with("urn:")));
        if is_id {
            return Err(SchemaError::Id(shown()));
        }
        outside(value, false)?;
    }
    Ok(())
}

/// Validates a schema against the meta-schema of its dialect.
fn is_schema(schema: &Value) -> Result<(), SchemaError> {
    let dialect = match schema.get("$schema") {
        None => "2020-12",
        Some(Value::String(dialect)) => dialect,
        Some(other) => return Err(SchemaError::Dialect(printable(&other.to_string(), 100))),
    };
    let bare = dialect.strip_suffix('#').unwrap_or(dialect);
    let bare = bare.strip_prefix("https:").or_else(|| bare.strip_prefix("http:")).unwrap_or(bare);
    let result = match bare {
        "2020-12" if schema.get("$schema").is_none() => jsonschema::draft202012::meta::validate(schema),
        "//json-schema.org/draft/2020-12/schema" => jsonschema::draft202012::meta::validate(schema),
        "//json-schema.org/draft/2019-09/schema" => jsonschema::draft201909::meta::validate(schema),
        "//json-schema.org/draft-07/schema" => jsonschema::draft7::meta::validate(schema),
        "//json-schema.org/draft-06/schema" => jsonschema::draft6::meta::validate(schema),
        _ => return Err(SchemaError::Dialect(printable(dialect, 100))),
    };
    result.map_err(|error| {
        let place = error.instance_path().to_string();
        SchemaError::Shape(printable(&format!("{place}: {error}"), 200))
    })
}

/// A schema with all its subschemas.
struct Schemas<'v> {
    top: &'v Value,
    all: Vec<&'v Value>,
    /// Addresses of the schemas, by which the target of a reference is recognised as one.
    places: BTreeSet<*const Value>,
    anchors: BTreeMap<&'v str, &'v Value>,
    cost: CompileCost,
}

/// Cost of compiling schemas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CompileCost {
    patterns: usize,
    /// Character ranges in the patterns.
    ranges: u64,
    /// Schemas compiled again for each `unevaluatedProperties` or `unevaluatedItems` that depends on them.
    leftovers: u64,
}

/// Cost of a pattern, if any client can match it in bounded time.
fn cost(pattern: &str) -> Result<pattern::Cost, SchemaError> {
    pattern::check(pattern).map_err(|error| SchemaError::Pattern(error, printable(pattern, 100)))
}

impl CompileCost {
    fn add(&mut self, pattern: &str) -> Result<(), SchemaError> {
        let ranges = cost(pattern)?.ranges;
        self.with(Self { patterns: 1, ranges, leftovers: 0 })
    }

    fn with(&mut self, other: Self) -> Result<(), SchemaError> {
        self.patterns = self.patterns.saturating_add(other.patterns);
        self.ranges = self.ranges.saturating_add(other.ranges);
        self.leftovers = self.leftovers.saturating_add(other.leftovers);
        if self.patterns > PATTERNS_MAX || self.ranges > PATTERN_RANGES_MAX {
            return Err(SchemaError::Patterns);
        }
        if self.leftovers > SCHEMA_LEFTOVERS_MAX { Err(SchemaError::Leftovers) } else { Ok(()) }
    }
}

impl<'v> Schemas<'v> {
    /// Collects all subschemas and checks their patterns.
    fn of(top: &'v Value) -> Result<Self, SchemaError> {
        let mut found = Self {
            top,
            all: vec![top],
            places: BTreeSet::new(),
            anchors: BTreeMap::new(),
            cost: CompileCost::default(),
        };
        let mut next = 0;
        while let Some(schema) = found.all.get(next).copied() {
            next += 1;
            found.places.insert(std::ptr::from_ref(schema));
            for (key, value) in members(schema) {
                match (key, value) {
                    ("$anchor" | "$dynamicAnchor", Value::String(name)) => {
                        let before = found.anchors.insert(name, schema);
                        if before.is_some_and(|before| !std::ptr::eq(before, schema)) {
                            return Err(SchemaError::Anchor(printable(name, 100)));
                        }
                    }
                    ("$recursiveRef", Value::String(reference)) if reference != "#" => {
                        return Err(SchemaError::Missing(printable(reference, 100)));
                    }
                    ("$schema", _) if next > 1 => {
                        return Err(SchemaError::Dialect("below the top".to_owned()));
                    }
                    ("pattern", Value::String(text)) => found.cost.add(text)?,
                    ("patternProperties", Value::Object(named)) => {
                        named.keys().try_for_each(|text| found.cost.add(text))?;
                    }
                    _ => {}
                }
                found.all.extend(parts(key, value));
            }
        }
        Ok(found)
    }

    /// Checks that references lead to schemas here and that a value takes few steps. Returns the compile cost.
    fn check_references(&self) -> Result<CompileCost, SchemaError> {
        let mut known = BTreeMap::new();
        let mut cost = self.cost;
        for schema in &self.all {
            let steps = self.steps(schema, 0, &mut known)?;
            let leftovers = members(schema).filter(|(key, _)| LEFTOVERS.contains(key)).count() as u64;
            cost.with(CompileCost { leftovers: steps.saturating_mul(leftovers), ..CompileCost::default() })?;
        }
        Ok(cost)
    }

    /// Number of schemas that one value is checked against by this one.
    fn steps(
        &self,
        schema: &'v Value,
        depth: usize,
        known: &mut BTreeMap<*const Value, u64>,
    ) -> Result<u64, SchemaError> {
        let place = std::ptr::from_ref(schema);
        if let Some(steps) = known.get(&place) {
            return Ok(*steps);
        }
        // A cycle of references exceeds any depth.
        if depth > SCHEMA_DEPTH_MAX * 2 {
            return Err(SchemaError::Steps);
        }
        let mut steps = 1u64;
        for (key, value) in members(schema) {
            if IN_PLACE.contains(&key) {
                for part in parts(key, value) {
                    steps = steps.saturating_add(self.steps(part, depth + 1, known)?);
                }
            }
            if let (true, Value::String(reference)) = (REFERENCES.contains(&key), value) {
                steps = steps.saturating_add(self.steps(self.target(reference)?, depth + 1, known)?);
            }
        }
        if steps > SCHEMA_STEPS_MAX {
            return Err(SchemaError::Steps);
        }
        known.insert(place, steps);
        Ok(steps)
    }

    fn target(&self, reference: &str) -> Result<&'v Value, SchemaError> {
        // Readers differ on percent-encoding.
        if reference.contains('%') {
            return Err(SchemaError::Missing(printable(reference, 100)));
        }
        let name = reference.strip_prefix('#').unwrap_or(reference);
        let target = match self.anchors.get(name) {
            Some(target) => Some(*target),
            None => self.top.pointer(name),
        };
        target
            .filter(|target| self.places.contains(&std::ptr::from_ref(*target)))
            .ok_or_else(|| SchemaError::Missing(printable(reference, 100)))
    }
}

fn members(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    schema.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// Subschemas of a keyword.
fn parts<'v>(key: &str, value: &'v Value) -> Vec<&'v Value> {
    let is_schema = |value: &&Value| value.is_object() || value.is_boolean();
    match value {
        Value::Object(named) if BY_NAME.contains(&key) => named.values().filter(is_schema).collect(),
        Value::Array(list) if LIST.contains(&key) => list.iter().filter(is_schema).collect(),
        Value::Object(_) | Value::Bool(_) if ONE.contains(&key) => vec![value],
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
