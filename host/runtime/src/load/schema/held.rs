//! Validation of values against a plugin's schema, as clients that received the schema do it. The work is counted
//! before validating, since a small schema can make it exceed any reasonable time.

use std::collections::{BTreeMap, HashMap};

pub(in crate::load) use jsonschema::json::SerdeJson;
use jsonschema::json::{Array as _, Json as Representation, Node as _, NodeIdentity, Object as _};
use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};
use toolgate_policy::limits::load::{
    PATTERN_COMPILED_BYTES_MAX, SCHEMA_EXPLAINED_STEPS_MAX, SCHEMA_VALUE_DEPTH_MAX, SCHEMA_VALUES_MAX,
};
use toolgate_policy::redact::printable;

use super::{CompileCost, IN_PLACE, REFERENCES, SchemaError, Schemas, cost, members, parts};
use crate::snapshot::tool::{Judge, MisfitError};

/// A compiled schema, for values of one representation.
pub(in crate::load) struct CompiledSchema<F: Representation> {
    validator: Validator<F>,
    /// The schema and its subschemas; the top one first.
    parts: Vec<Part>,
}

/// One schema, with the indices of further schemas that a value or its parts are checked against.
#[derive(Default)]
struct Part {
    /// Schemas for the same value.
    in_place: Vec<usize>,
    /// Schemas for properties by name.
    properties: HashMap<String, usize>,
    /// Schemas that may apply to every property.
    each_property: Vec<usize>,
    /// Schemas for the name of every property.
    names: Vec<usize>,
    /// Validates the value again to find what is unevaluated.
    looks_again: bool,
    /// Schemas for elements by index.
    places: Vec<usize>,
    /// Schemas that may apply to every element.
    each_element: Vec<usize>,
    /// States of the patterns for a string, and number of patterns.
    pattern_places: u64,
    patterns: u64,
    /// The same for names of properties.
    name_places: u64,
    name_patterns: u64,
    /// Number of keywords that count the characters of a string.
    lengths: u64,
    /// Size of the values it compares with, and number of required names.
    compared: u64,
    divides: bool,
    /// Whether it compares the elements of a list with each other.
    is_unique: bool,
}

impl<F: Representation> CompiledSchema<F> {
    /// Compiles a parsed schema and adds the cost to `compiled`.
    pub(in crate::load) fn new(
        schema: &Map<String, Value>,
        compiled: &mut CompileCost,
    ) -> Result<Self, SchemaError> {
        let top = Value::Object(schema.clone());
        let all = Schemas::of(&top)?;
        let index: BTreeMap<*const Value, usize> =
            all.all.iter().enumerate().map(|(at, schema)| (std::ptr::from_ref(*schema), at)).collect();
        let parts =
            all.all.iter().map(|schema| Part::of(schema, &all, &index)).collect::<Result<Vec<_>, _>>()?;
        compiled.with(all.check_references()?)?;
        // External references were refused; formats and content encodings are annotations only.
        let validator = jsonschema::options_for::<F>()
            .should_validate_formats(false)
            .without_content_media_type_support("application/json")
            .without_content_encoding_support("base64")
            .with_pattern_options(
                PatternOptions::regex()
                    .size_limit(PATTERN_COMPILED_BYTES_MAX)
                    .dfa_size_limit(PATTERN_COMPILED_BYTES_MAX),
            )
            .build(&top)
            .map_err(|error| SchemaError::Compiled(printable(&error.to_string(), 200)))?;
        Ok(Self { validator, parts })
    }
}

impl<V: 'static, F: for<'v> Representation<Node<'v> = &'v V>> Judge<V> for CompiledSchema<F> {
    fn judge(&self, value: &V, steps_max: u64) -> Result<(), MisfitError> {
        let mut count = Count { parts: &self.parts, known: HashMap::new(), visits: 0, most: steps_max };
        let steps = count.of::<F>(0, &value, 0).ok_or(MisfitError::Large)?;
        if self.validator.is_valid(value) {
            return Ok(());
        }
        // Explaining an error collects memory for each error.
        if steps > SCHEMA_EXPLAINED_STEPS_MAX {
            return Err(MisfitError::Wrong {
                at: String::new(),
                what: "it does not fit; it is too large to say where".to_owned(),
            });
        }
        match self.validator.validate(value) {
            Ok(()) => Ok(()),
            Err(error) => Err(MisfitError::Wrong {
                at: printable(&error.instance_path().to_string(), 200),
                what: printable(&error.masked().to_string(), 400),
            }),
        }
    }
}

impl Part {
    fn of(
        schema: &Value,
        all: &Schemas<'_>,
        index: &BTreeMap<*const Value, usize>,
    ) -> Result<Self, SchemaError> {
        let at = |part: &Value| index.get(&std::ptr::from_ref(part)).copied();
        let mut own = Self::default();
        for (key, value) in members(schema) {
            let below = || parts(key, value).into_iter().filter_map(at);
            match (key, value) {
                (key, _) if IN_PLACE.contains(&key) => own.in_place.extend(below()),
                (key, Value::String(reference)) if REFERENCES.contains(&key) => {
                    own.in_place.extend(at(all.target(reference)?));
                }
                ("properties", Value::Object(named)) => {
                    own.properties
                        .extend(named.iter().filter_map(|(name, part)| Some((name.clone(), at(part)?))));
                }
                ("patternProperties", Value::Object(named)) => {
                    // `additionalProperties` matches them again.
                    for pattern in named.keys() {
                        own.name_patterns += 2;
                        own.name_places += 2 * cost(pattern)?.places;
                    }
                    own.each_property.extend(below());
                }
                ("propertyNames", _) => own.names.extend(below()),
                ("additionalProperties" | "unevaluatedProperties", _) => {
                    own.looks_again |= key == "unevaluatedProperties";
                    own.each_property.extend(below());
                }
                ("prefixItems", _) | ("items", Value::Array(_)) => own.places.extend(below()),
                ("items" | "additionalItems" | "unevaluatedItems" | "contains", _) => {
                    own.looks_again |= key == "unevaluatedItems";
                    own.each_element.extend(below());
                }
                ("pattern", Value::String(pattern)) => {
                    own.patterns += 1;
                    own.pattern_places += cost(pattern)?.places;
                }
                ("minLength" | "maxLength", _) => own.lengths += 1,
                ("multipleOf", _) => own.divides = true,
                ("uniqueItems", Value::Bool(true)) => own.is_unique = true,
                ("enum" | "const" | "required" | "dependentRequired" | "dependencies", _) => {
                    own.compared += size::<SerdeJson>(&value);
                }
                _ => {}
            }
        }
        Ok(own)
    }
}

/// Counts the schemas that a value is checked against.
struct Count<'a> {
    parts: &'a [Part],
    /// Results for lists and objects, since many paths can lead to one schema for the same value.
    known: HashMap<(usize, NodeIdentity), u64>,
    visits: u64,
    most: u64,
}

/// Slowdown of a schema that validates a value again. Nested ones multiply: with 20 of them one value takes a minute
/// and a half.
const LOOKS_AGAIN: u64 = 4;

/// Bytes of a text that a pattern of one state reads in one step. A search with too many states to cache visits each
/// state at each byte.
const STEP_BYTES: u64 = 32;

/// Maximum steps of a division, reached by numbers with large exponents.
const DIVISION_STEPS: u64 = 40;

/// Comparisons per element to find duplicates: pairwise in short lists, by a hash in long ones.
const COMPARISONS: u64 = 16;

/// Number of a value's parts, with strings by their length.
fn size<'v, F: Representation>(value: &F::Node<'v>) -> u64 {
    let text = |text: &str| 1 + text.len() as u64 / STEP_BYTES;
    if let Some(value) = value.as_string() {
        text(&value)
    } else if let Some(list) = value.as_array() {
        list.elements().map(|value| size::<F>(&value)).fold(1, u64::saturating_add)
    } else if let Some(object) = value.as_object() {
        let member = |(name, value): (_, F::Node<'v>)| text(AsRef::as_ref(&name)) + size::<F>(&value);
        object.members().map(member).fold(1, u64::saturating_add)
    } else {
        1
    }
}

impl Part {
    /// Steps for a string.
    fn text(&self, text: &str) -> u64 {
        let lengths = self.lengths.saturating_mul(1 + text.len() as u64 / STEP_BYTES);
        reading(self.patterns, self.pattern_places, text).saturating_add(lengths)
    }

    /// Steps for the name of a property.
    fn name(&self, name: &str) -> u64 {
        reading(self.name_patterns, self.name_places, name)
    }
}

/// Steps of matching patterns with these states on a text.
fn reading(patterns: u64, places: u64, text: &str) -> u64 {
    patterns.saturating_add(places.saturating_mul(text.len() as u64) / STEP_BYTES)
}

impl Count<'_> {
    /// Steps for a value; `None` if there are too many, or it is nested too deeply.
    fn of<F: Representation>(&mut self, at: usize, value: &F::Node<'_>, depth: usize) -> Option<u64> {
        let place = value.container_identity().map(|identity| (at, identity));
        if let Some(steps) = place.and_then(|place| self.known.get(&place)) {
            return Some(*steps);
        }
        self.visits += 1;
        if self.visits > self.most || depth > SCHEMA_VALUE_DEPTH_MAX {
            return None;
        }
        let parts = self.parts;
        let part = parts.get(at)?;
        let mut steps = part.compared.saturating_add(1);
        for inner in &part.in_place {
            steps = steps.saturating_add(self.of::<F>(*inner, value, depth + 1)?);
        }
        if let Some(text) = value.as_string() {
            steps = steps.saturating_add(part.text(&text));
        } else if let Some(object) = value.as_object() {
            let mut buffer = F::StringBuffer::default();
            for (name, value) in object.members() {
                let name = name.as_ref();
                steps = steps.saturating_add(part.name(name).saturating_add(1));
                for inner in &part.names {
                    let of_name =
                        F::with_string_node(&mut buffer, name, |name| self.of::<F>(*inner, &name, depth + 1));
                    steps = steps.saturating_add(of_name?);
                }
                for inner in part.properties.get(name).into_iter().chain(&part.each_property) {
                    steps = steps.saturating_add(self.of::<F>(*inner, &value, depth + 1)?);
                }
            }
        } else if let Some(elements) = value.as_array() {
            if part.is_unique {
                steps = steps.saturating_add(size::<F>(value).saturating_mul(COMPARISONS));
            }
            for (index, value) in elements.elements().enumerate() {
                steps = steps.saturating_add(1);
                for inner in part.places.get(index).into_iter().chain(&part.each_element) {
                    steps = steps.saturating_add(self.of::<F>(*inner, &value, depth + 1)?);
                }
            }
        } else if part.divides && value.is_number() {
            steps = steps.saturating_add(DIVISION_STEPS);
        }
        if part.looks_again {
            steps = steps.saturating_mul(LOOKS_AGAIN);
        }
        if steps > self.most {
            return None;
        }
        if let Some(place) = place {
            if self.known.len() >= SCHEMA_VALUES_MAX {
                return None;
            }
            self.known.insert(place, steps);
        }
        Some(steps)
    }
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
