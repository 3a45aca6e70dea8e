//! JSON Schema (2020-12) for a function's arguments and result, with the author's descriptions. Deterministic: the same
//! shape and descriptions give the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::SAFE_INTEGER_MAX;
use super::rough;
use super::shape::{self, Case, Field, Function, Integer, Shape};

/// Direction of values: some types accept less than they return.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

/// Form of results that an author asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Mode {
    /// A value with a schema, and its JSON as text; strings as text.
    #[default]
    Structured,
    /// Text only.
    Text,
    /// Bytes as an image of this media type.
    Image(String),
    /// Bytes as sound of this media type.
    Audio(String),
    /// Bytes as an embedded resource of this media type.
    Blob(String),
}

/// Form in which a result is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Empty.
    Nothing,
    /// Text, without a schema.
    Text,
    /// The object that the shape itself is.
    Object(Shape),
    /// An object with the value under `result`, so that one schema serves every revision of MCP.
    Wrapped(Shape),
    /// Like `Wrapped`, without the text: only the host itself reads it.
    ForHost(Shape),
    /// Bytes of the mode's media type.
    Media(Mode),
    /// The blocks of an `answer`.
    Content,
}

/// An author's descriptions of a function's parts, by path: the parameter's name or `return`, then names of fields,
/// cases and flags, `ok`, `err`, and tuple indices. Options and lists add no step; a final `[]` is each element of a
/// list itself.
pub type FunctionDocs = BTreeMap<String, String>;

/// Position of a schema in a function.
pub(super) struct At<'a> {
    docs: &'a FunctionDocs,
    pub(super) way: Way,
    path: String,
    /// List levels between the path and the schema: each is one `[]`.
    lists: usize,
}

/// Schema of a function's arguments: one closed object.
pub fn input(function: &Function, docs: &FunctionDocs) -> Map<String, Value> {
    input_by(function, docs, named)
}

/// [`input`], with schemas that `named` makes.
pub(super) fn input_by(
    function: &Function,
    docs: &FunctionDocs,
    named: impl Fn(&Shape, &At<'_>) -> Value,
) -> Map<String, Value> {
    closed(&function.params, &At::new(docs, Way::In, ""), named)
}

/// Schema of a call's result; `None` for text, media, content or nothing.
pub fn output(reply: &Reply, docs: &FunctionDocs) -> Option<Map<String, Value>> {
    output_by(reply, docs, named)
}

/// [`output`], with schemas that `named` makes.
pub(super) fn output_by(
    reply: &Reply,
    docs: &FunctionDocs,
    named: impl Fn(&Shape, &At<'_>) -> Value,
) -> Option<Map<String, Value>> {
    let at = At::new(docs, Way::Out, "return");
    match reply {
        Reply::Nothing | Reply::Text | Reply::Media(_) | Reply::Content => None,
        Reply::Object(Shape::Record(fields)) => Some(closed(fields, &at, named)),
        Reply::Object(shape) | Reply::Wrapped(shape) | Reply::ForHost(shape) => {
            let wrapped = json!({ "result": named(shape, &at) });
            Some(object(wrapped, vec![Value::from("result")]))
        }
    }
}

/// Form in which a function's result is sent. The `ok` side of a top-level result is the result itself.
///
/// # Errors
/// The mode is for bytes and the function does not return `list<u8>`.
pub fn reply(function: &Function, mode: &Mode) -> Result<Reply, &'static str> {
    match (function.ok_side(), mode) {
        (Some(Shape::Bytes), Mode::Image(_) | Mode::Audio(_) | Mode::Blob(_)) => {
            Ok(Reply::Media(mode.clone()))
        }
        (_, Mode::Image(_) | Mode::Audio(_) | Mode::Blob(_)) => {
            Err("its output is to be told as bytes of a media type, and it does not return list<u8>")
        }
        (Some(shape), _) if *shape == shape::answer() => Ok(Reply::Content),
        (None, _) => Ok(Reply::Nothing),
        (Some(Shape::String), _) | (Some(_), Mode::Text) => Ok(Reply::Text),
        (Some(shape @ Shape::Record(_)), Mode::Structured) => Ok(Reply::Object(shape.clone())),
        (Some(shape), Mode::Structured) => Ok(Reply::Wrapped(shape.clone())),
    }
}

/// Every path of a function that can have a description.
pub fn paths(function: &Function) -> BTreeSet<String> {
    fn below(shape: &Shape, path: &str, lists: usize, paths: &mut BTreeSet<String>) {
        paths.insert(element_path(path, lists));
        let under = |name: &str| format!("{path}/{name}");
        match shape {
            Shape::List(inner) => below(inner, path, lists + 1, paths),
            Shape::Option(inner) => below(inner, path, lists, paths),
            Shape::Tuple(shapes) => {
                let each = |(n, shape): (usize, &Shape)| below(shape, &under(&n.to_string()), 0, paths);
                shapes.iter().enumerate().for_each(each);
            }
            Shape::Record(fields) => {
                fields.iter().for_each(|field| below(&field.shape, &under(&field.name), 0, paths));
            }
            Shape::Variant(cases) => cases.iter().for_each(|case| match &case.payload {
                Some(shape) => below(shape, &under(&case.name), 0, paths),
                None => drop(paths.insert(under(&case.name))),
            }),
            Shape::Result(ok, err) => [("ok", ok), ("err", err)].into_iter().for_each(|(name, side)| {
                if let Some(shape) = side {
                    below(shape, &under(name), 0, paths);
                }
            }),
            Shape::Enum(names) | Shape::Flags(names) => paths.extend(names.iter().map(|name| under(name))),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    function.params.iter().for_each(|param| below(&param.shape, &param.name, 0, &mut found));
    if let Some(shape) = function.ok_side() {
        below(shape, "return", 0, &mut found);
    }
    found
}

/// Path of a list's elements, `lists` levels down.
fn element_path(path: &str, lists: usize) -> String {
    format!("{path}{}", "/[]".repeat(lists))
}

impl<'a> At<'a> {
    fn new(docs: &'a FunctionDocs, way: Way, path: &str) -> Self {
        Self { docs, way, path: path.to_owned(), lists: 0 }
    }

    pub(super) fn under(&self, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) };
        Self { docs: self.docs, way: self.way, path, lists: 0 }
    }

    fn elements(&self) -> Self {
        Self { docs: self.docs, way: self.way, path: self.path.clone(), lists: self.lists + 1 }
    }

    pub(super) fn doc(&self) -> Option<&String> {
        match self.lists {
            0 => self.docs.get(&self.path),
            lists => self.docs.get(&element_path(&self.path, lists)),
        }
    }

    /// Adds the description of this position.
    fn described(&self, schema: Value) -> Value {
        match self.doc() {
            Some(doc) => described(schema, doc),
            None => schema,
        }
    }

    /// Names of an enum or of flags, with their descriptions.
    fn names(&self, names: &[String]) -> Value {
        let schema = json!({ "type": "string", "enum": names });
        with_lines(schema, names.iter().map(|name| (name.clone(), self.under(name))))
    }

    /// A tuple. If all elements have one type, `items` is their schema. If not, `items` is a rough schema of all, for
    /// readers that ignore `prefixItems` or refuse an array without `items`; others see no element left for it.
    fn tuple(&self, shapes: &[Shape]) -> Value {
        let (count, places) = (shapes.len(), shapes.iter().enumerate());
        let place = |n: usize| self.under(&n.to_string());
        match shapes {
            [first, rest @ ..] if rest.iter().all(|shape| shape == first) => {
                let items = of(first, &place(0));
                let schema = json!({ "type": "array", "items": items, "minItems": count, "maxItems": count });
                with_lines(schema, places.map(|(n, _)| (n.to_string(), place(n))))
            }
            _ => json!({
                "type": "array",
                "prefixItems": places.map(|(n, shape)| named(shape, &place(n))).collect::<Vec<_>>(),
                "items": rough::any(shapes, self.way == Way::Out),
                "minItems": count,
                "maxItems": count,
            }),
        }
    }
}

/// Puts a text before a schema's description. For `anyOf` it goes into the first choice: some clients refuse other
/// keywords beside `anyOf`.
fn described(mut schema: Value, text: &str) -> Value {
    if let Some(first) = schema.get_mut("anyOf").and_then(|choices| choices.get_mut(0)) {
        *first = described(first.take(), text);
    } else if let Some(members) = schema.as_object_mut() {
        let text = match members.get("description").and_then(Value::as_str) {
            Some(own) => format!("{text}\n\n{own}"),
            None => text.to_owned(),
        };
        members.insert("description".to_owned(), Value::from(text));
    }
    schema
}

/// Adds the descriptions of parts that have no schema of their own, one per line.
fn with_lines<'a>(schema: Value, parts: impl Iterator<Item = (String, At<'a>)>) -> Value {
    let line = |(name, at): (String, At<'_>)| Some(format!("`{name}`: {}", at.doc()?));
    let lines: Vec<String> = parts.filter_map(line).collect();
    if lines.is_empty() { schema } else { described(schema, &lines.join("\n")) }
}

/// Schema of a shape, without the description of the shape itself, which its position adds. Each schema has one `type`
/// or is an `anyOf` of such and nothing else: the form that most clients accept (docs/clients.md).
fn of(shape: &Shape, at: &At<'_>) -> Value {
    match shape {
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer(integer) => integer_schema(*integer),
        Shape::F32 | Shape::F64 => match at.way {
            Way::In => json!({ "type": "number" }),
            Way::Out => any_of(vec![
                json!({ "type": "number" }),
                json!({ "type": "string", "enum": ["NaN", "Infinity", "-Infinity"] }),
            ]),
        },
        Shape::Char => json!({ "type": "string", "pattern": r"^[\s\S]$" }),
        Shape::String => json!({ "type": "string" }),
        // Some model APIs refuse `contentEncoding` in arguments; results are read by programs.
        Shape::Bytes => match at.way {
            Way::In => json!({ "type": "string", "description": "Base64." }),
            Way::Out => json!({ "type": "string", "contentEncoding": "base64" }),
        },
        Shape::List(element) => json!({ "type": "array", "items": named(element, &at.elements()) }),
        Shape::Tuple(shapes) => at.tuple(shapes),
        Shape::Record(fields) => Value::Object(closed(fields, at, named)),
        Shape::Option(inner) => {
            let mut some = of(inner, at);
            if inner.is_nullable() {
                some = Value::Object(object(json!({ "some": some }), vec![Value::from("some")]));
            }
            any_of(vec![some, json!({ "type": "null" })])
        }
        Shape::Result(ok, err) => {
            let side = |name: &str, shape: &Option<Box<Shape>>| {
                let none = || json!({ "type": "null" });
                let value = shape.as_ref().map_or_else(none, |shape| named(shape, &at.under(name)));
                Value::Object(object(json!({ name: value }), vec![Value::from(name)]))
            };
            any_of(vec![side("ok", ok), side("err", err)])
        }
        Shape::Variant(cases) => any_of(cases.iter().map(|case| case_schema(case, at)).collect()),
        Shape::Enum(names) => at.names(names),
        // A duplicate flag is harmless and accepted, and clients refuse `uniqueItems`.
        Shape::Flags(names) => json!({ "type": "array", "items": at.names(names) }),
    }
}

/// `anyOf` of these, with nested `anyOf`s flattened.
fn any_of(choices: Vec<Value>) -> Value {
    let mut all = Vec::new();
    for mut choice in choices {
        match choice.get_mut("anyOf").map(Value::take) {
            Some(Value::Array(inner)) => all.extend(inner),
            _ => all.push(choice),
        }
    }
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            all.extend(last);
            json!({ "anyOf": all })
        }
    }
}

/// Schema of a shape with the description of its position.
fn named(shape: &Shape, at: &At<'_>) -> Value {
    at.described(of(shape, at))
}

pub(super) fn integer_schema(integer: Integer) -> Value {
    let (low, high) = integer.range();
    if !integer.is_wide() {
        return json!({ "type": "integer", "minimum": narrow(low), "maximum": narrow(high) });
    }
    let low = low.max(-SAFE_INTEGER_MAX);
    let decimal = if low < 0 { "^(0|-?[1-9][0-9]{0,18})$" } else { "^(0|[1-9][0-9]{0,19})$" };
    any_of(vec![
        json!({ "type": "integer", "minimum": narrow(low), "maximum": narrow(SAFE_INTEGER_MAX) }),
        json!({ "type": "string", "pattern": decimal }),
    ])
}

/// Narrows a bound: all bounds of schemas are within ±(2^53 − 1).
fn narrow(bound: i128) -> i64 {
    i64::try_from(bound).unwrap_or_default()
}

fn case_schema(case: &Case, at: &At<'_>) -> Value {
    let at = at.under(&case.name);
    let tag = json!({ "type": "string", "enum": [case.name] });
    at.described(tagged(tag, case.payload.as_ref().map(|payload| of(payload, &at))))
}

/// Schema of a case, from those of its tag and its payload.
pub(super) fn tagged(tag: Value, payload: Option<Value>) -> Value {
    Value::Object(match payload {
        None => object(json!({ "tag": tag }), vec![Value::from("tag")]),
        Some(val) => object(json!({ "tag": tag, "val": val }), vec![Value::from("tag"), Value::from("val")]),
    })
}

/// A closed object with these fields, each with the schema that `named` makes. An option's field is not required, and
/// its schema is that of the inner type.
pub(super) fn closed(
    fields: &[Field],
    at: &At<'_>,
    named: impl Fn(&Shape, &At<'_>) -> Value,
) -> Map<String, Value> {
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

pub(super) fn object(properties: Value, required: Vec<Value>) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), Value::from("object"));
    schema.insert("properties".to_owned(), properties);
    if !required.is_empty() {
        schema.insert("required".to_owned(), Value::Array(required));
    }
    schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    schema
}
