//! Structured content: the type `answer` of `toolgate:plugin/content`, recognised by its shape, and its values.

use serde_json::Value;
use toolgate_base::json::{Json, JsonLimits};
use toolgate_base::outcome::{Annotations, Block, Content, Link, Media, Piece};
use toolgate_policy::active::{self, Refusal};
use toolgate_policy::limits::lift::{ANNOTATIONS_BYTES, LINK_BYTES, MEDIA_BYTES, RESOURCE_BYTES, TEXT_BYTES};
use toolgate_policy::redact::is_plain;
use wasmtime::component::Val;

use super::cost::chunk;
use super::length::{Goes, Length, LiftCost, base64_len};
use super::lift_error::LiftError;
use super::scalar::{bytes, encode};

impl LiftCost<'_> {
    /// Content of an `answer` value.
    pub(super) fn answer(&mut self, val: &Val) -> Result<Content, LiftError> {
        length(val, &mut self.length)?;
        let fields = Fields::of(val)?;
        let text = match fields.optional("structured")? {
            None => None,
            Some(Val::String(text)) => Some(text),
            Some(_) => return Err(LiftError::Mistyped),
        };
        self.length.hold(text.map_or(0, |text| parsed_bytes(text)));
        self.hold()?;
        let Val::List(vals) = fields.get("content")? else { return Err(LiftError::Mistyped) };
        let mut blocks = Vec::with_capacity(vals.len());
        for val in vals {
            blocks.push(block_of(val)?);
        }
        let structured = match text {
            None => None,
            Some(text) => Some(self.structured(text)?),
        };
        Ok(Content::Blocks { blocks, structured })
    }

    /// Parses an object as strictly as callers' JSON. Its serialised form may be longer than the text it was read from.
    fn structured(&mut self, text: &str) -> Result<Value, LiftError> {
        let bounds = JsonLimits { bytes_max: text.len(), depth_max: 64, nodes_max: 1 << 20 };
        match Json::parse(text.as_bytes(), bounds) {
            Ok(json @ Json::Object(_)) => {
                let value = json.value();
                self.length.count(&value, Goes::AsIs)?;
                Ok(value)
            }
            Ok(_) | Err(_) => Err(LiftError::Content("whose `structured` is not a JSON object")),
        }
    }
}

/// Upper bound in bytes on the memory of parsed JSON: a fixed amount per possible value, and its texts twice.
fn parsed_bytes(json: &str) -> u64 {
    const EACH: u64 = 320;
    let values = json.bytes().filter(|byte| b",:[{".contains(byte)).count() as u64 + 1;
    values.saturating_mul(EACH).saturating_add(2 * json.len() as u64)
}

/// Counts an `answer`'s blocks: bytes of output, and memory taken.
///
/// # Errors
/// [`LiftError::Large`], or [`LiftError::Mistyped`] if it is not an `answer`.
pub(super) fn length(answer: &Val, length: &mut Length) -> Result<(), LiftError> {
    let Val::List(blocks) = Fields::of(answer)?.get("content")? else { return Err(LiftError::Mistyped) };
    for block in blocks {
        let Val::Variant(case, Some(payload)) = block else { return Err(LiftError::Mistyped) };
        length.hold(size_of::<Block>() as u64);
        length.spend(match case.as_str() {
            "text" => TEXT_BYTES,
            "image" | "audio" => MEDIA_BYTES,
            "link" => LINK_BYTES,
            _ => RESOURCE_BYTES,
        })?;
        texts(payload, length)?;
    }
    Ok(())
}

/// Counts every text in a block.
fn texts(val: &Val, length: &mut Length) -> Result<(), LiftError> {
    match val {
        Val::String(text) => length.text(text),
        // The only other list in a block is the roles of annotations.
        Val::List(list) => {
            let len = base64_len(list.len() as u64);
            length.hold(chunk(len));
            length.spend(len)
        }
        Val::Record(fields) => fields.iter().try_for_each(|(name, val)| match (name.as_str(), val) {
            ("annotations", Val::Option(Some(val))) => {
                length.spend(ANNOTATIONS_BYTES)?;
                match Fields::of(val)?.optional("last-modified")? {
                    Some(text) => texts(text, length),
                    None => Ok(()),
                }
            }
            (_, val) => texts(val, length),
        }),
        Val::Option(Some(val)) | Val::Variant(_, Some(val)) => texts(val, length),
        _ => Ok(()),
    }
}

fn block_of(val: &Val) -> Result<Block, LiftError> {
    let Val::Variant(case, Some(payload)) = val else { return Err(LiftError::Mistyped) };
    let fields = Fields::of(payload)?;
    let piece = match case.as_str() {
        "text" => Piece::Text(fields.text("text")?),
        "image" => Piece::Image(some_media(&fields)?),
        "audio" => Piece::Audio(some_media(&fields)?),
        "link" => Piece::Link(Link {
            uri: uri(&fields)?,
            name: fields.text("name")?,
            title: fields.optional_text("title")?,
            description: fields.optional_text("description")?,
            mime: optional_media_type(&fields)?,
            size: match fields.optional("size")? {
                Some(Val::U64(size)) => Some(*size),
                _ => None,
            },
        }),
        "embedded" => embedded(&fields)?,
        _ => return Err(LiftError::Mistyped),
    };
    Ok(Block { piece, annotations: annotations(&fields)? })
}

fn embedded(fields: &Fields<'_>) -> Result<Piece, LiftError> {
    let (uri, mime) = (uri(fields)?, optional_media_type(fields)?);
    match fields.get("body")? {
        Val::Variant(_, Some(body)) => match body.as_ref() {
            Val::String(text) => Ok(Piece::TextResource { uri, mime, text: text.clone() }),
            Val::List(list) => Ok(Piece::BlobResource { uri, mime, base64: encode(&bytes(list)?) }),
            _ => Err(LiftError::Mistyped),
        },
        _ => Err(LiftError::Mistyped),
    }
}

fn some_media(fields: &Fields<'_>) -> Result<Media, LiftError> {
    let mime = media_type(fields.text("mime-type")?)?;
    let Val::List(data) = fields.get("data")? else { return Err(LiftError::Mistyped) };
    Ok(Media { mime, base64: encode(&bytes(data)?) })
}

fn optional_media_type(fields: &Fields<'_>) -> Result<Option<String>, LiftError> {
    fields.optional_text("mime-type")?.map(media_type).transpose()
}

fn media_type(text: String) -> Result<String, LiftError> {
    match active::media_type(&text) {
        Ok(()) => Ok(text),
        Err(Refusal::Malformed) => Err(LiftError::Content("with a media type that is none")),
        Err(Refusal::Active) => Err(LiftError::Content(
            "with an active media type, such as text/html or image/svg+xml, which a client might run; give text/plain or no type",
        )),
    }
}

fn annotations(fields: &Fields<'_>) -> Result<Option<Annotations>, LiftError> {
    let Some(val) = fields.optional("annotations")? else { return Ok(None) };
    let fields = Fields::of(val)?;
    let Val::List(audience) = fields.get("audience")? else { return Err(LiftError::Mistyped) };
    let is_for = |name: &str| audience.iter().any(|role| matches!(role, Val::Enum(role) if role == name));
    let priority = match fields.optional("priority")? {
        Some(Val::Float32(priority)) if (0.0..=1.0).contains(priority) => Some(*priority),
        Some(_) => return Err(LiftError::Content("with a priority that is not from 0 to 1")),
        None => None,
    };
    Ok(Some(Annotations {
        for_user: is_for("user"),
        for_assistant: is_for("assistant"),
        priority,
        last_modified: fields.optional_text("last-modified")?,
    }))
}

fn uri(fields: &Fields<'_>) -> Result<String, LiftError> {
    let uri = fields.text("uri")?;
    // The part after the scheme is not parsed, but has only visible characters.
    if !uri.chars().all(|c| is_plain(c) && c != ' ') {
        return Err(LiftError::Content("with an address that is not a URI"));
    }
    match active::address(&uri) {
        Ok(()) => Ok(uri),
        Err(Refusal::Malformed) => Err(LiftError::Content("with an address that is not a URI")),
        Err(Refusal::Active) => Err(LiftError::Content(
            "with an address such as javascript:, data: or file:, which runs or opens something where it is followed",
        )),
    }
}

struct Fields<'v>(&'v [(String, Val)]);

impl<'v> Fields<'v> {
    fn of(val: &'v Val) -> Result<Self, LiftError> {
        match val {
            Val::Record(fields) => Ok(Self(fields)),
            _ => Err(LiftError::Mistyped),
        }
    }

    fn get(&self, name: &str) -> Result<&'v Val, LiftError> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, val)| val).ok_or(LiftError::Mistyped)
    }

    fn optional(&self, name: &str) -> Result<Option<&'v Val>, LiftError> {
        match self.get(name)? {
            Val::Option(val) => Ok(val.as_deref()),
            _ => Err(LiftError::Mistyped),
        }
    }

    fn text(&self, name: &str) -> Result<String, LiftError> {
        let Val::String(text) = self.get(name)? else { return Err(LiftError::Mistyped) };
        Ok(text.clone())
    }

    fn optional_text(&self, name: &str) -> Result<Option<String>, LiftError> {
        match self.optional(name)? {
            None => Ok(None),
            Some(Val::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(LiftError::Mistyped),
        }
    }
}
