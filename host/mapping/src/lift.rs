//! Results to JSON. A guest's result is bounded during conversion, and refused if it does not match its type.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use toolgate_base::meter::account::MemoryAccount;
use toolgate_base::outcome::{Answer, Content, Fault, FaultKind, Media, Outcome, Piece, Verdict};
use toolgate_policy::Digest;
use toolgate_policy::limits::call::CallLimit;
use toolgate_policy::limits::lift::{ANSWER_BYTES, MEDIA_BYTES, RESOURCE_BYTES, TEXT_BYTES};
use wasmtime::component::Val;

use super::content;
use super::length::{Goes, Length, LiftCost, base64_len};
use super::lift_error::LiftError;
use super::scalar::{bytes, float, integer};
use super::schema::{Mode, Reply};
use super::shape::{Case, Field, Function, Shape, answer};

/// Converts a function's result into an answer that is sent as at most `bytes_max` bytes of JSON.
///
/// # Errors
/// [`LiftError`].
pub fn lift(
    result: Option<&Val>,
    function: &Function,
    reply: &Reply,
    bytes_max: u64,
) -> Result<Answer, LiftError> {
    lift_within(result, function, reply, bytes_max, &mut |_| true)
}

/// [`lift`] into the outcome of a call. The answer's memory counts in `account` for as long as it exists.
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
        Ok(answer) => Outcome::Answer(answer.holding(held)),
        Err(LiftError::Large(_)) => Outcome::Fault(Fault::limit(CallLimit::Output, bytes_max)),
        Err(LiftError::NoMemory) => Outcome::Fault(Fault::no_memory()),
        Err(error @ (LiftError::Mistyped | LiftError::Content(_))) => {
            Outcome::Fault(Fault::new(FaultKind::Lift, error.to_string()))
        }
    }
}

/// [`lift`] that first calls `hold` with the bytes of memory needed; `false` refuses.
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

/// Whether a result exceeds the limit in its shortest form. Allocates nothing.
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
        let (val, shape) = match (val, shape) {
            (None, None) => return Ok(Content::Nothing),
            (Some(val), Some(shape)) => (val, shape),
            (None, Some(_)) | (Some(_), None) => return Err(LiftError::Mistyped),
        };
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
        match (val, shape) {
            (None, None) => Ok(Content::Text("the tool failed and gave no reason".to_owned())),
            (Some(val), Some(shape)) => self.text(val, shape).map(Content::Text),
            (None, Some(_)) | (Some(_), None) => Err(LiftError::Mistyped),
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
    Ok(match (shape, val) {
        (Shape::Bool, Val::Bool(value)) => Value::Bool(*value),
        (Shape::Integer(_), val) => integer(val).ok_or(LiftError::Mistyped)?,
        (Shape::F32, Val::Float32(value)) => float(f64::from(*value), || value.to_string()),
        (Shape::F64, Val::Float64(value)) => float(*value, || value.to_string()),
        (Shape::Char, Val::Char(c)) => Value::from(c.to_string()),
        (Shape::Bytes, Val::List(list)) => Value::from(STANDARD.encode(bytes(list)?)),
        // Bytes from a stream or a future are base64 already.
        (Shape::String | Shape::Bytes, Val::String(text)) => Value::from(text.as_str()),
        (Shape::List(element), Val::List(list)) => all(list.iter().map(|val| value(val, element)))?,
        (Shape::Tuple(shapes), Val::Tuple(vals)) if shapes.len() == vals.len() => {
            all(vals.iter().zip(shapes).map(|(val, shape)| value(val, shape)))?
        }
        (Shape::Record(fields), Val::Record(vals)) if fields.len() == vals.len() => record(fields, vals)?,
        (Shape::Option(_), Val::Option(None)) => Value::Null,
        (Shape::Option(inner), Val::Option(Some(val))) => {
            let value = value(val, inner)?;
            if inner.is_nullable() { one("some", value) } else { value }
        }
        (Shape::Result(ok, err), Val::Result(side)) => match side {
            Ok(val) => one("ok", payload(val.as_deref(), ok.as_deref())?),
            Err(val) => one("err", payload(val.as_deref(), err.as_deref())?),
        },
        (Shape::Variant(cases), Val::Variant(name, payload)) => variant(cases, name, payload.as_deref())?,
        (Shape::Enum(_), Val::Enum(name)) => Value::from(name.as_str()),
        (Shape::Flags(names), Val::Flags(set)) => {
            // In the order of the declaration, whatever the guest's order.
            names.iter().filter(|name| set.contains(name)).map(|name| Value::from(name.as_str())).collect()
        }
        _ => return Err(LiftError::Mistyped),
    })
}

/// Collects a list into an allocation of exactly its length.
fn all(values: impl ExactSizeIterator<Item = Result<Value, LiftError>>) -> Result<Value, LiftError> {
    let mut list = Vec::with_capacity(values.len());
    for value in values {
        list.push(value?);
    }
    Ok(Value::Array(list))
}

/// Fields in WIT order; options that are `none` are left out.
fn record(fields: &[Field], vals: &[(String, Val)]) -> Result<Value, LiftError> {
    let is_there = |(field, (_, val)): &(&Field, &(String, Val))| {
        !matches!((&field.shape, val), (Shape::Option(_), Val::Option(None)))
    };
    let there = || fields.iter().zip(vals).filter(is_there);
    let mut map = Map::with_capacity(there().count());
    for (field, (name, val)) in there() {
        if *name != field.name {
            return Err(LiftError::Mistyped);
        }
        map.insert(name.clone(), value(val, &field.shape)?);
    }
    Ok(Value::Object(map))
}

fn variant(cases: &[Case], name: &str, payload: Option<&Val>) -> Result<Value, LiftError> {
    let case = cases.iter().find(|case| case.name == name).ok_or(LiftError::Mistyped)?;
    let mut map = Map::with_capacity(2);
    map.insert("tag".to_owned(), Value::from(name));
    match (&case.payload, payload) {
        (None, None) => {}
        (Some(shape), Some(val)) => drop(map.insert("val".to_owned(), value(val, shape)?)),
        (None, Some(_)) | (Some(_), None) => return Err(LiftError::Mistyped),
    }
    Ok(Value::Object(map))
}

fn payload(val: Option<&Val>, shape: Option<&Shape>) -> Result<Value, LiftError> {
    match (val, shape) {
        (None, None) => Ok(Value::Null),
        (Some(val), Some(shape)) => value(val, shape),
        (None, Some(_)) | (Some(_), None) => Err(LiftError::Mistyped),
    }
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
