//! Arguments from JSON, all of them checked before a guest is entered, every problem told in words from which a model can
//! mend its call.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use toolgate_policy::limits::wire::PROBLEMS_MAX;
use toolgate_policy::redact::printable;
use toolgate_policy::suggest::nearest;
use wasmtime::component::Val;

use super::SAFE_INTEGER_MAX;
use super::problem::{Problem, Problems, escaped, expected, one_of, quoted, shown};
use super::schema::is_nullable;
use super::shape::{Case, Field, Function, Integer, Shape};
use crate::json::Json;

/// Turns arguments into the values that the function takes, in its order.
///
/// # Errors
/// [`Problems`]; nothing is half done.
pub fn lower(arguments: &Json, function: &Function) -> Result<Vec<Val>, Problems> {
    let mut lowering = Lowering::default();
    let vals = lowering
        .fields(arguments, &function.params)
        .map(|fields| fields.into_iter().map(|(_, val)| val).collect());
    match vals {
        Some(vals) if lowering.problems.is_empty() => Ok(vals),
        _ => Err(Problems { list: lowering.problems, more: lowering.more }),
    }
}

#[derive(Default)]
struct Lowering<'j> {
    problems: Vec<Problem>,
    more: usize,
    /// Where the value that is looked at stands. Written out only when something is wrong with it.
    at: Vec<Step<'j>>,
}

/// One step of a JSON Pointer.
#[derive(Clone, Copy)]
enum Step<'j> {
    Key(&'j str),
    Index(usize),
}

impl<'j> Lowering<'j> {
    /// Notes a problem; what could not be made is nothing.
    fn wrong<T>(&mut self, expected: impl FnOnce() -> String, got: impl FnOnce() -> String) -> Option<T> {
        if self.problems.len() < PROBLEMS_MAX {
            let problem = Problem { at: self.pointer(), expected: expected(), got: got(), near: None };
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
        None
    }

    /// The same for a name that is none of those that there are: with the one that was probably meant.
    fn wrong_name<T>(
        &mut self,
        name: &str,
        known: &[&str],
        expected: impl FnOnce() -> String,
        got: impl FnOnce() -> String,
    ) -> Option<T> {
        let before = self.problems.len();
        self.wrong::<()>(expected, got);
        if let Some(problem) = self.problems.get_mut(before) {
            problem.near = nearest(name, known.iter().copied()).map(str::to_owned);
        }
        None
    }

    /// Where the value stands (RFC 6901 §3).
    fn pointer(&self) -> String {
        let step = |step: &Step<'_>| match step {
            Step::Key(key) => format!("/{}", escaped(&printable(key, 100))),
            Step::Index(index) => format!("/{index}"),
        };
        self.at.iter().map(step).collect()
    }

    fn under<T>(&mut self, step: Step<'j>, make: impl FnOnce(&mut Self) -> T) -> T {
        self.at.push(step);
        let made = make(self);
        self.at.pop();
        made
    }

    fn value(&mut self, json: &'j Json, shape: &'j Shape) -> Option<Val> {
        match (shape, json) {
            (Shape::Bool, Json::Bool(value)) => Some(Val::Bool(*value)),
            (Shape::Integer(integer), json) => self.integer(json, *integer),
            (Shape::F32, json) => self.float(json).and_then(|value| self.narrow(value)).map(Val::Float32),
            (Shape::F64, json) => self.float(json).map(Val::Float64),
            (Shape::Char, Json::String(text)) => match only(text.chars()) {
                Some(c) => Some(Val::Char(c)),
                None => self.wrong(|| expected(shape), || shown(json)),
            },
            (Shape::String, Json::String(text)) => Some(Val::String(text.clone())),
            (Shape::Bytes, Json::String(text)) => match decode(text) {
                Some(bytes) => Some(Val::List(bytes.into_iter().map(Val::U8).collect())),
                None => self.wrong(|| expected(shape), || shown(json)),
            },
            (Shape::List(element), Json::Array(list)) => {
                self.elements(list.iter().map(|json| (json, element.as_ref()))).map(Val::List)
            }
            (Shape::Tuple(shapes), Json::Array(list)) if list.len() == shapes.len() => {
                self.elements(list.iter().zip(shapes)).map(Val::Tuple)
            }
            (Shape::Record(fields), Json::Object(_)) => self.fields(json, fields).map(Val::Record),
            (Shape::Option(_), Json::Null) => Some(Val::Option(None)),
            (Shape::Option(inner), json) => self.some(json, inner),
            (Shape::Result(ok, err), Json::Object(members)) => self.result(members, ok, err),
            (Shape::Variant(cases), Json::Object(_) | Json::String(_)) => self.variant(json, cases),
            (Shape::Enum(names), Json::String(name)) => match names.contains(name) {
                true => Some(Val::Enum(name.clone())),
                false => self.wrong_name(name, &texts(names), || expected(shape), || shown(json)),
            },
            (Shape::Flags(names), Json::Array(list)) => self.flags(list, names),
            (shape, json) => self.wrong(|| expected(shape), || shown(json)),
        }
    }

    fn integer(&mut self, json: &Json, integer: Integer) -> Option<Val> {
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

    fn float(&mut self, json: &Json) -> Option<f64> {
        match json {
            Json::Integer(value) => Some(*value as f64),
            Json::Float(value) => Some(*value),
            _ => self.wrong(|| expected(&Shape::F64), || shown(json)),
        }
    }

    fn narrow(&mut self, value: f64) -> Option<f32> {
        let narrow = value as f32;
        if narrow.is_finite() {
            Some(narrow)
        } else {
            self.wrong(|| "a number that 32 bits hold".to_owned(), || value.to_string())
        }
    }

    fn elements(
        &mut self,
        elements: impl ExactSizeIterator<Item = (&'j Json, &'j Shape)>,
    ) -> Option<Vec<Val>> {
        let mut vals = Some(Vec::with_capacity(elements.len()));
        for (index, (json, shape)) in elements.enumerate() {
            match (self.under(Step::Index(index), |this| this.value(json, shape)), &mut vals) {
                (Some(val), Some(vals)) => vals.push(val),
                _ => vals = None,
            }
        }
        vals
    }

    /// The fields of a record, or a function's parameters.
    fn fields(&mut self, json: &'j Json, fields: &'j [Field]) -> Option<Vec<(String, Val)>> {
        let Json::Object(members) = json else {
            return self.wrong(|| "an object".to_owned(), || shown(json));
        };
        let mut vals = Some(Vec::with_capacity(fields.len()));
        for field in fields {
            let val =
                self.under(Step::Key(&field.name), |this| match (json.get(&field.name), &field.shape) {
                    (Some(json), shape) => this.value(json, shape),
                    (None, Shape::Option(_)) => Some(Val::Option(None)),
                    (None, shape) => this.wrong(|| expected(shape), || "nothing".to_owned()),
                });
            match (val, &mut vals) {
                (Some(val), Some(vals)) => vals.push((field.name.clone(), val)),
                _ => vals = None,
            }
        }
        let known: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        for (name, _) in members.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            let only = || match known.as_slice() {
                [] => "no key at all".to_owned(),
                known => format!("only the keys {}", quoted(known)),
            };
            vals = self.under(Step::Key(name), |this| this.wrong_name(name, &known, only, || key(name)));
        }
        vals
    }

    fn some(&mut self, json: &'j Json, inner: &'j Shape) -> Option<Val> {
        let wanted = || r#"{"some": …} or null"#.to_owned();
        let some = match (is_nullable(inner), json) {
            (false, json) => self.value(json, inner),
            (true, Json::Object(members)) => match members.as_slice() {
                [(some, json)] if some == "some" => {
                    self.under(Step::Key("some"), |this| this.value(json, inner))
                }
                [(other, _)] => self.wrong(wanted, || key(other)),
                members => self.wrong(wanted, || format!("{} keys", members.len())),
            },
            (true, json) => self.wrong(wanted, || shown(json)),
        };
        some.map(|val| Val::Option(Some(Box::new(val))))
    }

    fn result(
        &mut self,
        members: &'j [(String, Json)],
        ok: &'j Option<Box<Shape>>,
        err: &'j Option<Box<Shape>>,
    ) -> Option<Val> {
        let wanted = || r#"an object with either "ok" or "err""#.to_owned();
        let [(side, json)] = members else {
            return self.wrong(wanted, || format!("{} keys", members.len()));
        };
        let shape = match side.as_str() {
            "ok" => ok,
            "err" => err,
            other => return self.wrong(wanted, || key(other)),
        };
        let payload = self.under(Step::Key(side), |this| match (shape, json) {
            (None, Json::Null) => Some(None),
            (None, json) => this.wrong(|| "null".to_owned(), || shown(json)),
            (Some(shape), json) => this.value(json, shape).map(|val| Some(Box::new(val))),
        })?;
        Some(Val::Result(if side == "ok" { Ok(payload) } else { Err(payload) }))
    }

    fn variant(&mut self, json: &'j Json, cases: &'j [Case]) -> Option<Val> {
        let (tag, val) = match json {
            Json::String(tag) => (Some(tag.as_str()), None),
            Json::Object(members) => {
                if let Some((odd, _)) = members.iter().find(|(key, _)| key != "tag" && key != "val") {
                    let wanted = r#"an object with "tag" and, where the case has a payload, "val""#;
                    return self.wrong_name(odd, &["tag", "val"], || wanted.to_owned(), || key(odd));
                }
                (json.get("tag").and_then(Json::as_str), json.get("val"))
            }
            _ => (None, None),
        };
        let Some(case) = tag.and_then(|tag| cases.iter().find(|case| case.name == tag)) else {
            let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
            let wanted = || format!(r#"an object whose "tag" is {}"#, one_of(&names));
            let got = || tag.map_or_else(|| shown(json), |tag| format!("the tag `{}`", printable(tag, 100)));
            return self.wrong_name(tag.unwrap_or_default(), &names, wanted, got);
        };
        let payload = self.under(Step::Key("val"), |this| match (&case.payload, val) {
            (None, None) => Some(None),
            (None, Some(json)) => {
                this.wrong(|| format!("nothing: `{}` has no payload", case.name), || shown(json))
            }
            (Some(shape), None) => this.wrong(|| expected(shape), || "nothing".to_owned()),
            (Some(shape), Some(json)) => this.value(json, shape).map(|val| Some(Box::new(val))),
        })?;
        Some(Val::Variant(case.name.clone(), payload))
    }

    fn flags(&mut self, list: &'j [Json], names: &'j [String]) -> Option<Val> {
        let known = texts(names);
        let mut set: BTreeSet<&str> = BTreeSet::new();
        let mut fine = true;
        for (index, json) in list.iter().enumerate() {
            let one = self.under(Step::Index(index), |this| match json.as_str() {
                Some(name) if set.contains(name) => {
                    this.wrong::<()>(|| "each flag once".to_owned(), || shown(json))
                }
                Some(name) if known.contains(&name) => {
                    set.insert(name);
                    Some(())
                }
                name => this.wrong_name(name.unwrap_or_default(), &known, || one_of(&known), || shown(json)),
            });
            fine &= one.is_some();
        }
        fine.then(|| Val::Flags(set.into_iter().map(str::to_owned).collect()))
    }
}

fn key(name: &str) -> String {
    format!("the key `{}`", printable(name, 100))
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
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
