//! Answers made of pieces: the type `answer` of `toolgate:plugin/content`, known by its shape, and its values.

use serde_json::Value;
use toolgate_policy::redact::is_plain;
use wasmtime::component::Val;

use super::lift::{Lifting, NotAnAnswer};
use super::shape::{Case, Field, Integer, Shape};
use crate::json::{Bounds, Json};
use crate::outcome::{Annotations, Block, Content, Link, Media, Piece};

/// The shape of `answer`.
pub(crate) fn answer() -> Shape {
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

fn record(fields: &[(&str, Shape)]) -> Shape {
    let field = |(name, shape): &(&str, Shape)| Field { name: (*name).to_owned(), shape: shape.clone() };
    Shape::Record(fields.iter().map(field).collect())
}

fn variant(cases: Vec<(&str, Option<Shape>)>) -> Shape {
    Shape::Variant(cases.into_iter().map(|(name, payload)| Case { name: name.to_owned(), payload }).collect())
}

fn optional(shape: Shape) -> Shape {
    Shape::Option(Box::new(shape))
}

impl Lifting {
    /// The content of an `answer`.
    pub(super) fn answer(&mut self, val: &Val) -> Result<Content, NotAnAnswer> {
        let fields = Fields::of(val)?;
        let Val::List(blocks) = fields.get("content")? else { return Err(NotAnAnswer::Mistyped) };
        let blocks = blocks.iter().map(|block| self.block(block)).collect::<Result<_, _>>()?;
        let structured = match self.optional_text(&fields, "structured")? {
            None => None,
            Some(text) => Some(structured(&text)?),
        };
        Ok(Content::Blocks { blocks, structured })
    }

    fn block(&mut self, val: &Val) -> Result<Block, NotAnAnswer> {
        let Val::Variant(case, Some(payload)) = val else { return Err(NotAnAnswer::Mistyped) };
        let fields = Fields::of(payload)?;
        let piece = match case.as_str() {
            "text" => Piece::Text(self.string(&fields, "text")?),
            "image" => Piece::Image(self.some_media(&fields)?),
            "audio" => Piece::Audio(self.some_media(&fields)?),
            "link" => Piece::Link(Link {
                uri: self.uri(&fields)?,
                name: self.string(&fields, "name")?,
                title: self.optional_text(&fields, "title")?,
                description: self.optional_text(&fields, "description")?,
                mime: self.optional_text(&fields, "mime-type")?,
                size: match fields.optional("size")? {
                    Some(Val::U64(size)) => Some(*size),
                    _ => None,
                },
            }),
            "embedded" => self.embedded(&fields)?,
            _ => return Err(NotAnAnswer::Mistyped),
        };
        Ok(Block { piece, annotations: self.annotations(&fields)? })
    }

    fn embedded(&mut self, fields: &Fields<'_>) -> Result<Piece, NotAnAnswer> {
        let (uri, mime) = (self.uri(fields)?, self.optional_text(fields, "mime-type")?);
        match fields.get("body")? {
            Val::Variant(_, Some(body)) => match body.as_ref() {
                Val::String(text) => {
                    self.spend(text.len())?;
                    Ok(Piece::TextResource { uri, mime, text: text.clone() })
                }
                Val::List(bytes) => {
                    Ok(Piece::BlobResource { uri, mime, base64: super::lift::encode(&self.bytes(bytes)?) })
                }
                _ => Err(NotAnAnswer::Mistyped),
            },
            _ => Err(NotAnAnswer::Mistyped),
        }
    }

    fn some_media(&mut self, fields: &Fields<'_>) -> Result<Media, NotAnAnswer> {
        let mime = self.string(fields, "mime-type")?;
        if !mime.contains('/') || !mime.chars().all(is_plain) {
            return Err(NotAnAnswer::Content("with a media type that is none"));
        }
        let Val::List(bytes) = fields.get("data")? else { return Err(NotAnAnswer::Mistyped) };
        Ok(Media { mime, base64: super::lift::encode(&self.bytes(bytes)?) })
    }

    fn annotations(&mut self, fields: &Fields<'_>) -> Result<Option<Annotations>, NotAnAnswer> {
        let Some(val) = fields.optional("annotations")? else { return Ok(None) };
        let fields = Fields::of(val)?;
        let Val::List(audience) = fields.get("audience")? else { return Err(NotAnAnswer::Mistyped) };
        let is_for = |name: &str| audience.iter().any(|role| matches!(role, Val::Enum(role) if role == name));
        let priority = match fields.optional("priority")? {
            Some(Val::Float32(priority)) if (0.0..=1.0).contains(priority) => Some(*priority),
            Some(_) => return Err(NotAnAnswer::Content("with a priority that is not from 0 to 1")),
            None => None,
        };
        Ok(Some(Annotations {
            for_user: is_for("user"),
            for_assistant: is_for("assistant"),
            priority,
            last_modified: self.optional_text(&fields, "last-modified")?,
        }))
    }

    fn uri(&mut self, fields: &Fields<'_>) -> Result<String, NotAnAnswer> {
        let uri = self.string(fields, "uri")?;
        let scheme = uri.split(':').next().unwrap_or_default();
        // RFC 3986 §3.1; what follows the scheme is its own business, as long as it can be seen.
        let is_scheme = scheme.len() < uri.len()
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if is_scheme && uri.chars().all(|c| is_plain(c) && c != ' ') {
            Ok(uri)
        } else {
            Err(NotAnAnswer::Content("with an address that is no URI"))
        }
    }

    fn string(&mut self, fields: &Fields<'_>, name: &str) -> Result<String, NotAnAnswer> {
        let Val::String(text) = fields.get(name)? else { return Err(NotAnAnswer::Mistyped) };
        self.spend(text.len())?;
        Ok(text.clone())
    }

    fn optional_text(&mut self, fields: &Fields<'_>, name: &str) -> Result<Option<String>, NotAnAnswer> {
        match fields.optional(name)? {
            None => Ok(None),
            Some(Val::String(text)) => {
                self.spend(text.len())?;
                Ok(Some(text.clone()))
            }
            Some(_) => Err(NotAnAnswer::Mistyped),
        }
    }
}

/// An object, read as strictly as one that a caller sends.
fn structured(text: &str) -> Result<Value, NotAnAnswer> {
    let bounds = Bounds { bytes_max: text.len(), depth_max: 64, nodes_max: 1 << 20 };
    match Json::parse(text.as_bytes(), bounds) {
        Ok(json @ Json::Object(_)) => Ok(json.value()),
        Ok(_) | Err(_) => Err(NotAnAnswer::Content("whose `structured` is no JSON object")),
    }
}

/// The fields of a record value.
struct Fields<'v>(&'v [(String, Val)]);

impl<'v> Fields<'v> {
    fn of(val: &'v Val) -> Result<Self, NotAnAnswer> {
        match val {
            Val::Record(fields) => Ok(Self(fields)),
            _ => Err(NotAnAnswer::Mistyped),
        }
    }

    fn get(&self, name: &str) -> Result<&'v Val, NotAnAnswer> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, val)| val).ok_or(NotAnAnswer::Mistyped)
    }

    fn optional(&self, name: &str) -> Result<Option<&'v Val>, NotAnAnswer> {
        match self.get(name)? {
            Val::Option(val) => Ok(val.as_deref()),
            _ => Err(NotAnAnswer::Mistyped),
        }
    }
}
