//! Scalars as JSON: numbers and bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};
use wasmtime::component::Val;

use super::SAFE_INTEGER_MAX;
use super::lift_error::LiftError;

/// A JSON number if every reader represents it exactly, else a string of its decimal digits.
pub(super) fn integer(val: &Val) -> Option<Value> {
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

/// A JSON number with the digits of `shortest`, which are the fewest that identify the value at its width.
pub(super) fn float(value: f64, shortest: impl Fn() -> String) -> Value {
    if value.is_nan() {
        return Value::from("NaN");
    }
    if value.is_infinite() {
        return Value::from(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let exact = shortest().parse().ok().and_then(Number::from_f64);
    exact.map_or(Value::Null, Value::Number)
}

pub(super) fn bytes(list: &[Val]) -> Result<Vec<u8>, LiftError> {
    let mut bytes = Vec::with_capacity(list.len());
    for val in list {
        let Val::U8(byte) = val else { return Err(LiftError::Mistyped) };
        bytes.push(*byte);
    }
    Ok(bytes)
}

/// Encodes base64 (RFC 4648 §4).
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
