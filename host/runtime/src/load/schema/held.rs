//! Values held to a schema that a plugin wrote, as the clients that were shown it hold them. How many schemas a value would be held to is
//! counted before it is, since a small schema can make that more than anybody waits for.

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
use crate::snapshot::tool::{Judge, Misfit};

/// A schema that values are held to, as they lie in memory.
pub(in crate::load) struct Held<F: Representation> {
    validator: Validator<F>,
    /// All schemas in it, the first at the top.
    parts: Vec<Part>,
}

/// A schema among others: which of them a value, or what is in it, is held to as well.
#[derive(Default)]
struct Part {
    /// For the same value.
    in_place: Vec<usize>,
    /// For properties by name.
    properties: HashMap<String, usize>,
    /// For every property, as far as is known here.
    each_property: Vec<usize>,
    /// For the name of every property.
    names: Vec<usize>,
    /// It looks again at what it has held a value to already, to know what is left over.
    looks_again: bool,
    /// For elements by place.
    places: Vec<usize>,
    /// For every element, as far as is known here.
    each_element: Vec<usize>,
    own: Own,
}

/// What a schema itself does with a value, beside holding it to others.
#[derive(Default)]
struct Own {
    /// Places of the patterns that a text is held to, and patterns.
    pattern_places: u64,
    patterns: u64,
    /// … that names of properties are held to.
    name_places: u64,
    name_patterns: u64,
    /// Keywords that count the characters of a text.
    lengths: u64,
    /// Parts of the values that it compares with, and names that must be there.
    compared: u64,
    /// Divides numbers.
    divides: bool,
    /// Compares the elements of a list with each other.
    is_unique: bool,
}

impl<F: Representation> Held<F> {
    /// Compiles a schema that was read. What that takes is added to what was compiled before it.
    ///
    /// # Errors
    /// [`SchemaError`].
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
        // What leads out of it was refused; formats are remarks, and so is what a text holds.
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

impl<V: 'static, F: for<'v> Representation<Node<'v> = &'v V>> Judge<V> for Held<F> {
    fn judge(&self, value: &V, steps_max: u64) -> Result<(), Misfit> {
        let mut count = Count { parts: &self.parts, known: HashMap::new(), visits: 0, most: steps_max };
        let steps = count.of::<F>(0, &value, 0).ok_or(Misfit::Large)?;
        if self.validator.is_valid(value) {
            return Ok(());
        }
        // To say what is wrong is to collect it, which takes memory for each thing that is.
        if steps > SCHEMA_EXPLAINED_STEPS_MAX {
            return Err(Misfit::Wrong {
                at: String::new(),
                what: "it does not fit; it is too large to say where".to_owned(),
            });
        }
        match self.validator.validate(value) {
            Ok(()) => Ok(()),
            Err(error) => Err(Misfit::Wrong {
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
                    // `additionalProperties` looks at them once more.
                    for pattern in named.keys() {
                        own.own.name_patterns += 2;
                        own.own.name_places += 2 * cost(pattern)?.places;
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
                    own.own.patterns += 1;
                    own.own.pattern_places += cost(pattern)?.places;
                }
                ("minLength" | "maxLength", _) => own.own.lengths += 1,
                ("multipleOf", _) => own.own.divides = true,
                ("uniqueItems", Value::Bool(true)) => own.own.is_unique = true,
                ("enum" | "const" | "required" | "dependentRequired" | "dependencies", _) => {
                    own.own.compared += size::<SerdeJson>(&value);
                }
                _ => {}
            }
        }
        Ok(own)
    }
}

/// How many schemas a value is held to.
struct Count<'a> {
    parts: &'a [Part],
    /// Of lists and objects that were counted: one can be held to one schema in many ways.
    known: HashMap<(usize, NodeIdentity), u64>,
    visits: u64,
    most: u64,
}

/// How much longer it takes where a schema looks again at what it has held a value to. Each such schema in another takes that much longer
/// again: with 20 of them one value takes a minute and a half.
const LOOKS_AGAIN: u64 = 4;

/// Bytes of a text that a pattern of one place reads in the time of a step. A search whose states are too many to be remembered is at
/// each place of its pattern with each byte.
const STEP_BYTES: u64 = 32;

/// Steps that a division takes at most: of numbers with large exponents.
const DIVISION_STEPS: u64 = 40;

/// How often an element of a list is compared with others, to find two that are the same: short lists each with each, long ones by a hash.
const COMPARISONS: u64 = 16;

/// The parts of a value, its texts by their length.
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

impl Own {
    /// Steps for a text.
    fn text(&self, text: &str) -> u64 {
        let lengths = self.lengths.saturating_mul(1 + text.len() as u64 / STEP_BYTES);
        reading(self.patterns, self.pattern_places, text).saturating_add(lengths)
    }

    /// Steps for the name of a property.
    fn name(&self, name: &str) -> u64 {
        reading(self.name_patterns, self.name_places, name)
    }
}

/// Steps of so many patterns with so many places for a text.
fn reading(patterns: u64, places: u64, text: &str) -> u64 {
    patterns.saturating_add(places.saturating_mul(text.len() as u64) / STEP_BYTES)
}

impl Count<'_> {
    /// So many; none if they are more than may be, or too deep.
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
        let own = &part.own;
        let mut steps = own.compared.saturating_add(1);
        for inner in &part.in_place {
            steps = steps.saturating_add(self.of::<F>(*inner, value, depth + 1)?);
        }
        if let Some(text) = value.as_string() {
            steps = steps.saturating_add(own.text(&text));
        } else if let Some(object) = value.as_object() {
            let mut buffer = F::StringBuffer::default();
            for (name, value) in object.members() {
                let name = name.as_ref();
                steps = steps.saturating_add(own.name(name).saturating_add(1));
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
            if own.is_unique {
                steps = steps.saturating_add(size::<F>(value).saturating_mul(COMPARISONS));
            }
            for (index, value) in elements.elements().enumerate() {
                steps = steps.saturating_add(1);
                for inner in part.places.get(index).into_iter().chain(&part.each_element) {
                    steps = steps.saturating_add(self.of::<F>(*inner, &value, depth + 1)?);
                }
            }
        } else if own.divides && value.is_number() {
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
