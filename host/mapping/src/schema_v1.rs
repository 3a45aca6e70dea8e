//! Schemas as the previous release wrote them (mapping version 1), so that approvals made then still match.
//! To be removed in the release after this one.

use serde_json::{Map, Value, json};

use super::schema::{
    At, FunctionDocs, Reply, Way, closed, input_by, integer_schema, object, output_by, tagged,
};
use super::shape::{Case, Function, Shape};

/// Version of this mapping.
pub const VERSION: u32 = 1;

/// Schema of a function's arguments: one closed object.
pub fn input(function: &Function, docs: &FunctionDocs) -> Map<String, Value> {
    input_by(function, docs, named)
}

/// Schema of a call's result; `None` for text, media, content or nothing.
pub fn output(reply: &Reply, docs: &FunctionDocs) -> Option<Map<String, Value>> {
    output_by(reply, docs, named)
}

/// Adds the description of a position.
fn described(mut schema: Value, at: &At<'_>) -> Value {
    if let (Some(doc), Some(schema)) = (at.doc(), schema.as_object_mut()) {
        schema.insert("description".to_owned(), Value::from(doc.as_str()));
    }
    schema
}

/// Names of an enum or of flags, with their descriptions.
fn names_of(names: &[String], at: &At<'_>) -> Value {
    if !names.iter().any(|name| at.under(name).doc().is_some()) {
        return json!({ "type": "string", "enum": names });
    }
    let named = |name: &String| described(json!({ "const": name }), &at.under(name));
    json!({ "type": "string", "oneOf": names.iter().map(named).collect::<Vec<_>>() })
}

/// Schema of a shape, without the description of the shape itself, which its position adds.
fn of(shape: &Shape, at: &At<'_>) -> Value {
    match shape {
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer(integer) => integer_schema(*integer),
        Shape::F32 | Shape::F64 => match at.way {
            Way::In => json!({ "type": "number" }),
            Way::Out => {
                json!({ "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }] })
            }
        },
        Shape::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Shape::String => json!({ "type": "string" }),
        Shape::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Shape::List(element) => json!({ "type": "array", "items": of(element, at) }),
        Shape::Tuple(elements) => {
            let element = |(n, shape): (usize, &Shape)| named(shape, &at.under(&n.to_string()));
            json!({
                "type": "array",
                "prefixItems": elements.iter().enumerate().map(element).collect::<Vec<_>>(),
                // Not `items: false`: readers of older drafts take that to forbid all items.
                "minItems": elements.len(),
                "maxItems": elements.len(),
            })
        }
        Shape::Record(fields) => Value::Object(closed(fields, at, named)),
        Shape::Option(inner) if inner.is_nullable() => {
            let some = object(json!({ "some": of(inner, at) }), vec![Value::from("some")]);
            json!({ "anyOf": [some, { "type": "null" }] })
        }
        Shape::Option(inner) => json!({ "anyOf": [of(inner, at), { "type": "null" }] }),
        Shape::Result(ok, err) => {
            let side = |name: &str, shape: &Option<Box<Shape>>| {
                let none = || json!({ "type": "null" });
                let value = shape.as_ref().map_or_else(none, |shape| named(shape, &at.under(name)));
                object(json!({ name: value }), vec![Value::from(name)])
            };
            json!({ "oneOf": [side("ok", ok), side("err", err)] })
        }
        Shape::Variant(cases) => {
            json!({ "oneOf": cases.iter().map(|case| case_schema(case, at)).collect::<Vec<_>>() })
        }
        Shape::Enum(names) => names_of(names, at),
        Shape::Flags(names) => json!({ "type": "array", "items": names_of(names, at), "uniqueItems": true }),
    }
}

/// Schema of a shape with the description of its position.
fn named(shape: &Shape, at: &At<'_>) -> Value {
    described(of(shape, at), at)
}

fn case_schema(case: &Case, at: &At<'_>) -> Value {
    let at = at.under(&case.name);
    let tag = json!({ "const": case.name });
    described(tagged(tag, case.payload.as_ref().map(|payload| of(payload, &at))), &at)
}
