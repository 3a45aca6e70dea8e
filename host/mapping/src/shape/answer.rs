//! The shape of `answer`, with which a function returns content blocks of its choice.

use super::{Case, Field, Integer, Shape};

/// Shape of `answer`.
pub fn answer() -> Shape {
    record(&[("content", Shape::List(Box::new(block()))), ("structured", optional(Shape::String))])
}

fn block() -> Shape {
    let annotations = record(&[
        ("audience", Shape::List(Box::new(Shape::Enum(vec!["user".to_owned(), "assistant".to_owned()])))),
        ("priority", optional(Shape::F32)),
        ("last-modified", optional(Shape::String)),
    ]);
    let annotated = |fields: &[(&str, Shape)]| {
        let mut fields = fields.to_vec();
        fields.push(("annotations", optional(annotations.clone())));
        Some(record(&fields))
    };
    let media = annotated(&[("mime-type", Shape::String), ("data", Shape::Bytes)]);
    let link = annotated(&[
        ("uri", Shape::String),
        ("name", Shape::String),
        ("title", optional(Shape::String)),
        ("description", optional(Shape::String)),
        ("mime-type", optional(Shape::String)),
        ("size", optional(Shape::Integer(Integer::U64))),
    ]);
    let body = variant(vec![("text", Some(Shape::String)), ("blob", Some(Shape::Bytes))]);
    variant(vec![
        ("text", annotated(&[("text", Shape::String)])),
        ("image", media.clone()),
        ("audio", media),
        ("link", link),
        (
            "embedded",
            annotated(&[("uri", Shape::String), ("mime-type", optional(Shape::String)), ("body", body)]),
        ),
    ])
}

/// A record with these fields.
pub fn record(fields: &[(&str, Shape)]) -> Shape {
    let field = |(name, shape): &(&str, Shape)| Field { name: (*name).to_owned(), shape: shape.clone() };
    Shape::Record(fields.iter().map(field).collect())
}

fn variant(cases: Vec<(&str, Option<Shape>)>) -> Shape {
    Shape::Variant(cases.into_iter().map(|(name, payload)| Case { name: name.to_owned(), payload }).collect())
}

/// An option of this type.
pub fn optional(shape: Shape) -> Shape {
    Shape::Option(Box::new(shape))
}
