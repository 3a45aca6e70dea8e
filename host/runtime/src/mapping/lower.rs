//! Arguments from JSON, all of them checked before a guest is entered, every problem told in words from which a model can
//! mend its call.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use toolgate_policy::limits::wire::PROBLEMS_MAX;
use toolgate_policy::redact::printable;
use wasmtime::component::Val;

use super::SAFE_INTEGER_MAX;
use super::schema::is_nullable;
use super::shape::{Case, Field, Function, Integer, Shape};
use crate::json::Json;

/// One thing wrong with the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: a JSON Pointer (RFC 6901).
    pub at: String,
    /// What should stand there.
    pub expected: String,
    /// What stands there.
    pub got: String,
}

/// Everything wrong with the arguments; after [`PROBLEMS_MAX`] problems, that there are more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// In the order of the function's parameters.
    pub list: Vec<Problem>,
    /// Not listed.
    pub more: usize,
}

/// Turns arguments into the values that the function takes, in its order.
///
/// # Errors
/// [`Problems`]; nothing is half done.
pub fn lower(arguments: &Json, function: &Function) -> Result<Vec<Val>, Problems> {
    let mut lowering = Lowering::default();
    let vals = lowering
        .fields(arguments, &function.params, "")
        .map(|fields| fields.into_iter().map(|(_, val)| val).collect());
    match vals {
        Some(vals) if lowering.problems.is_empty() => Ok(vals),
        _ => Err(Problems { list: lowering.problems, more: lowering.more }),
    }
}

#[derive(Default)]
struct Lowering {
    problems: Vec<Problem>,
    more: usize,
}

impl Lowering {
    /// Notes a problem; what could not be made is nothing.
    fn wrong<T>(&mut self, at: &str, expected: impl Into<String>, got: impl Into<String>) -> Option<T> {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { at: at.to_owned(), expected: expected.into(), got: got.into() });
        } else {
            self.more += 1;
        }
        None
    }

    fn value(&mut self, json: &Json, shape: &Shape, at: &str) -> Option<Val> {
        match (shape, json) {
            (Shape::Bool, Json::Bool(value)) => Some(Val::Bool(*value)),
            (Shape::Integer(integer), json) => self.integer(json, *integer, at),
            (Shape::F32, json) => {
                self.float(json, at).and_then(|value| self.narrow(value, at)).map(Val::Float32)
            }
            (Shape::F64, json) => self.float(json, at).map(Val::Float64),
            (Shape::Char, Json::String(text)) => match only(text.chars()) {
                Some(c) => Some(Val::Char(c)),
                None => self.wrong(at, "a string of one character", shown(json)),
            },
            (Shape::String, Json::String(text)) => Some(Val::String(text.clone())),
            (Shape::Bytes, Json::String(text)) => match decode(text) {
                Some(bytes) => Some(Val::List(bytes.into_iter().map(Val::U8).collect())),
                None => self.wrong(at, "bytes as base64", shown(json)),
            },
            (Shape::List(element), Json::Array(list)) => self.list(list, element, at).map(Val::List),
            (Shape::Tuple(shapes), Json::Array(list)) => self.tuple(list, shapes, at),
            (Shape::Record(fields), Json::Object(_)) => self.fields(json, fields, at).map(Val::Record),
            (Shape::Option(_), Json::Null) => Some(Val::Option(None)),
            (Shape::Option(inner), json) => self.some(json, inner, at),
            (Shape::Result(ok, err), Json::Object(members)) => self.result(members, ok, err, at),
            (Shape::Variant(cases), Json::Object(_) | Json::String(_)) => self.variant(json, cases, at),
            (Shape::Enum(names), Json::String(name)) => match names.contains(name) {
                true => Some(Val::Enum(name.clone())),
                false => self.wrong(at, one_of(names), shown(json)),
            },
            (Shape::Flags(names), Json::Array(list)) => self.flags(list, names, at),
            (shape, json) => self.wrong(at, expected(shape), shown(json)),
        }
    }

    fn integer(&mut self, json: &Json, integer: Integer, at: &str) -> Option<Val> {
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
            None => self.wrong(at, expected(&Shape::Integer(integer)), shown(json)),
        }
    }

    fn float(&mut self, json: &Json, at: &str) -> Option<f64> {
        match json {
            Json::Integer(value) => Some(*value as f64),
            Json::Float(value) => Some(*value),
            _ => self.wrong(at, "a number", shown(json)),
        }
    }

    fn narrow(&mut self, value: f64, at: &str) -> Option<f32> {
        let narrow = value as f32;
        if narrow.is_finite() {
            Some(narrow)
        } else {
            self.wrong(at, "a number that 32 bits hold", value.to_string())
        }
    }

    fn list(&mut self, list: &[Json], element: &Shape, at: &str) -> Option<Vec<Val>> {
        let mut vals = Some(Vec::with_capacity(list.len()));
        for (index, json) in list.iter().enumerate() {
            match (self.value(json, element, &format!("{at}/{index}")), &mut vals) {
                (Some(val), Some(vals)) => vals.push(val),
                _ => vals = None,
            }
        }
        vals
    }

    fn tuple(&mut self, list: &[Json], shapes: &[Shape], at: &str) -> Option<Val> {
        if list.len() != shapes.len() {
            return self.wrong(
                at,
                format!("an array of {} values", shapes.len()),
                format!("an array of {}", list.len()),
            );
        }
        let mut vals = Some(Vec::with_capacity(list.len()));
        for (index, (json, shape)) in list.iter().zip(shapes).enumerate() {
            match (self.value(json, shape, &format!("{at}/{index}")), &mut vals) {
                (Some(val), Some(vals)) => vals.push(val),
                _ => vals = None,
            }
        }
        vals.map(Val::Tuple)
    }

    /// The fields of a record, or a function's parameters.
    fn fields(&mut self, json: &Json, fields: &[Field], at: &str) -> Option<Vec<(String, Val)>> {
        let Json::Object(members) = json else { return self.wrong(at, "an object", shown(json)) };
        let mut vals = Some(Vec::with_capacity(fields.len()));
        for field in fields {
            let at = format!("{at}/{}", escaped(&field.name));
            let val = match (json.get(&field.name), &field.shape) {
                (Some(json), shape) => self.value(json, shape, &at),
                (None, Shape::Option(_)) => Some(Val::Option(None)),
                (None, shape) => self.wrong(&at, expected(shape), "nothing"),
            };
            match (val, &mut vals) {
                (Some(val), Some(vals)) => vals.push((field.name.clone(), val)),
                _ => vals = None,
            }
        }
        for (name, _) in members.iter().filter(|(name, _)| !fields.iter().any(|field| field.name == *name)) {
            let known: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
            let expected = if known.is_empty() {
                "no key at all".to_owned()
            } else {
                format!("only the keys {}", quoted(&known))
            };
            let at = format!("{at}/{}", escaped(&printable(name, 100)));
            vals = self.wrong(&at, expected, format!("the key `{}`", printable(name, 100)));
        }
        vals
    }

    fn some(&mut self, json: &Json, inner: &Shape, at: &str) -> Option<Val> {
        let some = if is_nullable(inner) {
            let Json::Object(members) = json else {
                return self.wrong(at, r#"{"some": …} or null"#, shown(json));
            };
            let [(key, json)] = members.as_slice() else {
                return self.wrong(at, r#"{"some": …} or null"#, shown(json));
            };
            if key != "some" {
                return self.wrong(
                    at,
                    r#"{"some": …} or null"#,
                    format!("the key `{}`", printable(key, 100)),
                );
            }
            self.value(json, inner, &format!("{at}/some"))
        } else {
            self.value(json, inner, at)
        };
        some.map(|val| Val::Option(Some(Box::new(val))))
    }

    fn result(
        &mut self,
        members: &[(String, Json)],
        ok: &Option<Box<Shape>>,
        err: &Option<Box<Shape>>,
        at: &str,
    ) -> Option<Val> {
        let wanted = r#"an object with either "ok" or "err""#;
        let [(side, json)] = members else {
            return self.wrong(at, wanted, format!("{} keys", members.len()));
        };
        let shape = match side.as_str() {
            "ok" => ok,
            "err" => err,
            other => return self.wrong(at, wanted, format!("the key `{}`", printable(other, 100))),
        };
        let at = format!("{at}/{side}");
        let payload = match (shape, json) {
            (None, Json::Null) => None,
            (None, json) => return self.wrong(&at, "null", shown(json)),
            (Some(shape), json) => Some(Box::new(self.value(json, shape, &at)?)),
        };
        Some(Val::Result(if side == "ok" { Ok(payload) } else { Err(payload) }))
    }

    fn variant(&mut self, json: &Json, cases: &[Case], at: &str) -> Option<Val> {
        let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
        let (tag, val) = match json {
            Json::String(tag) => (Some(tag.as_str()), None),
            Json::Object(members) => {
                if let Some((odd, _)) = members.iter().find(|(key, _)| key != "tag" && key != "val") {
                    let odd = format!("the key `{}`", printable(odd, 100));
                    return self.wrong(
                        at,
                        r#"an object with "tag" and, where the case has a payload, "val""#,
                        odd,
                    );
                }
                (json.get("tag").and_then(Json::as_str), json.get("val"))
            }
            _ => (None, None),
        };
        let case = tag.and_then(|tag| cases.iter().find(|case| case.name == tag));
        let Some(case) = case else {
            let got = tag.map_or_else(|| shown(json), |tag| format!("the tag `{}`", printable(tag, 100)));
            return self.wrong(at, format!(r#"an object whose "tag" is {}"#, one_of(&names)), got);
        };
        let at = format!("{at}/val");
        let payload = match (&case.payload, val) {
            (None, None) => None,
            (None, Some(json)) => {
                return self.wrong(&at, format!("nothing: `{}` has no payload", case.name), shown(json));
            }
            (Some(shape), None) => return self.wrong(&at, expected(shape), "nothing"),
            (Some(shape), Some(json)) => Some(Box::new(self.value(json, shape, &at)?)),
        };
        Some(Val::Variant(case.name.clone(), payload))
    }

    fn flags(&mut self, list: &[Json], names: &[String], at: &str) -> Option<Val> {
        let mut set: Vec<String> = Vec::new();
        let mut fine = true;
        for (index, json) in list.iter().enumerate() {
            match json.as_str() {
                Some(name) if set.iter().any(|other| other == name) => {
                    fine =
                        self.wrong::<()>(&format!("{at}/{index}"), "each flag once", shown(json)).is_some();
                }
                Some(name) if names.iter().any(|known| known == name) => set.push(name.to_owned()),
                _ => fine = self.wrong::<()>(&format!("{at}/{index}"), one_of(names), shown(json)).is_some(),
            }
        }
        fine.then_some(Val::Flags(set))
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
fn decode(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    GeneralPurpose::new(alphabet, LENIENT).decode(text).ok()
}

fn only(mut chars: std::str::Chars<'_>) -> Option<char> {
    let c = chars.next()?;
    chars.next().is_none().then_some(c)
}

fn expected(shape: &Shape) -> String {
    match shape {
        Shape::Bool => "true or false".to_owned(),
        Shape::Integer(integer) => {
            let (low, high) = integer.range();
            let wide = " (as a decimal string beyond ±9007199254740991)";
            format!("an integer from {low} to {high}{}", if integer.is_wide() { wide } else { "" })
        }
        Shape::F32 | Shape::F64 => "a number".to_owned(),
        Shape::Char => "a string of one character".to_owned(),
        Shape::String => "a string".to_owned(),
        Shape::Bytes => "bytes as base64 in a string".to_owned(),
        Shape::List(_) => "an array".to_owned(),
        Shape::Tuple(shapes) => format!("an array of {} values", shapes.len()),
        Shape::Record(fields) => {
            let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
            format!("an object with {}", quoted(&names))
        }
        Shape::Option(inner) => format!("{}, or null", expected(inner)),
        Shape::Result(..) => r#"an object with either "ok" or "err""#.to_owned(),
        Shape::Variant(cases) => {
            let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
            format!(r#"an object whose "tag" is {}"#, one_of(&names))
        }
        Shape::Enum(names) => one_of(names),
        Shape::Flags(names) => format!("an array of {}", quoted(names)),
    }
}

fn one_of(names: &[String]) -> String {
    format!("one of {}", quoted(names))
}

fn quoted(names: &[String]) -> String {
    const NAMES_MAX: usize = 40;
    let mut told: Vec<String> = names.iter().take(NAMES_MAX).map(|name| format!("\"{name}\"")).collect();
    if names.len() > NAMES_MAX {
        told.push(format!("… ({} more)", names.len() - NAMES_MAX));
    }
    told.join(", ")
}

/// What came: small values as they are, large ones by their kind.
fn shown(json: &Json) -> String {
    match json {
        Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Float(_) => json.text(),
        Json::String(text) if text.chars().count() <= 60 => printable(&json.text(), 200),
        Json::String(text) => format!("a string of {} characters", text.chars().count()),
        Json::Array(list) => format!("an array of {}", list.len()),
        Json::Object(_) => "an object".to_owned(),
    }
}

/// RFC 6901 §3.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = if self.at.is_empty() { "the arguments" } else { &self.at };
        write!(f, "{at}: expected {}, got {}", self.expected, self.got)
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the arguments do not fit this tool's input schema:")?;
        for problem in &self.list {
            write!(f, "\n- {problem}")?;
        }
        if self.more > 0 { write!(f, "\n- and {} more", self.more) } else { Ok(()) }
    }
}
