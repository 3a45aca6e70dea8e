//! Numbers, booleans, characters and bytes. Numbers and booleans are also accepted as strings in their JSON spelling:
//! models write them so, and it is unambiguous, since no type takes both.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use toolgate_base::json::{Json, JsonLimits};
use wasmtime::component::Val;

use super::Lowering;
use crate::SAFE_INTEGER_MAX;
use crate::problem::{expected, shown};
use crate::shape::{Integer, Shape};

/// Bound on a number spelled in a string: the longest double has some 770 digits, but writers use at most 25.
const SPELLED: JsonLimits = JsonLimits { bytes_max: 64, depth_max: 1, nodes_max: 1 };

impl Lowering<'_> {
    pub(super) fn bool(&mut self, json: &Json) -> Option<bool> {
        match scalar(json).as_ref() {
            Json::Bool(value) => Some(*value),
            _ => self.wrong(|| expected(&Shape::Bool), || shown(json)),
        }
    }

    pub(super) fn integer(&mut self, json: &Json, integer: Integer) -> Option<Val> {
        let (low, high) = integer.range();
        let value = match scalar(json).as_ref() {
            // Parsed exactly. The schema asks for a string beyond 2^53 only because many writers lose precision.
            Json::Integer(value) => Some(*value),
            // 5.0 and 5e0 are the integer 5 to JSON Schema.
            Json::Float(value) if value.fract() == 0.0 && value.abs() <= SAFE_INTEGER_MAX as f64 =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "it is a whole number, and small enough")]
                Some(*value as i128)
            }
            _ => None,
        };
        match value.filter(|value| (low..=high).contains(value)) {
            Some(value) => integer_val(integer, value),
            None => self.wrong(|| expected(&Shape::Integer(integer)), || shown(json)),
        }
    }

    pub(super) fn float(&mut self, json: &Json) -> Option<f64> {
        match scalar(json).as_ref() {
            Json::Integer(value) => Some(*value as f64),
            Json::Float(value) => Some(*value),
            _ => self.wrong(|| expected(&Shape::F64), || shown(json)),
        }
    }

    pub(super) fn narrow(&mut self, value: f64) -> Option<f32> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the nearest that 32 bits hold is what is wanted"
        )]
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

/// The value itself, or what a string spells if that is a number, `true` or `false` without anything around it.
fn scalar(json: &Json) -> Cow<'_, Json> {
    let Json::String(text) = json else { return Cow::Borrowed(json) };
    let is_whole = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-')
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let spelled = if is_whole(text) { Json::parse(text.as_bytes(), SPELLED).ok() } else { None };
    match spelled {
        Some(spelled @ (Json::Bool(_) | Json::Integer(_) | Json::Float(_))) => Cow::Owned(spelled),
        _ => Cow::Borrowed(json),
    }
}

/// Decodes base64 (RFC 4648 §4 or §5), with or without padding, in one line or several.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];
    let text = match text.contains(BLANK) {
        true => Cow::Owned(text.replace(BLANK, "")),
        false => Cow::Borrowed(text),
    };
    let alphabet = if text.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    GeneralPurpose::new(alphabet, LENIENT).decode(text.as_bytes()).ok()
}

pub(super) fn only(mut chars: std::str::Chars<'_>) -> Option<char> {
    let c = chars.next()?;
    chars.next().is_none().then_some(c)
}
