//! Numbers, characters and bytes.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use wasmtime::component::Val;

use super::Lowering;
use crate::json::Json;
use crate::mapping::SAFE_INTEGER_MAX;
use crate::mapping::problem::{expected, shown};
use crate::mapping::shape::{Integer, Shape};

impl Lowering<'_> {
    pub(super) fn integer(&mut self, json: &Json, integer: Integer) -> Option<Val> {
        let (low, high) = integer.range();
        let value = match json {
            // Exact as written; the schema asks for a text beyond 2^53 because many writers are not.
            Json::Integer(value) => Some(*value),
            // 5.0 and 5e0 are the integer 5 to JSON Schema.
            Json::Float(value) if value.fract() == 0.0 && value.abs() <= SAFE_INTEGER_MAX as f64 => {
                Some(*value as i128)
            }
            Json::String(text) if integer.is_wide() => decimal(text),
            _ => None,
        };
        match value.filter(|value| (low..=high).contains(value)) {
            Some(value) => integer_val(integer, value),
            None => self.wrong(|| expected(&Shape::Integer(integer)), || shown(json)),
        }
    }

    pub(super) fn float(&mut self, json: &Json) -> Option<f64> {
        match json {
            Json::Integer(value) => Some(*value as f64),
            Json::Float(value) => Some(*value),
            _ => self.wrong(|| expected(&Shape::F64), || shown(json)),
        }
    }

    pub(super) fn narrow(&mut self, value: f64) -> Option<f32> {
        let narrow = value as f32;
        if narrow.is_finite() {
            Some(narrow)
        } else {
            self.wrong(|| "a number that 32 bits hold".to_owned(), || value.to_string())
        }
    }
}

fn integer_val(integer: Integer, value: i128) -> Option<Val> {
    match integer {
        Integer::U8 => value.try_into().ok().map(Val::U8),
        Integer::U16 => value.try_into().ok().map(Val::U16),
        Integer::U32 => value.try_into().ok().map(Val::U32),
        Integer::U64 => value.try_into().ok().map(Val::U64),
        Integer::S8 => value.try_into().ok().map(Val::S8),
        Integer::S16 => value.try_into().ok().map(Val::S16),
        Integer::S32 => value.try_into().ok().map(Val::S32),
        Integer::S64 => value.try_into().ok().map(Val::S64),
    }
}

/// A decimal integer in its one spelling: no sign but a minus, no leading zero, no `-0`.
fn decimal(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let spelled = (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let canonical = !digits.starts_with('0') || text == "0";
    if spelled && canonical { text.parse().ok() } else { None }
}

/// RFC 4648 §4 or §5, padded or not.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    GeneralPurpose::new(alphabet, LENIENT).decode(text).ok()
}

pub(super) fn only(mut chars: std::str::Chars<'_>) -> Option<char> {
    let c = chars.next()?;
    chars.next().is_none().then_some(c)
}
