//! Validation of values, and refusal where it would take too long.

use serde_json::json;
use toolgate_base::json::{Json, JsonLimits};

use super::super::tree::Strict;
use super::*;

fn held<F: Representation>(schema: &Value) -> CompiledSchema<F> {
    let schema = super::super::read(&schema.to_string()).unwrap();
    CompiledSchema::new(&schema, &mut CompileCost::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// The same value as the strict reader has it, also where that reads nothing so deep.
fn strict(value: &Value) -> Json {
    match value {
        Value::Array(elements) => Json::Array(elements.iter().map(strict).collect()),
        Value::Object(members) => {
            Json::Object(members.iter().map(|(key, value)| (key.clone(), strict(value))).collect())
        }
        scalar => {
            let bounds = JsonLimits { bytes_max: 8 << 20, depth_max: 0, nodes_max: 1 };
            Json::parse(scalar.to_string().as_bytes(), bounds).unwrap()
        }
    }
}

/// Judges a value, and asserts that the verdict is the same for arguments and answers.
fn judged(schema: Value, value: &Value) -> Result<(), MisfitError> {
    let judged = held::<SerdeJson>(&schema).judge(value, 100_000);
    assert_eq!(held::<Strict>(&schema).judge(&strict(value), 100_000), judged, "{schema}: {value:.200}");
    judged
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
            Err(MisfitError::Wrong { at: place, what }) => {
                assert!(!words.is_empty() && place == at && what.contains(words), "{value}: {place}: {what}");
            }
            Err(MisfitError::Large) => panic!("{value}"),
        }
    }
}

#[test]
fn a_schema_of_a_plugin_is_held_to_as_written_without_leniency() {
    let schema =
        json!({ "type": "object", "properties": { "a": { "type": "boolean" }, "n": { "type": "integer" } } });
    assert!(judged(schema.clone(), &json!({ "a": true, "n": 5.0 })).is_ok());
    for value in [json!({ "a": "true" }), json!({ "n": "5" })] {
        assert!(matches!(judged(schema.clone(), &value), Err(MisfitError::Wrong { .. })), "{value}");
    }
}

#[test]
fn a_schema_that_holds_a_small_value_to_millions_of_schemas_is_not_asked() {
    // Each level refers to the next in two ways.
    let tree = json!({ "type": "object", "$defs": { "t": { "allOf": [
        { "properties": { "c": { "$ref": "#/$defs/t" } } }, { "properties": { "c": { "$ref": "#/$defs/t" } } },
    ] } }, "properties": { "c": { "$ref": "#/$defs/t" } } });
    let deep = |levels: usize| (0..levels).fold(json!({}), |value, _| json!({ "c": value }));
    assert!(judged(tree.clone(), &deep(8)).is_ok());
    assert!(matches!(judged(tree, &deep(40)), Err(MisfitError::Large)));
    // Nesting that could overflow the stack is refused, too.
    let chain = json!({ "type": "object", "properties": { "c": { "$ref": "#" } } });
    assert!(judged(chain.clone(), &deep(60)).is_ok());
    assert!(matches!(judged(chain, &deep(SCHEMA_VALUE_DEPTH_MAX)), Err(MisfitError::Large)));
}

#[test]
fn a_schema_that_looks_again_and_again_at_what_is_left_over_is_not_asked() {
    for (all, left_over, value) in [
        ("unevaluatedProperties", json!({ "type": "string" }), json!({ "a": "x" })),
        ("unevaluatedItems", json!({ "type": "string" }), json!({ "a": ["x"] })),
    ] {
        let nested = |levels: usize| {
            let inner = (0..levels).fold(json!({}), |inner, _| json!({ "allOf": [inner], all: left_over }));
            match all {
                "unevaluatedItems" => json!({ "type": "object", "properties": { "a": inner } }),
                _ => json!({ "type": "object", "allOf": [inner] }),
            }
        };
        assert!(judged(nested(5), &value).is_ok(), "{all}");
        assert!(matches!(judged(nested(20), &value), Err(MisfitError::Large)), "{all}");
    }
}

#[test]
fn whatever_grows_with_a_value_is_counted_with_it() {
    let text = |length: usize| json!({ "a": "a".repeat(length) });
    let each = |keyword: Value| json!({ "type": "object", "properties": { "a": keyword } });
    let many = |keyword: Value| each(json!({ "allOf": vec![keyword; 300] }));
    let list = |length: usize| json!({ "a": [vec![0; length], vec![0; length], [1]] });
    for (schema, small, large) in [
        // A search with 800 active states at each byte.
        (each(json!({ "pattern": "a[a-c]{800}b" })), text(1_000), text(60_000)),
        (many(json!({ "maxLength": 5_000_000 })), text(1_000), text(500_000)),
        (many(json!({ "uniqueItems": true })), list(5), list(20_000)),
        (each(json!({ "items": { "multipleOf": 3e-300 } })), list(20), json!({ "a": vec![1.1e300; 20_000] })),
        (
            each(json!({ "items": { "enum": [vec![0; 1_000]] } })),
            json!({ "a": [[1]] }),
            json!({ "a": vec![vec![0; 3]; 20_000] }),
        ),
    ] {
        let asked = |value: &Value| judged(schema.clone(), value);
        assert!(!matches!(asked(&small), Err(MisfitError::Large)), "{schema}");
        assert!(matches!(asked(&large), Err(MisfitError::Large)), "{schema}");
    }
}

#[test]
fn what_a_text_holds_is_a_remark_in_every_dialect() {
    for dialect in ["http://json-schema.org/draft-06/schema#", "http://json-schema.org/draft-07/schema#"] {
        let schema = json!({ "$schema": dialect, "type": "object", "properties": {
            "a": { "contentMediaType": "application/json", "contentEncoding": "base64" } } });
        assert!(judged(schema, &json!({ "a": "{" })).is_ok(), "{dialect}");
    }
}

#[test]
fn a_schema_that_is_compiled_once_more_for_each_leftover_is_refused_before_that() {
    let twice = |next: usize| json!({ "allOf": [{ "$ref": format!("#/$defs/d{next}") }, { "$ref": format!("#/$defs/d{next}") }] });
    let mut defs: Map<String, Value> = (0..11).map(|n| (format!("d{n}"), twice(n + 1))).collect();
    defs.insert("d11".to_owned(), json!({}));
    let schema = |looks: usize| {
        let look = json!({ "unevaluatedProperties": false, "allOf": [{ "$ref": "#/$defs/d0" }] });
        let properties: Map<String, Value> = (0..looks).map(|n| (format!("p{n}"), look.clone())).collect();
        json!({ "type": "object", "properties": properties, "$defs": defs }).to_string()
    };
    assert!(super::super::read(&schema(0)).is_ok());
    assert!(matches!(super::super::read(&schema(4)), Err(SchemaError::Leftovers)));
    // The cost of several tools is added up.
    let few = json!({ "type": "object", "$defs": { "d": { "allOf": vec![json!({}); 100] } },
        "unevaluatedProperties": false, "$ref": "#/$defs/d" });
    let few = super::super::read(&few.to_string()).unwrap();
    let mut all = CompileCost::default();
    let tools = (0..100).take_while(|_| CompiledSchema::<Strict>::new(&few, &mut all).is_ok()).count();
    assert!((10..100).contains(&tools), "{tools}");
}

#[test]
fn names_of_properties_are_read_by_each_pattern_that_they_are_held_to() {
    let patterns: Vec<Value> =
        (0..500).map(|n| json!({ "pattern": format!("^[a-w]*(?:[0-9]{{{}}})?$", n / 2) })).collect();
    let schema = json!({ "type": "object", "propertyNames": { "allOf": patterns } });
    let value: Map<String, Value> =
        (0..14).map(|n| (format!("{}{}", "a".repeat(4_000), "b".repeat(n)), json!(1))).collect();
    assert!(matches!(judged(schema, &Value::Object(value)), Err(MisfitError::Large)));
}

#[test]
fn a_long_text_counts_for_each_pattern_and_large_values_are_not_explained() {
    let schema = json!({ "type": "object", "properties": { "a": { "pattern": "^[a-z]*$" } } });
    let long = json!({ "a": "x".repeat(1 << 20) });
    assert!(
        held::<SerdeJson>(&schema)
            .judge(&long, 20_000)
            .is_err_and(|misfit| matches!(misfit, MisfitError::Large))
    );
    assert!(judged(schema, &long).is_ok());
    let list = json!({ "type": "object", "properties": { "a": { "items": { "type": "string" } } } });
    let wrong = json!({ "a": vec![1; 30_000] });
    match judged(list, &wrong) {
        Err(MisfitError::Wrong { at, what }) => {
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
        super::super::read(&json!({ "type": "object", "propertyNames": { "allOf": patterns } }).to_string())
    };
    assert!(matches!(read(&patterns), Err(SchemaError::Patterns)));
    // The cost of several tools is added up.
    let few = read(patterns.get(..40).unwrap()).unwrap();
    let mut all = CompileCost::default();
    assert!(CompiledSchema::<Strict>::new(&few, &mut all).is_ok());
    assert!(matches!(CompiledSchema::<Strict>::new(&few, &mut all), Err(SchemaError::Patterns)));
}

#[test]
fn a_pattern_whose_compiled_form_is_large_is_refused() {
    let schema = super::super::read(
        r#"{"type":"object","properties":{"a":{"type":"string","pattern":"^\\p{L}{100}$"}}}"#,
    );
    match schema
        .and_then(|schema| CompiledSchema::<Strict>::new(&schema, &mut CompileCost::default()).map(drop))
    {
        Err(SchemaError::Compiled(_) | SchemaError::Pattern(..)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_names_and_whole_values_are_compared_alike_in_arguments_and_in_answers() {
    let each = |keyword: Value| json!({ "type": "object", "properties": { "a": keyword } });
    let names: Map<String, Value> = (0..40).map(|n| (format!("n{n}"), json!(n))).collect();
    for (keyword, fits, does_not) in [
        (json!({ "const": 1 }), json!(1.0), json!(2)),
        (json!({ "enum": [u64::MAX] }), json!(u64::MAX), json!(u64::MAX - 1)),
        (
            json!({ "const": { "x": [1, { "y": null }] } }),
            json!({ "x": [1.0, { "y": null }] }),
            json!({ "x": [1, {}] }),
        ),
        (json!({ "const": [1] }), json!([1]), json!([1, 1])),
        (json!({ "const": "1" }), json!("1"), json!(1)),
        (json!({ "uniqueItems": true }), json!([0, "0", [0]]), json!([0, -0.0])),
        (json!({ "type": "integer", "maximum": 5e300 }), json!(1e300), json!(0.5)),
        (json!({ "exclusiveMaximum": i64::MIN + 1 }), json!(i64::MIN), json!(i64::MIN + 1)),
        (json!({ "multipleOf": 0.1 }), json!(0.3), json!(0.35)),
        (json!({ "required": ["n0", "n39"] }), json!(names), json!({ "n0": 0 })),
        (json!({ "properties": { "n7": { "const": 7 } } }), json!(names), json!({ "n7": 8 })),
        (json!({ "propertyNames": { "maxLength": 2 } }), json!({ "éé": 1 }), json!({ "ééé": 1 })),
        (json!({ "dependentRequired": { "x": ["y"] } }), json!({ "x": 1, "y": 1 }), json!({ "x": 1 })),
        (
            json!({ "unevaluatedProperties": false, "properties": { "x": true } }),
            json!({ "x": 1 }),
            json!({ "y": 1 }),
        ),
        (json!({ "type": "null" }), json!(null), json!(false)),
    ] {
        assert_eq!(judged(each(keyword.clone()), &json!({ "a": fits })), Ok(()), "{keyword}");
        let misfit = judged(each(keyword.clone()), &json!({ "a": does_not }));
        assert!(matches!(misfit, Err(MisfitError::Wrong { .. })), "{keyword}: {misfit:?}");
    }
}
