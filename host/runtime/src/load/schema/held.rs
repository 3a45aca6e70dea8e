//! Values held to a schema that a plugin wrote, as the clients that were shown it hold them. How many schemas a value would be held to is
//! counted before it is, since a small schema can make that more than anybody waits for.

use std::collections::{BTreeMap, HashMap};

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};
use toolgate_policy::limits::load::{
    PATTERN_COMPILED_BYTES_MAX, SCHEMA_EXPLAINED_STEPS_MAX, SCHEMA_VALUE_DEPTH_MAX, SCHEMA_VALUES_MAX,
};
use toolgate_policy::redact::printable;

use super::{IN_PLACE, Patterns, REFERENCES, SchemaError, Schemas, members, parts};
use crate::snapshot::tool::{Judge, Misfit};

/// A schema that values are held to.
pub(in crate::load) struct Held {
    validator: Validator,
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
    /// What else takes its time: patterns and values to compare with.
    patterns: u64,
    values: u64,
}

impl Held {
    /// Compiles a schema that was read, whose patterns are added to those that were compiled before it.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub(in crate::load) fn new(
        schema: &Map<String, Value>,
        patterns: &mut Patterns,
    ) -> Result<Self, SchemaError> {
        let top = Value::Object(schema.clone());
        let all = Schemas::of(&top)?;
        let index: BTreeMap<*const Value, usize> =
            all.all.iter().enumerate().map(|(at, schema)| (std::ptr::from_ref(*schema), at)).collect();
        let parts =
            all.all.iter().map(|schema| Part::of(schema, &all, &index)).collect::<Result<Vec<_>, _>>()?;
        patterns.with(all.patterns)?;
        // What leads out of it was refused; formats are remarks.
        let validator = jsonschema::options()
            .should_validate_formats(false)
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

impl Judge for Held {
    fn judge(&self, value: &Value, steps_max: u64) -> Result<(), Misfit> {
        let mut count = Count { parts: &self.parts, known: HashMap::new(), visits: 0, most: steps_max };
        let steps = count.of(0, value, 0).ok_or(Misfit::Large)?;
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
                    own.patterns += named.len() as u64;
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
                ("pattern", _) => own.patterns += 1,
                ("enum", Value::Array(values)) => own.values += values.len() as u64,
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
    known: HashMap<(usize, *const Value), u64>,
    visits: u64,
    most: u64,
}

/// How much longer it takes where a schema looks again at what it has held a value to. Each such schema in another takes that much longer
/// again: with 20 of them one value takes a minute and a half.
const LOOKS_AGAIN: u64 = 4;

/// Bytes of a text that a pattern reads in the time of a step.
const STEP_BYTES: u64 = 32;

impl Count<'_> {
    /// So many; none if they are more than may be, or too deep.
    fn of(&mut self, at: usize, value: &Value, depth: usize) -> Option<u64> {
        let place = (at, std::ptr::from_ref(value));
        if let Some(steps) = self.known.get(&place) {
            return Some(*steps);
        }
        self.visits += 1;
        if self.visits > self.most || depth > SCHEMA_VALUE_DEPTH_MAX {
            return None;
        }
        let parts = self.parts;
        let part = parts.get(at)?;
        let mut steps = 1 + part.values;
        for inner in &part.in_place {
            steps = steps.saturating_add(self.of(*inner, value, depth + 1)?);
        }
        match value {
            Value::String(text) => {
                steps =
                    steps.saturating_add(part.patterns.saturating_mul(1 + text.len() as u64 / STEP_BYTES));
            }
            Value::Object(members) => {
                for (name, value) in members {
                    let names = part.patterns.saturating_mul(1 + name.len() as u64 / STEP_BYTES);
                    steps = steps.saturating_add(1 + names);
                    let text = Value::from(name.as_str());
                    for inner in &part.names {
                        steps = steps.saturating_add(self.of(*inner, &text, depth + 1)?);
                    }
                    let own = part.properties.get(name);
                    for inner in own.into_iter().chain(&part.each_property) {
                        steps = steps.saturating_add(self.of(*inner, value, depth + 1)?);
                    }
                }
            }
            Value::Array(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    steps = steps.saturating_add(1);
                    for inner in part.places.get(index).into_iter().chain(&part.each_element) {
                        steps = steps.saturating_add(self.of(*inner, value, depth + 1)?);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        if part.looks_again {
            steps = steps.saturating_mul(LOOKS_AGAIN);
        }
        if steps > self.most {
            return None;
        }
        if value.is_array() || value.is_object() {
            if self.known.len() >= SCHEMA_VALUES_MAX {
                return None;
            }
            self.known.insert(place, steps);
        }
        Some(steps)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn held(schema: Value) -> Held {
        let schema = super::super::read(&schema.to_string()).unwrap();
        Held::new(&schema, &mut Patterns::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn judged(schema: Value, value: &Value) -> Result<(), Misfit> {
        held(schema).judge(value, 100_000)
    }

    #[test]
    fn what_does_not_fit_is_said_with_its_place_and_without_the_value() {
        let schema = json!({ "type": "object", "properties": {
            "a": { "type": "string" }, "b": { "type": "array", "items": { "$ref": "#/$defs/n" } },
        }, "required": ["a"], "additionalProperties": false, "$defs": { "n": { "type": "integer", "minimum": 3 } } });
        for (value, at, words) in [
            (json!({ "a": "x", "b": [3, 4] }), "", ""),
            (json!({ "a": 5 }), "/a", "is not of type \"string\""),
            (json!({}), "", "\"a\" is a required property"),
            (json!({ "a": "x", "b": [3, 2] }), "/b/1", "is less than the minimum of 3"),
            (json!({ "a": "x", "secret-word": 1 }), "", "dditional properties"),
        ] {
            match judged(schema.clone(), &value) {
                Ok(()) => assert_eq!(words, "", "{value}"),
                Err(Misfit::Wrong { at: place, what }) => {
                    assert!(
                        !words.is_empty() && place == at && what.contains(words),
                        "{value}: {place}: {what}"
                    );
                }
                Err(Misfit::Large) => panic!("{value}"),
            }
        }
    }

    #[test]
    fn a_schema_of_a_plugin_is_held_to_as_written_without_leniency() {
        let schema = json!({ "type": "object", "properties": { "a": { "type": "boolean" }, "n": { "type": "integer" } } });
        assert!(judged(schema.clone(), &json!({ "a": true, "n": 5.0 })).is_ok());
        for value in [json!({ "a": "true" }), json!({ "n": "5" })] {
            assert!(matches!(judged(schema.clone(), &value), Err(Misfit::Wrong { .. })), "{value}");
        }
    }

    #[test]
    fn a_schema_that_holds_a_small_value_to_millions_of_schemas_is_not_asked() {
        // Each level is held to the next in two ways.
        let tree = json!({ "type": "object", "$defs": { "t": { "allOf": [
            { "properties": { "c": { "$ref": "#/$defs/t" } } }, { "properties": { "c": { "$ref": "#/$defs/t" } } },
        ] } }, "properties": { "c": { "$ref": "#/$defs/t" } } });
        let deep = |levels: usize| (0..levels).fold(json!({}), |value, _| json!({ "c": value }));
        assert!(judged(tree.clone(), &deep(8)).is_ok());
        assert!(matches!(judged(tree, &deep(40)), Err(Misfit::Large)));
        // And so deep that the stack would not do.
        let chain = json!({ "type": "object", "properties": { "c": { "$ref": "#" } } });
        assert!(judged(chain.clone(), &deep(60)).is_ok());
        assert!(matches!(judged(chain, &deep(SCHEMA_VALUE_DEPTH_MAX)), Err(Misfit::Large)));
    }

    #[test]
    fn a_schema_that_looks_again_and_again_at_what_is_left_over_is_not_asked() {
        for (all, left_over, value) in [
            ("unevaluatedProperties", json!({ "type": "string" }), json!({ "a": "x" })),
            ("unevaluatedItems", json!({ "type": "string" }), json!({ "a": ["x"] })),
        ] {
            let nested = |levels: usize| {
                let inner =
                    (0..levels).fold(json!({}), |inner, _| json!({ "allOf": [inner], all: left_over }));
                match all {
                    "unevaluatedItems" => json!({ "type": "object", "properties": { "a": inner } }),
                    _ => json!({ "type": "object", "allOf": [inner] }),
                }
            };
            assert!(judged(nested(5), &value).is_ok(), "{all}");
            assert!(matches!(judged(nested(20), &value), Err(Misfit::Large)), "{all}");
        }
    }

    #[test]
    fn names_of_properties_are_read_by_each_pattern_that_they_are_held_to() {
        let patterns: Vec<Value> =
            (0..500).map(|n| json!({ "pattern": format!("^[a-w]*(?:[0-9]{{{}}})?$", n / 2) })).collect();
        let schema = json!({ "type": "object", "propertyNames": { "allOf": patterns } });
        let value: Map<String, Value> =
            (0..14).map(|n| (format!("{}{}", "a".repeat(4_000), "b".repeat(n)), json!(1))).collect();
        assert!(matches!(judged(schema, &Value::Object(value)), Err(Misfit::Large)));
    }

    #[test]
    fn a_long_text_counts_for_each_pattern_and_large_values_are_not_explained() {
        let schema = json!({ "type": "object", "properties": { "a": { "pattern": "^[a-z]*$" } } });
        let long = json!({ "a": "x".repeat(1 << 20) });
        assert!(
            held(schema.clone()).judge(&long, 20_000).is_err_and(|misfit| matches!(misfit, Misfit::Large))
        );
        assert!(judged(schema, &long).is_ok());
        let list = json!({ "type": "object", "properties": { "a": { "items": { "type": "string" } } } });
        let wrong = json!({ "a": vec![1; 30_000] });
        match judged(list, &wrong) {
            Err(Misfit::Wrong { at, what }) => {
                assert!(at.is_empty() && what.contains("too large to say"), "{what}")
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn patterns_that_take_long_to_compile_together_are_refused_before_they_are_compiled() {
        let patterns: Vec<Value> =
            (0..512).map(|n| json!({ "pattern": format!(r"^{n}\p{{L}}{{3}}$") })).collect();
        let read = |patterns: &[Value]| {
            super::super::read(
                &json!({ "type": "object", "propertyNames": { "allOf": patterns } }).to_string(),
            )
        };
        assert!(matches!(read(&patterns), Err(SchemaError::Patterns)));
        // Those of several tools are counted together.
        let few = read(patterns.get(..40).unwrap()).unwrap();
        let mut all = Patterns::default();
        assert!(Held::new(&few, &mut all).is_ok());
        assert!(matches!(Held::new(&few, &mut all), Err(SchemaError::Patterns)));
    }

    #[test]
    fn a_pattern_whose_compiled_form_is_large_is_refused() {
        let schema = super::super::read(
            r#"{"type":"object","properties":{"a":{"type":"string","pattern":"^\\p{L}{100}$"}}}"#,
        );
        match schema.and_then(|schema| Held::new(&schema, &mut Patterns::default()).map(drop)) {
            Err(SchemaError::Compiled(_) | SchemaError::Pattern(..)) => {}
            other => panic!("{other:?}"),
        }
    }
}
