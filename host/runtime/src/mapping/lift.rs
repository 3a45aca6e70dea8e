//! Results to JSON. What a guest gives back is bounded while it is turned, and named when it is not what its own type says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use toolgate_policy::Digest;
use wasmtime::component::Val;

use super::SAFE_INTEGER_MAX;
use super::schema::{Mode, Reply, is_nullable};
use super::shape::{Case, Field, Function, Shape};
use crate::outcome::{Answer, Content, Media, Piece, Verdict};

/// Why a result is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAnswer {
    /// Larger than allowed.
    #[error("the answer has more than {0} bytes")]
    Large(u64),
    /// Not what the function's type says.
    #[error("the function gave back a value that is not of its type")]
    Mistyped,
    /// Of its type, and not what content is made of.
    #[error("the function gave back content {0}")]
    Content(&'static str),
}

/// Turns what a function gave back into an answer of at most `bytes_max` bytes of JSON.
///
/// # Errors
/// [`NotAnAnswer`].
pub fn lift(
    result: Option<&Val>,
    function: &Function,
    reply: &Reply,
    bytes_max: u64,
) -> Result<Answer, NotAnAnswer> {
    let mut lifting = Lifting { left: bytes_max, bytes_max };
    match (&function.result, result) {
        (None, None) => Ok(Answer { verdict: Verdict::Ok, content: Content::Nothing }),
        (Some(Shape::Result(ok, err)), Some(Val::Result(side))) => match side {
            Ok(val) => Ok(Answer {
                verdict: Verdict::Ok,
                content: lifting.content(val.as_deref(), ok.as_deref(), reply)?,
            }),
            Err(val) => {
                Ok(Answer { verdict: Verdict::Err, content: lifting.error(val.as_deref(), err.as_deref())? })
            }
        },
        (Some(shape), Some(val)) => {
            Ok(Answer { verdict: Verdict::Ok, content: lifting.content(Some(val), Some(shape), reply)? })
        }
        (None, Some(_)) | (Some(_), None) => Err(NotAnAnswer::Mistyped),
    }
}

pub(super) struct Lifting {
    left: u64,
    bytes_max: u64,
}

impl Lifting {
    fn content(
        &mut self,
        val: Option<&Val>,
        shape: Option<&Shape>,
        reply: &Reply,
    ) -> Result<Content, NotAnAnswer> {
        let (val, shape) = match (val, shape) {
            (None, None) => return Ok(Content::Nothing),
            (Some(val), Some(shape)) => (val, shape),
            (None, Some(_)) | (Some(_), None) => return Err(NotAnAnswer::Mistyped),
        };
        match (reply, val) {
            (Reply::Text, Val::String(text)) => {
                self.spend(text.len())?;
                Ok(Content::Text(text.clone()))
            }
            (Reply::Text, _) => {
                let value = self.value(val, shape)?;
                self.text(&value).map(Content::Text)
            }
            (Reply::Media(mode), Val::List(list)) => {
                let bytes = self.bytes(list)?;
                media(&bytes, mode)
            }
            // A stream of bytes, encoded as it came.
            (Reply::Media(mode), Val::String(base64)) => {
                self.spend(base64.len())?;
                media(&STANDARD.decode(base64).map_err(|_| NotAnAnswer::Mistyped)?, mode)
            }
            (Reply::Content, val) => self.answer(val),
            _ => {
                let value = self.value(val, shape)?;
                let text = self.text(&value)?;
                let structured = match reply {
                    Reply::Object(_) => value,
                    _ => one("result", value),
                };
                Ok(Content::Value { text, structured })
            }
        }
    }

    pub(super) fn bytes(&mut self, list: &[Val]) -> Result<Vec<u8>, NotAnAnswer> {
        // As base64 they take a third more.
        self.spend(list.len().saturating_add(list.len() / 3))?;
        list.iter()
            .map(|val| if let Val::U8(byte) = val { Ok(*byte) } else { Err(NotAnAnswer::Mistyped) })
            .collect()
    }

    /// The `err` side of a result at the top: text as it is, anything else as compact JSON, never structured.
    fn error(&mut self, val: Option<&Val>, shape: Option<&Shape>) -> Result<Content, NotAnAnswer> {
        match (val, shape) {
            (None, None) => Ok(Content::Text("the tool failed and gave no reason".to_owned())),
            (Some(Val::String(text)), Some(Shape::String)) => {
                self.spend(text.len())?;
                Ok(Content::Text(text.clone()))
            }
            (Some(val), Some(shape)) => {
                let value = self.value(val, shape)?;
                self.text(&value).map(Content::Text)
            }
            (None, Some(_)) | (Some(_), None) => Err(NotAnAnswer::Mistyped),
        }
    }

    fn text(&self, value: &Value) -> Result<String, NotAnAnswer> {
        let text = value.to_string();
        if text.len() as u64 > self.bytes_max { Err(NotAnAnswer::Large(self.bytes_max)) } else { Ok(text) }
    }

    /// Counts what a value will at least take as JSON, so that a huge one is not built before it is refused.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), NotAnAnswer> {
        self.left = self.left.checked_sub(bytes as u64).ok_or(NotAnAnswer::Large(self.bytes_max))?;
        Ok(())
    }

    fn value(&mut self, val: &Val, shape: &Shape) -> Result<Value, NotAnAnswer> {
        self.spend(1)?;
        Ok(match (shape, val) {
            (Shape::Bool, Val::Bool(value)) => Value::Bool(*value),
            (Shape::Integer(_), val) => integer(val).ok_or(NotAnAnswer::Mistyped)?,
            (Shape::F32, Val::Float32(value)) => float(f64::from(*value), || value.to_string()),
            (Shape::F64, Val::Float64(value)) => float(*value, || value.to_string()),
            (Shape::Char, Val::Char(c)) => Value::from(c.to_string()),
            (Shape::String, Val::String(text)) => {
                self.spend(text.len())?;
                Value::from(text.as_str())
            }
            (Shape::Bytes, Val::List(list)) => Value::from(STANDARD.encode(self.bytes(list)?)),
            (Shape::Bytes, Val::String(base64)) => {
                self.spend(base64.len())?;
                Value::from(base64.as_str())
            }
            (Shape::List(element), Val::List(list)) => {
                list.iter().map(|val| self.value(val, element)).collect::<Result<_, _>>()?
            }
            (Shape::Tuple(shapes), Val::Tuple(vals)) if shapes.len() == vals.len() => vals
                .iter()
                .zip(shapes)
                .map(|(val, shape)| self.value(val, shape))
                .collect::<Result<_, _>>()?,
            (Shape::Record(fields), Val::Record(vals)) if fields.len() == vals.len() => {
                self.record(fields, vals)?
            }
            (Shape::Option(_), Val::Option(None)) => Value::Null,
            (Shape::Option(inner), Val::Option(Some(val))) => {
                let value = self.value(val, inner)?;
                if is_nullable(inner) { one("some", value) } else { value }
            }
            (Shape::Result(ok, err), Val::Result(side)) => match side {
                Ok(val) => one("ok", self.payload(val.as_deref(), ok.as_deref())?),
                Err(val) => one("err", self.payload(val.as_deref(), err.as_deref())?),
            },
            (Shape::Variant(cases), Val::Variant(name, payload)) => {
                self.variant(cases, name, payload.as_deref())?
            }
            (Shape::Enum(_), Val::Enum(name)) => {
                self.spend(name.len())?;
                Value::from(name.as_str())
            }
            (Shape::Flags(names), Val::Flags(set)) => {
                // In the order of the declaration, whatever order they came in.
                names
                    .iter()
                    .filter(|name| set.contains(name))
                    .map(|name| Value::from(name.as_str()))
                    .collect()
            }
            _ => return Err(NotAnAnswer::Mistyped),
        })
    }

    /// Fields in WIT order; an option that is none is left out.
    fn record(&mut self, fields: &[Field], vals: &[(String, Val)]) -> Result<Value, NotAnAnswer> {
        let mut map = Map::new();
        for (field, (name, val)) in fields.iter().zip(vals) {
            if *name != field.name {
                return Err(NotAnAnswer::Mistyped);
            }
            if matches!((&field.shape, val), (Shape::Option(_), Val::Option(None))) {
                continue;
            }
            self.spend(name.len())?;
            map.insert(name.clone(), self.value(val, &field.shape)?);
        }
        Ok(Value::Object(map))
    }

    fn variant(&mut self, cases: &[Case], name: &str, payload: Option<&Val>) -> Result<Value, NotAnAnswer> {
        self.spend(name.len())?;
        let case = cases.iter().find(|case| case.name == name).ok_or(NotAnAnswer::Mistyped)?;
        let mut map = Map::from_iter([("tag".to_owned(), Value::from(name))]);
        match (&case.payload, payload) {
            (None, None) => {}
            (Some(shape), Some(val)) => drop(map.insert("val".to_owned(), self.value(val, shape)?)),
            (None, Some(_)) | (Some(_), None) => return Err(NotAnAnswer::Mistyped),
        }
        Ok(Value::Object(map))
    }

    fn payload(&mut self, val: Option<&Val>, shape: Option<&Shape>) -> Result<Value, NotAnAnswer> {
        match (val, shape) {
            (None, None) => Ok(Value::Null),
            (Some(val), Some(shape)) => self.value(val, shape),
            (None, Some(_)) | (Some(_), None) => Err(NotAnAnswer::Mistyped),
        }
    }
}

fn one(key: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value)]))
}

/// A number where every reader keeps it exactly, else its decimal digits.
fn integer(val: &Val) -> Option<Value> {
    let wide = match val {
        Val::U8(value) => return Some(Value::from(*value)),
        Val::U16(value) => return Some(Value::from(*value)),
        Val::U32(value) => return Some(Value::from(*value)),
        Val::S8(value) => return Some(Value::from(*value)),
        Val::S16(value) => return Some(Value::from(*value)),
        Val::S32(value) => return Some(Value::from(*value)),
        Val::U64(value) => i128::from(*value),
        Val::S64(value) => i128::from(*value),
        _ => return None,
    };
    Some(match i64::try_from(wide) {
        Ok(value) if wide.abs() <= SAFE_INTEGER_MAX => Value::from(value),
        _ => Value::from(wide.to_string()),
    })
}

/// `shortest` gives the fewest digits that mean this value in its own width; they are what is written.
fn float(value: f64, shortest: impl Fn() -> String) -> Value {
    if value.is_nan() {
        return Value::from("NaN");
    }
    if value.is_infinite() {
        return Value::from(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let exact = shortest().parse().ok().and_then(Number::from_f64);
    exact.map_or(Value::Null, Value::Number)
}

/// Bytes as what their author says they are.
fn media(bytes: &[u8], mode: &Mode) -> Result<Content, NotAnAnswer> {
    let media = |mime: &str| Media { mime: mime.to_owned(), base64: STANDARD.encode(bytes) };
    let piece = match mode {
        Mode::Image(mime) => Piece::Image(media(mime)),
        Mode::Audio(mime) => Piece::Audio(media(mime)),
        Mode::Blob(mime) => {
            let Media { mime, base64 } = media(mime);
            Piece::BlobResource { uri: format!("urn:{}", Digest::of(bytes)), mime: Some(mime), base64 }
        }
        Mode::Structured | Mode::Text => return Err(NotAnAnswer::Mistyped),
    };
    Ok(Content::Blocks { blocks: vec![piece.into()], structured: None })
}

/// RFC 4648 §4.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
