//! JSON Schema (2020-12) for a function's arguments and result. Deterministic: the same shape gives the same bytes.

use serde_json::{Map, Value, json};

use super::SAFE_INTEGER_MAX;
use super::shape::{Case, Field, Function, Integer, Shape};

/// Which way values go: some types accept less than they give.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// How a result is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing to tell.
    Nothing,
    /// As text, without a schema.
    Text,
    /// As the object that the shape itself makes.
    Object(Shape),
    /// As an object with the value under `result`, so that one schema serves every revision of MCP.
    Wrapped(Shape),
}

/// The schema of a function's arguments: one closed object.
pub fn input(function: &Function) -> Map<String, Value> {
    closed(&function.params, Way::In)
}

/// The schema of what a call answers; none where it answers text or nothing.
pub fn output(reply: &Reply) -> Option<Map<String, Value>> {
    match reply {
        Reply::Nothing | Reply::Text => None,
        Reply::Object(Shape::Record(fields)) => Some(closed(fields, Way::Out)),
        Reply::Object(shape) | Reply::Wrapped(shape) => {
            let wrapped = json!({ "result": of(shape, Way::Out) });
            Some(object(wrapped, vec![Value::from("result")]))
        }
    }
}

/// How the result of a function is told. The `ok` side of a result at the top is the result itself.
pub fn reply(function: &Function) -> Reply {
    let shape = match &function.result {
        Some(Shape::Result(ok, _)) => ok.as_deref(),
        other => other.as_ref(),
    };
    match shape {
        None => Reply::Nothing,
        Some(Shape::String) => Reply::Text,
        Some(shape @ Shape::Record(_)) => Reply::Object(shape.clone()),
        Some(shape) => Reply::Wrapped(shape.clone()),
    }
}

fn of(shape: &Shape, way: Way) -> Value {
    match shape {
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer(integer) => integer_schema(*integer),
        Shape::F32 | Shape::F64 => match way {
            Way::In => json!({ "type": "number" }),
            Way::Out => {
                json!({ "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }] })
            }
        },
        Shape::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Shape::String => json!({ "type": "string" }),
        Shape::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Shape::List(element) => json!({ "type": "array", "items": of(element, way) }),
        Shape::Tuple(elements) => json!({
            "type": "array",
            "prefixItems": elements.iter().map(|element| of(element, way)).collect::<Vec<_>>(),
            "items": false,
            "minItems": elements.len(),
        }),
        Shape::Record(fields) => Value::Object(closed(fields, way)),
        Shape::Option(inner) if is_nullable(inner) => {
            let some = object(json!({ "some": of(inner, way) }), vec![Value::from("some")]);
            json!({ "anyOf": [some, { "type": "null" }] })
        }
        Shape::Option(inner) => json!({ "anyOf": [of(inner, way), { "type": "null" }] }),
        Shape::Result(ok, err) => {
            let side = |name: &str, shape: &Option<Box<Shape>>| {
                let value = shape.as_ref().map_or_else(|| json!({ "type": "null" }), |shape| of(shape, way));
                object(json!({ name: value }), vec![Value::from(name)])
            };
            json!({ "oneOf": [side("ok", ok), side("err", err)] })
        }
        Shape::Variant(cases) => {
            json!({ "oneOf": cases.iter().map(|case| case_schema(case, way)).collect::<Vec<_>>() })
        }
        Shape::Enum(names) => json!({ "type": "string", "enum": names }),
        Shape::Flags(names) => {
            json!({ "type": "array", "items": { "type": "string", "enum": names }, "uniqueItems": true })
        }
    }
}

/// Whether `null` is a value of the shape, so that an option around it needs a wrapper to tell none from some(none).
pub(super) fn is_nullable(shape: &Shape) -> bool {
    matches!(shape, Shape::Option(_))
}

fn integer_schema(integer: Integer) -> Value {
    let (low, high) = integer.range();
    if !integer.is_wide() {
        return json!({ "type": "integer", "minimum": narrow(low), "maximum": narrow(high) });
    }
    let low = low.max(-SAFE_INTEGER_MAX);
    let decimal = if low < 0 { "^(0|-?[1-9][0-9]{0,18})$" } else { "^(0|[1-9][0-9]{0,19})$" };
    json!({ "anyOf": [
        { "type": "integer", "minimum": narrow(low), "maximum": narrow(SAFE_INTEGER_MAX) },
        { "type": "string", "pattern": decimal },
    ] })
}

/// Bounds of schemas all lie within ±(2^53 − 1).
fn narrow(bound: i128) -> i64 {
    i64::try_from(bound).unwrap_or_default()
}

fn case_schema(case: &Case, way: Way) -> Map<String, Value> {
    let tag = json!({ "const": case.name });
    match &case.payload {
        None => object(json!({ "tag": tag }), vec![Value::from("tag")]),
        Some(payload) => {
            let members = json!({ "tag": tag, "val": of(payload, way) });
            object(members, vec![Value::from("tag"), Value::from("val")])
        }
    }
}

/// A closed object with these fields. A field that is an option may be left out; its schema is that of what it holds.
fn closed(fields: &[Field], way: Way) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields {
        let schema = match &field.shape {
            Shape::Option(inner) if !is_nullable(inner) => of(inner, way),
            shape => of(shape, way),
        };
        if !matches!(field.shape, Shape::Option(_)) {
            required.push(Value::from(field.name.as_str()));
        }
        properties.insert(field.name.clone(), schema);
    }
    object(Value::Object(properties), required)
}

fn object(properties: Value, required: Vec<Value>) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), Value::from("object"));
    schema.insert("properties".to_owned(), properties);
    if !required.is_empty() {
        schema.insert("required".to_owned(), Value::Array(required));
    }
    schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    schema
}
