//! JSON Schema (2020-12) for a function's arguments and result, with what its author says of each part. Deterministic: the
//! same shape and the same words give the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::SAFE_INTEGER_MAX;
use super::rough;
use super::shape::{self, Case, Field, Function, Integer, Shape};

/// Which way values go: some types accept less than they give.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// How an author wants a result to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Mode {
    /// As a value with a schema, and its JSON as text; text as it is.
    #[default]
    Structured,
    /// As text only.
    Text,
    /// Bytes as an image of this media type.
    Image(String),
    /// Bytes as sound of this media type.
    Audio(String),
    /// Bytes as an embedded resource of this media type.
    Blob(String),
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
    /// The same for the host itself, which sends it to nobody: once, and without a text of it.
    ForHost(Shape),
    /// Bytes, as what the mode says.
    Media(Mode),
    /// The pieces that the answer is made of.
    Content,
}

/// What an author says of the parts of a function: texts by path. A path is the parameter's name, or `return`, then names of
/// fields, cases and flags, `ok`, `err`, and the places of tuples. Options add nothing to it, and lists add nothing to what is
/// below them; `[]` at the end is each element of a list itself.
pub type FunctionDocs = BTreeMap<String, String>;

/// Where in a function a schema stands.
struct At<'a> {
    docs: &'a FunctionDocs,
    way: Way,
    path: String,
    /// How many lists up the list is that the path names: the schema is of an element of an element … of it.
    lists: usize,
}

/// The schema of a function's arguments: one closed object.
pub fn input(function: &Function, docs: &FunctionDocs) -> Map<String, Value> {
    closed(&function.params, &At { docs, way: Way::In, path: String::new(), lists: 0 })
}

/// The schema of what a call answers; none where it answers text or nothing.
pub fn output(reply: &Reply, docs: &FunctionDocs) -> Option<Map<String, Value>> {
    let at = At { docs, way: Way::Out, path: "return".to_owned(), lists: 0 };
    match reply {
        Reply::Nothing | Reply::Text | Reply::Media(_) | Reply::Content => None,
        Reply::Object(Shape::Record(fields)) => Some(closed(fields, &at)),
        Reply::Object(shape) | Reply::Wrapped(shape) | Reply::ForHost(shape) => {
            let wrapped = json!({ "result": at.described(of(shape, &at)) });
            Some(object(wrapped, vec![Value::from("result")]))
        }
    }
}

/// How the result of a function is told. The `ok` side of a result at the top is the result itself.
///
/// # Errors
/// When the mode is for bytes and the function returns none.
pub fn reply(function: &Function, mode: &Mode) -> Result<Reply, &'static str> {
    match (ok_side(function), mode) {
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

fn ok_side(function: &Function) -> Option<&Shape> {
    match &function.result {
        Some(Shape::Result(ok, _)) => ok.as_deref(),
        other => other.as_ref(),
    }
}

/// Every path of a function that something can be said of.
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
    if let Some(shape) = ok_side(function) {
        below(shape, "return", 0, &mut found);
    }
    found
}

/// The path of a list's elements, of the elements of those, and so on.
fn element_path(path: &str, lists: usize) -> String {
    format!("{path}{}", "/[]".repeat(lists))
}

impl At<'_> {
    /// One name further down.
    fn under(&self, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) };
        Self { docs: self.docs, way: self.way, path, lists: 0 }
    }

    /// The elements of the list that is here.
    fn elements(&self) -> Self {
        Self { docs: self.docs, way: self.way, path: self.path.clone(), lists: self.lists + 1 }
    }

    fn doc(&self) -> Option<&String> {
        match self.lists {
            0 => self.docs.get(&self.path),
            lists => self.docs.get(&element_path(&self.path, lists)),
        }
    }

    /// The schema with what is said of it.
    fn described(&self, schema: Value) -> Value {
        match self.doc() {
            Some(doc) => described(schema, doc),
            None => schema,
        }
    }

    /// The names of an enum or of flags: with what is said of each, where something is.
    fn names(&self, names: &[String]) -> Value {
        let schema = json!({ "type": "string", "enum": names });
        with_lines(schema, names.iter().map(|name| (name.clone(), self.under(name))))
    }

    /// A tuple. One schema for all places where they are of one type; where not, `items` is there for readers that do not know
    /// `prefixItems`, or refuse an array without it, and says roughly what all of them are. To others it says nothing, since there are no more items.
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

/// Says something of a schema, before what it says already. Where it is a choice the first choice says it: some clients refuse
/// whatever stands beside `anyOf`.
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

/// A schema that says what is said of parts without a schema of their own, a line each.
fn with_lines<'a>(schema: Value, parts: impl Iterator<Item = (String, At<'a>)>) -> Value {
    let line = |(name, at): (String, At<'_>)| Some(format!("`{name}`: {}", at.doc()?));
    let lines: Vec<String> = parts.filter_map(line).collect();
    if lines.is_empty() { schema } else { described(schema, &lines.join("\n")) }
}

/// The schema of a shape, without what is said of the shape itself: that stands with whatever has a name. Each schema has one
/// `type`, or is a choice between some that have and nothing else: the form that most clients take (docs/clients.md).
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
        // What arguments are made by refuses `contentEncoding`; answers are for programs.
        Shape::Bytes => match at.way {
            Way::In => json!({ "type": "string", "description": "Base64." }),
            Way::Out => json!({ "type": "string", "contentEncoding": "base64" }),
        },
        Shape::List(element) => json!({ "type": "array", "items": named(element, &at.elements()) }),
        Shape::Tuple(shapes) => at.tuple(shapes),
        Shape::Record(fields) => Value::Object(closed(fields, at)),
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
        // One that is there twice is there: that is no reason to refuse, and clients refuse `uniqueItems`.
        Shape::Flags(names) => json!({ "type": "array", "items": at.names(names) }),
    }
}

/// A choice. Choices among the choices are choices of it.
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

/// The schema of a shape with what is said of it.
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
    any_of(vec![
        json!({ "type": "integer", "minimum": narrow(low), "maximum": narrow(SAFE_INTEGER_MAX) }),
        json!({ "type": "string", "pattern": decimal }),
    ])
}

/// Bounds of schemas all lie within ±(2^53 − 1).
fn narrow(bound: i128) -> i64 {
    i64::try_from(bound).unwrap_or_default()
}

fn case_schema(case: &Case, at: &At<'_>) -> Value {
    let at = at.under(&case.name);
    let tag = json!({ "type": "string", "enum": [case.name] });
    let schema = match &case.payload {
        None => object(json!({ "tag": tag }), vec![Value::from("tag")]),
        Some(payload) => {
            let members = json!({ "tag": tag, "val": of(payload, &at) });
            object(members, vec![Value::from("tag"), Value::from("val")])
        }
    };
    at.described(Value::Object(schema))
}

/// A closed object with these fields. A field that is an option may be left out; its schema is that of what it holds.
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
