//! Problems with arguments, described so that a model can correct its call: place, expected, actual, and nearest match.

use toolgate_base::json::Json;
use toolgate_policy::limits::lift::ARGUMENT_VALUES_BYTES_MAX;
use toolgate_policy::limits::wire::PROBLEMS_COUNTED_MAX;
use toolgate_policy::redact::printable;

use super::shape::Shape;

/// One problem with the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON Pointer to the value (RFC 6901).
    pub at: String,
    /// Expected value.
    pub expected: String,
    /// Actual value.
    pub got: String,
    /// Known name closest to the actual one.
    pub near: Option<String>,
}

/// All problems with the arguments: the first [`PROBLEMS_MAX`](toolgate_policy::limits::wire::PROBLEMS_MAX), and a
/// bounded count of the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// In the order of the function's parameters.
    pub list: Vec<Problem>,
    /// Number of problems counted but not listed.
    pub more: usize,
}

pub(super) fn expected(shape: &Shape) -> String {
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
            format!("an object with {}", quoted(fields.iter().map(|field| &field.name)))
        }
        Shape::Option(inner) => format!("{}, or null", expected(inner)),
        Shape::Result(..) => r#"an object with either "ok" or "err""#.to_owned(),
        Shape::Variant(cases) => {
            format!(r#"an object whose "tag" is {}"#, one_of(cases.iter().map(|case| &case.name)))
        }
        Shape::Enum(names) => one_of(names),
        Shape::Flags(names) => {
            format!("an array of {}", quoted(names))
        }
    }
}

pub(super) fn one_of(names: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    format!("one of {}", quoted(names))
}

pub(super) fn quoted(names: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    const NAMES_MAX: usize = 40;
    let mut names = names.into_iter();
    let mut told: Vec<String> = names.by_ref().take(NAMES_MAX).map(|name| format!("\"{name}\"")).collect();
    let more = names.count();
    if more > 0 {
        told.push(format!("… ({more} more)"));
    }
    told.join(", ")
}

/// Actual value for a message: small values in full, large ones by kind and length.
pub(super) fn shown(json: &Json) -> String {
    match json {
        Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Float(_) => json.text(),
        Json::String(text) if text.chars().count() <= 60 => printable(&json.text(), 200),
        Json::String(text) => format!("a string of {} characters", text.chars().count()),
        Json::Array(list) => format!("an array of {}", list.len()),
        Json::Object(_) => "an object".to_owned(),
    }
}

/// Escapes a step of a JSON Pointer (RFC 6901 §3).
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = if self.at.is_empty() { "the arguments" } else { &self.at };
        write!(f, "{at}: expected {}, got {}", self.expected, self.got)?;
        match &self.near {
            Some(near) => write!(f, "; did you mean \"{near}\"?"),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the arguments do not fit this tool's input schema:")?;
        for problem in &self.list {
            write!(f, "\n- {problem}")?;
        }
        match self.more {
            0 => Ok(()),
            more if self.list.len() + more >= PROBLEMS_COUNTED_MAX => {
                write!(f, "\n- and {more} more at least")
            }
            more => write!(f, "\n- and {more} more"),
        }
    }
}

impl Problems {
    /// Problem with the arguments as a whole: they take too much memory.
    pub fn too_large() -> Self {
        let problem = Problem {
            at: String::new(),
            expected: format!("what takes at most {ARGUMENT_VALUES_BYTES_MAX} bytes of memory as values"),
            got: "more".to_owned(),
            near: None,
        };
        Self { list: vec![problem], more: 0 }
    }
}
