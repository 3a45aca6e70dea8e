//! Arguments from JSON, all checked before a guest is entered. Problems tell a model how to correct its call.

mod names;
mod notes;
mod scalar;

use std::collections::{BTreeSet, HashMap, HashSet};

use toolgate_base::json::{Json, Members};
use toolgate_policy::redact::printable;
use wasmtime::component::Val;

use super::problem::{Problem, Problems, expected, one_of, quoted, shown};
use super::shape::{Case, Field, Function, Shape};
use notes::Step;
use scalar::{decode, only};

/// Arguments as values, and the bytes of memory that they take.
#[derive(Debug)]
pub struct Lowered {
    /// One value for each parameter.
    pub vals: Vec<Val>,
    /// Memory that the values take in the host, in bytes.
    pub bytes: u64,
}

/// Reason that arguments are refused.
#[derive(Debug, thiserror::Error)]
pub enum LowerError {
    /// They do not match the type.
    #[error("{0}")]
    Problems(Problems),
    /// They do not match the plugin's own schema: place and reason.
    #[error("the arguments do not fit this tool's input schema:\n- {0}")]
    Schema(String),
    /// They exceed the memory limit.
    #[error("{}", Problems::too_large())]
    Large,
}

/// Converts arguments into the values that the function takes, in its order, within `bytes_max` bytes of memory.
pub fn lower_within(arguments: &Json, function: &Function, bytes_max: u64) -> Result<Lowered, LowerError> {
    let mut lowering = Lowering {
        problems: Vec::new(),
        more: 0,
        at: Vec::new(),
        known: HashMap::new(),
        left: bytes_max,
        is_large: false,
    };
    let vals = lowering
        .fields(arguments, &function.params)
        .map(|fields| fields.into_iter().map(|(_, val)| val).collect());
    match vals {
        _ if lowering.is_large => Err(LowerError::Large),
        Some(vals) if lowering.problems.is_empty() => Ok(Lowered { vals, bytes: bytes_max - lowering.left }),
        _ => Err(LowerError::Problems(Problems { list: lowering.problems, more: lowering.more })),
    }
}

struct Lowering<'j> {
    problems: Vec<Problem>,
    more: usize,
    /// Path of the current value. Rendered only when there is a problem.
    at: Vec<Step<'j>>,
    /// Index by name of each long list of names met so far, keyed by the list's address.
    known: HashMap<*const String, HashMap<&'j str, usize>>,
    /// Bytes of memory left.
    left: u64,
    is_large: bool,
}

impl<'j> Lowering<'j> {
    fn value(&mut self, json: &'j Json, shape: &'j Shape) -> Option<Val> {
        self.take(size_of::<Val>())?;
        match (shape, json) {
            (Shape::Bool, json) => self.bool(json).map(Val::Bool),
            (Shape::Integer(integer), json) => self.integer(json, *integer),
            (Shape::F32, json) => self.float(json).and_then(|value| self.narrow(value)).map(Val::Float32),
            (Shape::F64, json) => self.float(json).map(Val::Float64),
            (Shape::Char, Json::String(text)) => match only(text.chars()) {
                Some(c) => Some(Val::Char(c)),
                None => self.wrong(|| expected(shape), || shown(json)),
            },
            (Shape::String, Json::String(text)) => self.text(text).map(Val::String),
            (Shape::Bytes, Json::String(text)) => match decode(text) {
                Some(bytes) => {
                    self.take(bytes.len().saturating_mul(size_of::<Val>()))?;
                    Some(Val::List(bytes.into_iter().map(Val::U8).collect()))
                }
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
            (Shape::Enum(names), Json::String(name)) => match self.which(name, names) {
                Some(_) => self.text(name).map(Val::Enum),
                None => self.wrong_name(name, names, || expected(shape), || shown(json)),
            },
            (Shape::Flags(names), Json::Array(list)) => self.flags(list, names),
            (shape, json) => self.wrong(|| expected(shape), || shown(json)),
        }
    }

    fn elements(
        &mut self,
        elements: impl ExactSizeIterator<Item = (&'j Json, &'j Shape)>,
    ) -> Option<Vec<Val>> {
        // Preallocates no more than the memory that is left.
        let fits = usize::try_from(self.left).unwrap_or(usize::MAX) / size_of::<Val>();
        let mut vals = Some(Vec::with_capacity(elements.len().min(fits)));
        for (index, (json, shape)) in elements.enumerate() {
            if self.is_over() {
                return None;
            }
            match (self.under(Step::Index(index), |this| this.value(json, shape)), &mut vals) {
                (Some(val), Some(vals)) => vals.push(val),
                _ => vals = None,
            }
        }
        vals
    }

    /// Fields of a record, or a function's parameters.
    fn fields(&mut self, json: &'j Json, fields: &'j [Field]) -> Option<Vec<(String, Val)>> {
        let Json::Object(members) = json else {
            return self.wrong(|| "an object".to_owned(), || shown(json));
        };
        self.take(fields.len().saturating_mul(size_of::<(String, Val)>()))?;
        let mut vals = Some(Vec::with_capacity(fields.len()));
        let members = Members::of(members);
        let mut found = 0;
        for field in fields {
            if self.is_over() {
                return None;
            }
            let value = members.get(&field.name);
            found += usize::from(value.is_some());
            let val = self.under(Step::Key(&field.name), |this| match (value, &field.shape) {
                (Some(json), shape) => this.value(json, shape),
                (None, Shape::Option(_)) => Some(Val::Option(None)),
                (None, shape) => this.wrong(|| expected(shape), || "nothing".to_owned()),
            });
            match (val, &mut vals, self.text(&field.name)) {
                (Some(val), Some(vals), Some(name)) => vals.push((name, val)),
                _ => vals = None,
            }
        }
        if found < members.list.len() {
            self.unknown(members.list, fields);
            vals = None;
        }
        vals
    }

    /// Notes keys that name no field.
    fn unknown(&mut self, members: &'j [(String, Json)], fields: &'j [Field]) {
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let known: HashSet<&str> = names.iter().copied().collect();
        for (name, _) in members.iter().filter(|(name, _)| !known.contains(name.as_str())) {
            if self.is_over() {
                return;
            }
            let only = || match names.as_slice() {
                [] => "no key at all".to_owned(),
                names => format!("only the keys {}", quoted(names)),
            };
            self.under(Step::Key(name), |this| this.wrong_name::<()>(name, &names, only, || key(name)));
        }
    }

    fn some(&mut self, json: &'j Json, inner: &'j Shape) -> Option<Val> {
        let wanted = || r#"{"some": …} or null"#.to_owned();
        let some = match (inner.is_nullable(), json) {
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
        let Some(case) = tag.and_then(|tag| self.case(tag, cases)) else {
            let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
            let wanted = || format!(r#"an object whose "tag" is {}"#, one_of(&names));
            let got = || tag.map_or_else(|| shown(json), |tag| format!("the tag `{}`", printable(tag, 100)));
            return self.wrong_name(tag.unwrap_or_default(), &names, wanted, got);
        };
        let payload = self.under(Step::Key("val"), |this| match (&case.payload, val) {
            (None, None | Some(Json::Null)) => Some(None),
            (None, Some(json)) => {
                this.wrong(|| format!("nothing: `{}` has no payload", case.name), || shown(json))
            }
            (Some(shape), None) => this.wrong(|| expected(shape), || "nothing".to_owned()),
            (Some(shape), Some(json)) => this.value(json, shape).map(|val| Some(Box::new(val))),
        })?;
        Some(Val::Variant(self.text(&case.name)?, payload))
    }

    fn flags(&mut self, list: &'j [Json], names: &'j [String]) -> Option<Val> {
        let mut set: BTreeSet<&str> = BTreeSet::new();
        let mut fine = true;
        for (index, json) in list.iter().enumerate() {
            if self.is_over() {
                return None;
            }
            let one = self.under(Step::Index(index), |this| match json.as_str() {
                Some(name) if set.contains(name) => Some(()),
                Some(name) if this.which(name, names).is_some() => {
                    set.insert(name);
                    this.take(size_of::<String>() + name.len())
                }
                name => {
                    let wanted = || one_of(names);
                    this.wrong_name(name.unwrap_or_default(), names, wanted, || shown(json))
                }
            });
            fine &= one.is_some();
        }
        fine.then(|| Val::Flags(set.into_iter().map(str::to_owned).collect()))
    }
}

fn key(name: &str) -> String {
    format!("the key `{}`", printable(name, 100))
}
