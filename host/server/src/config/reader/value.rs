//! Values of a TOML file, each with its first line.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

/// A value and its first line.
pub(super) struct At {
    pub(super) line: usize,
    pub(super) value: Value,
}

pub(super) enum Value {
    String(String),
    Integer(i64),
    Bool(bool),
    Datetime(Datetime),
    Array(Vec<At>),
    Table(Table),
    /// A float, or an integer beyond 64 bits; no key accepts these.
    Other(&'static str),
}

pub(super) type Table = BTreeMap<String, At>;

impl Value {
    /// The text of a string.
    pub(super) fn text(&self) -> Option<String> {
        if let Self::String(text) = self { Some(text.clone()) } else { None }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Bool(_) => "a boolean",
            Self::Datetime(_) => "a time",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

pub(super) fn table_lines(path: &str, table: &Table, into: &mut BTreeMap<String, usize>) {
    for (key, at) in table {
        let key = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        value_lines(key, at, into);
    }
}

fn value_lines(key: String, at: &At, into: &mut BTreeMap<String, usize>) {
    match &at.value {
        Value::Table(table) => table_lines(&key, table, into),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, at)| value_lines(format!("{key}[{index}]"), at, into));
        }
        Value::String(_) | Value::Integer(_) | Value::Bool(_) | Value::Datetime(_) | Value::Other(_) => {}
    }
    into.insert(key, at.line);
}

pub(super) fn json_table(
    table: &Table,
    odd: &impl Fn(usize, &'static str),
) -> serde_json::Map<String, serde_json::Value> {
    table.iter().map(|(key, at)| (key.clone(), json(at, odd))).collect()
}

fn json(at: &At, odd: &impl Fn(usize, &'static str)) -> serde_json::Value {
    match &at.value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Bool(is) => (*is).into(),
        Value::Array(list) => list.iter().map(|at| json(at, odd)).collect(),
        Value::Table(table) => json_table(table, odd).into(),
        Value::Datetime(_) | Value::Other(_) => {
            odd(at.line, at.value.kind());
            serde_json::Value::Null
        }
    }
}

pub(super) fn owned(table: &DeTable<'_>, line: &impl Fn(usize) -> usize) -> Table {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), own(value, line, key.span().start))).collect()
}

/// A table with a header begins at its key, any other value at itself.
fn own(value: &Spanned<DeValue<'_>>, line: &impl Fn(usize) -> usize, key_at: usize) -> At {
    let at = if value.span().is_empty() { key_at } else { value.span().start };
    let owned = match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number beyond 64 bits"), Value::Integer),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Boolean(is) => Value::Bool(*is),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(list) => {
            Value::Array(list.iter().map(|value| own(value, line, value.span().start)).collect())
        }
        DeValue::Table(table) => Value::Table(owned(table, line)),
    };
    At { line: line(at), value: owned }
}
