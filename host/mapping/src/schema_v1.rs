//! Schemas as the previous release wrote them (mapping version 1), so that approvals made then still match.
//! To be removed in the release after this one.

use serde_json::{Map, Value, json};

use super::SAFE_INTEGER_MAX;
use super::schema::{FunctionDocs, Reply};
use super::shape::{Case, Field, Function, Integer, Shape};

/// Version of this mapping.
pub const VERSION: u32 = 1;

/// Direction of values: some types accept less than they return.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// Position of a schema in a function.
struct At<'a> {
    docs: &'a FunctionDocs,
    way: Way,
    path: String,
}

/// Schema of a function's arguments: one closed object.
pub fn input(function: &Function, docs: &FunctionDocs) -> Map<String, Value> {
    closed(&function.params, &At { docs, way: Way::In, path: String::new() })
}

/// Schema of a call's result; `None` for text, media, content or nothing.
pub fn output(reply: &Reply, docs: &FunctionDocs) -> Option<Map<String, Value>> {
    let at = At { docs, way: Way::Out, path: "return".to_owned() };
    match reply {
        Reply::Nothing | Reply::Text | Reply::Media(_) | Reply::Content => None,
        Reply::Object(Shape::Record(fields)) => Some(closed(fields, &at)),
        Reply::Object(shape) | Reply::Wrapped(shape) | Reply::ForHost(shape) => {
            let wrapped = json!({ "result": at.described(of(shape, &at)) });
            Some(object(wrapped, vec![Value::from("result")]))
        }
    }
}

impl At<'_> {
    fn under(&self, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) };
        Self { docs: self.docs, way: self.way, path }
    }

    fn doc(&self) -> Option<&String> {
        self.docs.get(&self.path)
    }

    /// Adds the description of this position.
    fn described(&self, mut schema: Value) -> Value {
        if let (Some(doc), Some(schema)) = (self.doc(), schema.as_object_mut()) {
            schema.insert("description".to_owned(), Value::from(doc.as_str()));
        }
        schema
    }

    /// Names of an enum or of flags, with their descriptions.
    fn names(&self, names: &[String]) -> Value {
        if !names.iter().any(|name| self.under(name).doc().is_some()) {
            return json!({ "type": "string", "enum": names });
        }
        let named = |name: &String| self.under(name).described(json!({ "const": name }));
        json!({ "type": "string", "oneOf": names.iter().map(named).collect::<Vec<_>>() })
    }
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
        Shape::Record(fields) => Value::Object(closed(fields, at)),
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
        Shape::Enum(names) => at.names(names),
        Shape::Flags(names) => json!({ "type": "array", "items": at.names(names), "uniqueItems": true }),
    }
}

/// Schema of a shape with the description of its position.
fn named(shape: &Shape, at: &At<'_>) -> Value {
    at.described(of(shape, at))
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

/// Narrows a bound: all bounds of schemas are within ±(2^53 − 1).
fn narrow(bound: i128) -> i64 {
    i64::try_from(bound).unwrap_or_default()
}

fn case_schema(case: &Case, at: &At<'_>) -> Value {
    let at = at.under(&case.name);
    let tag = json!({ "const": case.name });
    let schema = match &case.payload {
        None => object(json!({ "tag": tag }), vec![Value::from("tag")]),
        Some(payload) => {
            let members = json!({ "tag": tag, "val": of(payload, &at) });
            object(members, vec![Value::from("tag"), Value::from("val")])
        }
    };
    at.described(Value::Object(schema))
}

/// A closed object with these fields. An option's field is not required, and its schema is that of the inner type.
fn closed(fields: &[Field], at: &At<'_>) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields {
        let at = at.under(&field.name);
        let schema = match &field.shape {
            Shape::Option(inner) if !inner.is_nullable() => named(inner, &at),
            shape => named(shape, &at),
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
