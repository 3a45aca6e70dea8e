//! An independent second implementation of the mapping table: whether the schema accepts arguments, whether they lower,
//! their lowered form, and the permitted differences.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Map, Value};
use toolgate_tests::wit::{Int, Type};

use super::value::{SAFE, f32_json, f64_json, integer_json, one};

/// Permitted differences between schema and lowering. There are no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// The schema accepts any text for bytes; lowering requires base64.
    Base64,
    /// The schema accepts digits beyond 64 bits, since a pattern cannot compare.
    DecimalRange,
    /// The schema accepts numbers beyond the range of `f32`.
    F32Overflow,
    /// Lowering accepts null for an optional field.
    NullForAbsent,
    /// Lowering accepts the bare name of a case without payload.
    BareCase,
    /// Lowering accepts exact numbers beyond ±(2^53−1).
    WideNumber,
    /// Lowering accepts null as the payload of a case without payload.
    NullPayload,
    /// Lowering accepts numbers and booleans spelled as texts.
    Spelled,
}

/// Differences where only the schema accepts. `law.rs` covers one that is not about types: size.
pub(super) const ONLY_SCHEMA: [Gap; 3] = [Gap::Base64, Gap::DecimalRange, Gap::F32Overflow];

/// Differences where only lowering accepts.
pub(super) const ONLY_LOWERING: [Gap; 5] =
    [Gap::NullForAbsent, Gap::BareCase, Gap::WideNumber, Gap::NullPayload, Gap::Spelled];

/// A verdict about arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether the schema accepts them.
    pub schema: bool,
    /// Lowered value in canonical form, if they lower.
    pub lowered: Option<Value>,
    /// Differences that the arguments use.
    pub gaps: BTreeSet<Gap>,
}

/// Judges arguments for these parameters.
pub(super) fn judge(params: &[(String, Type)], arguments: &Value) -> Verdict {
    let mut judge = Judge { schema: true, lowers: true, gaps: BTreeSet::new() };
    let value = judge.fields(arguments, params);
    Verdict { schema: judge.schema, lowered: judge.lowers.then_some(value), gaps: judge.gaps }
}

struct Judge {
    schema: bool,
    lowers: bool,
    gaps: BTreeSet<Gap>,
}

impl Judge {
    fn refuse(&mut self) -> Value {
        self.schema = false;
        self.lowers = false;
        Value::Null
    }

    fn both(&mut self, accepted: bool, value: impl FnOnce() -> Value) -> Value {
        if accepted { value() } else { self.refuse() }
    }

    fn gap(&mut self, gap: Gap) {
        self.gaps.insert(gap);
        if ONLY_SCHEMA.contains(&gap) { self.lowers = false } else { self.schema = false }
    }

    fn value(&mut self, ty: &Type, json: &Value) -> Value {
        match (ty, json) {
            (Type::Bool, Value::Bool(_)) | (Type::String, Value::String(_)) => json.clone(),
            (Type::Bool, Value::String(text)) if text == "true" || text == "false" => {
                self.gap(Gap::Spelled);
                Value::Bool(text == "true")
            }
            (Type::Int(int), json) => self.integer(*int, json),
            (Type::F32 | Type::F64, Value::String(text)) if spelled(text).is_some() => {
                self.gap(Gap::Spelled);
                self.value(ty, &spelled(text).unwrap())
            }
            (Type::F32, Value::Number(number)) => {
                let narrow = number.as_f64().unwrap() as f32;
                if !narrow.is_finite() {
                    self.gap(Gap::F32Overflow);
                }
                f32_json(narrow)
            }
            (Type::F64, Value::Number(number)) => f64_json(number.as_f64().unwrap()),
            (Type::Char, Value::String(text)) => self.both(text.chars().count() == 1, || json.clone()),
            (Type::List(_), Value::String(text)) if ty.is_bytes() => match bytes(text) {
                Some(bytes) => Value::from(STANDARD.encode(bytes)),
                None => {
                    self.gap(Gap::Base64);
                    Value::Null
                }
            },
            (Type::List(element), Value::Array(list)) if !ty.is_bytes() => {
                list.iter().map(|json| self.value(element, json)).collect()
            }
            (Type::Tuple(types), Value::Array(list)) if types.len() == list.len() => {
                types.iter().zip(list).map(|(ty, json)| self.value(ty, json)).collect()
            }
            (Type::Record(fields), json) => self.fields(json, fields),
            (Type::Option(_), Value::Null) => Value::Null,
            (Type::Option(inner), json) if matches!(**inner, Type::Option(_)) => {
                match members(json, &["some"]).as_deref() {
                    Some([Some(json)]) => one("some", self.value(inner, json)),
                    _ => self.refuse(),
                }
            }
            (Type::Option(inner), json) => self.value(inner, json),
            (Type::Result(ok, err), json) => match members(json, &["ok", "err"]).as_deref() {
                Some([Some(json), None]) => one("ok", self.side(ok.as_deref(), json)),
                Some([None, Some(json)]) => one("err", self.side(err.as_deref(), json)),
                _ => self.refuse(),
            },
            (Type::Variant(cases), json) => self.variant(cases, json),
            (Type::Enum(names), Value::String(name)) => self.both(names.contains(name), || json.clone()),
            (Type::Flags(names), Value::Array(list)) => self.flags(names, list),
            _ => self.refuse(),
        }
    }

    fn integer(&mut self, int: Int, json: &Value) -> Value {
        let (low, high) = int.range();
        let wide = int.bits == 64;
        let safe = |value: i128| value.abs() <= SAFE;
        let value = match json {
            Value::Number(number) if !number.is_f64() => {
                let exact = number.as_i128().unwrap();
                if wide && !safe(exact) && (low..=high).contains(&exact) {
                    self.gap(Gap::WideNumber);
                }
                Some(exact)
            }
            Value::Number(number) => {
                let float = number.as_f64().unwrap();
                (float.fract() == 0.0 && float.abs() <= SAFE as f64).then_some(float as i128)
            }
            Value::String(text) if wide && is_decimal(text, int.signed) => {
                let value = text.parse::<i128>().unwrap();
                if !(low..=high).contains(&value) {
                    self.gap(Gap::DecimalRange);
                    return Value::Null;
                }
                Some(value)
            }
            Value::String(text) => match spelled(text) {
                Some(number) => {
                    let value = self.integer(int, &number);
                    self.gap(Gap::Spelled);
                    return value;
                }
                None => None,
            },
            _ => None,
        };
        match value.filter(|value| (low..=high).contains(value)) {
            Some(value) => integer_json(int, value),
            None => self.refuse(),
        }
    }

    fn fields(&mut self, json: &Value, fields: &[(String, Type)]) -> Value {
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        let Some(given) = members(json, &names) else { return self.refuse() };
        let mut map = Map::new();
        for ((name, ty), json) in fields.iter().zip(given) {
            match (ty, json) {
                (Type::Option(_), None) => {}
                (Type::Option(inner), Some(Value::Null)) => {
                    if !matches!(**inner, Type::Option(_)) {
                        self.gap(Gap::NullForAbsent);
                    }
                }
                (ty, Some(json)) => drop(map.insert(name.clone(), self.value(ty, json))),
                (_, None) => drop(self.refuse()),
            }
        }
        Value::Object(map)
    }

    fn side(&mut self, ty: Option<&Type>, json: &Value) -> Value {
        match ty {
            None => self.both(json.is_null(), || Value::Null),
            Some(ty) => self.value(ty, json),
        }
    }

    fn variant(&mut self, cases: &[(String, Option<Type>)], json: &Value) -> Value {
        let find = |tag: &str| cases.iter().find(|(name, _)| name == tag);
        if let Value::String(tag) = json {
            return match find(tag) {
                Some((_, None)) => {
                    self.gap(Gap::BareCase);
                    one("tag", json.clone())
                }
                _ => self.refuse(),
            };
        }
        let Some(given) = members(json, &["tag", "val"]) else { return self.refuse() };
        let case = given[0].and_then(Value::as_str).and_then(find);
        match (case, given[1]) {
            (Some((tag, None)), val @ (None | Some(Value::Null))) => {
                if val.is_some() {
                    self.gap(Gap::NullPayload);
                }
                one("tag", Value::from(tag.as_str()))
            }
            (Some((tag, Some(payload))), Some(json)) => {
                let mut object = one("tag", Value::from(tag.as_str()));
                object["val"] = self.value(payload, json);
                object
            }
            _ => self.refuse(),
        }
    }

    fn flags(&mut self, names: &[String], list: &[Value]) -> Value {
        let known = list.iter().all(|json| names.iter().any(|name| json == name));
        let set = || names.iter().map(|name| Value::from(name.as_str())).filter(|name| list.contains(name));
        self.both(known, || set().collect())
    }
}

/// Members with these names, if the value is an object without others.
fn members<'a>(json: &'a Value, names: &[&str]) -> Option<Vec<Option<&'a Value>>> {
    let object = json.as_object()?;
    let known = object.keys().all(|key| names.contains(&key.as_str()));
    known.then(|| names.iter().map(|name| object.get(*name)).collect())
}

/// Whether the schema's pattern accepts a text: a canonical integer of at most 19 digits, or 20 if unsigned.
fn is_decimal(text: &str, signed: bool) -> bool {
    let digits = match text.strip_prefix('-') {
        Some(digits) if signed && digits != "0" => digits,
        Some(_) => return false,
        None => text,
    };
    let most = if signed { 19 } else { 20 };
    let spelled = (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    spelled && (digits == "0" || !digits.starts_with('0'))
}

/// The number that a text spells in JSON, without white space around it.
fn spelled(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    (value.is_number() && text.trim() == text).then_some(value)
}

/// Decodes RFC 4648 base64 in one of the two alphabets; padding is optional, and line breaks are allowed.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let text: String = text.chars().filter(|c| !" \t\r\n".contains(*c)).collect();
    if text.contains(['+', '/']) && text.contains(['-', '_']) {
        return None;
    }
    let bare = text.trim_end_matches('=');
    let padding = text.len() - bare.len();
    if padding > (4 - bare.len() % 4) % 4 {
        return None;
    }
    STANDARD_NO_PAD.decode(bare.replace('-', "+").replace('_', "/")).ok()
}
