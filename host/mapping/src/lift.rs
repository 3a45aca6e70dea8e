//! Results to JSON. A guest's result is bounded during conversion, and refused if it does not match its type.

use std::cell::Cell;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use toolgate_base::meter::account::MemoryAccount;
use toolgate_base::outcome::{Answer, Content, Fault, FaultKind, Media, Outcome, Piece, Verdict};
use toolgate_policy::Digest;
use toolgate_policy::limits::call::CallLimit;
use toolgate_policy::limits::lift::{ANSWER_BYTES, MEDIA_BYTES, RESOURCE_BYTES, TEXT_BYTES};
use wasmtime::component::Val;

use super::as_json::{AsJson, both};
use super::content;
use super::length::{Goes, Length, LiftCost, base64_len};
use super::lift_error::LiftError;
use super::scalar::bytes;
use super::schema::{Mode, Reply};
use super::shape::{Function, Shape, answer};

/// Converts a function's result into the outcome of a call. The answer's memory counts in `account` for as long as it exists.
pub fn lift_outcome(
    result: Option<&Val>,
    function: &Function,
    reply: &Reply,
    bytes_max: u64,
    account: &MemoryAccount,
) -> Outcome {
    let mut held = None;
    let mut hold = |bytes| {
        held = account.hold_beside(bytes).ok();
        held.is_some()
    };
    match lift_within(result, function, reply, bytes_max, &mut hold) {
        Ok(answer) => Outcome::Answer(Answer { held: held.map(Arc::new), ..answer }),
        Err(LiftError::Large(_)) => Outcome::Fault(Fault::limit(CallLimit::Output, bytes_max)),
        Err(LiftError::NoMemory) => Outcome::Fault(Fault::no_memory()),
        Err(error @ (LiftError::Mistyped | LiftError::Content(_))) => {
            Outcome::Fault(Fault::new(FaultKind::Lift, error.to_string()))
        }
    }
}

/// Converts a function's result into an answer that is sent as at most `bytes_max` bytes of JSON. First calls `hold`
/// with the bytes of memory needed; `false` refuses.
pub fn lift_within(
    result: Option<&Val>,
    function: &Function,
    reply: &Reply,
    bytes_max: u64,
    hold: &mut dyn FnMut(u64) -> bool,
) -> Result<Answer, LiftError> {
    let mut length = Length::within(bytes_max);
    length.spend(ANSWER_BYTES)?;
    let mut lifting = LiftCost { length, hold };
    let (verdict, content) = match (&function.result, result) {
        (None, None) => (Verdict::Ok, Content::Nothing),
        (Some(Shape::Result(ok, err)), Some(Val::Result(side))) => match side {
            Ok(val) => (Verdict::Ok, lifting.content(val.as_deref(), ok.as_deref(), reply)?),
            Err(val) => (Verdict::Err, lifting.error(val.as_deref(), err.as_deref())?),
        },
        (Some(shape), Some(val)) => (Verdict::Ok, lifting.content(Some(val), Some(shape), reply)?),
        (None, Some(_)) | (Some(_), None) => return Err(LiftError::Mistyped),
    };
    Ok(Answer::new(verdict, content))
}

/// Whether a result exceeds the limit in its shortest form. Builds no JSON.
pub fn is_too_long(result: &Val, function: &Function, bytes_max: u64) -> bool {
    let mut length = Length::within(bytes_max);
    let length = match (&function.result, result) {
        (Some(Shape::Result(ok, err)), Val::Result(side)) => {
            let (val, shape) = match side {
                Ok(val) => (val, ok),
                Err(val) => (val, err),
            };
            val.as_deref().zip(shape.as_deref()).map(|(val, shape)| least(&mut length, val, shape))
        }
        (Some(shape), val) => Some(least(&mut length, val, shape)),
        (None, _) => None,
    };
    matches!(length, Some(Err(LiftError::Large(_))))
}

/// Counts the bytes of a value in its shortest form.
fn least(length: &mut Length, val: &Val, shape: &Shape) -> Result<(), LiftError> {
    if *shape == answer() {
        return content::length(val, length);
    }
    match val {
        Val::String(text) => length.spend(text.len() as u64),
        val => length.value(val, shape, Goes::AsIs),
    }
}

impl LiftCost<'_> {
    fn content(
        &mut self,
        val: Option<&Val>,
        shape: Option<&Shape>,
        reply: &Reply,
    ) -> Result<Content, LiftError> {
        let Some((val, shape)) = both(val, shape)? else { return Ok(Content::Nothing) };
        match (reply, val) {
            (Reply::Text, val) => self.text(val, shape).map(Content::Text),
            (Reply::Media(mode), val) => {
                let len = match val {
                    Val::List(list) => base64_len(list.len() as u64),
                    Val::String(base64) => base64.len() as u64,
                    _ => return Err(LiftError::Mistyped),
                };
                self.length.spend(MEDIA_BYTES + RESOURCE_BYTES + len)?;
                self.length.hold(len.saturating_mul(2));
                self.hold()?;
                media(val, mode)
            }
            (Reply::Content, val) => self.answer(val),
            (Reply::ForHost(_), val) => {
                self.length.value(val, shape, Goes::AsIs)?;
                self.hold()?;
                let structured = one("result", value(val, shape)?);
                Ok(Content::Value { text: String::new(), structured })
            }
            _ => {
                let is_wrapped = !matches!(reply, Reply::Object(_));
                self.length.spend(TEXT_BYTES + if is_wrapped { WRAPPED_BYTES } else { 0 })?;
                self.length.value(val, shape, Goes::Twice)?;
                self.hold()?;
                let value = value(val, shape)?;
                let text = json(&value, self.length.json())?;
                let structured = if is_wrapped { one("result", value) } else { value };
                Ok(Content::Value { text, structured })
            }
        }
    }

    /// Strings unchanged, anything else as compact JSON.
    fn text(&mut self, val: &Val, shape: &Shape) -> Result<String, LiftError> {
        self.length.spend(TEXT_BYTES)?;
        if let (Val::String(text), Shape::String) = (val, shape) {
            self.length.text(text)?;
            self.hold()?;
            return Ok(text.clone());
        }
        self.length.value(val, shape, Goes::AsText)?;
        self.hold()?;
        json(&value(val, shape)?, self.length.json())
    }

    /// The `err` side of a top-level result, never structured.
    fn error(&mut self, val: Option<&Val>, shape: Option<&Shape>) -> Result<Content, LiftError> {
        match both(val, shape)? {
            None => Ok(Content::Text("the tool failed and gave no reason".to_owned())),
            Some((val, shape)) => self.text(val, shape).map(Content::Text),
        }
    }
}

/// Bytes added when a value is wrapped in an object.
const WRAPPED_BYTES: u64 = r#"{"result":}"#.len() as u64;

fn json(value: &Value, len: u64) -> Result<String, LiftError> {
    let mut json = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
    serde_json::to_writer(&mut json, value).map_err(|_| LiftError::Mistyped)?;
    String::from_utf8(json).map_err(|_| LiftError::Mistyped)
}

/// Converts a value to JSON. Its length has been counted before.
fn value(val: &Val, shape: &Shape) -> Result<Value, LiftError> {
    let json = AsJson { val, shape, tree: &Cell::default() };
    serde_json::to_value(json).map_err(|_| LiftError::Mistyped)
}

fn one(key: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value)]))
}

/// Bytes as the media type that the author declared. Those of a stream or a future are base64 already.
fn media(val: &Val, mode: &Mode) -> Result<Content, LiftError> {
    let base64 = match val {
        Val::List(list) => STANDARD.encode(bytes(list)?),
        Val::String(base64) => base64.clone(),
        _ => return Err(LiftError::Mistyped),
    };
    let piece = match mode {
        Mode::Image(mime) => Piece::Image(Media { mime: mime.clone(), base64 }),
        Mode::Audio(mime) => Piece::Audio(Media { mime: mime.clone(), base64 }),
        Mode::Blob(mime) => {
            let bytes = STANDARD.decode(&base64).map_err(|_| LiftError::Mistyped)?;
            Piece::BlobResource {
                uri: format!("urn:{}", Digest::of(&bytes)),
                mime: Some(mime.clone()),
                base64,
            }
        }
        Mode::Structured | Mode::Text => return Err(LiftError::Mistyped),
    };
    Ok(Content::Blocks { blocks: vec![piece.into()], structured: None })
}
