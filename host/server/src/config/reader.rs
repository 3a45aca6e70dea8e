//! TOML reader with positions: each value has its line, and each section records the keys that were queried, so that
//! unknown ones are reported. Nothing here interprets keys.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};

use toml::de::DeTable;
use toolgate_policy::limits::load::CONFIG_BYTES_MAX;
use toolgate_policy::redact::printable;
use toolgate_policy::suggest::nearest;
use toolgate_policy::{Digest, InvalidValueError};

use super::modes;
use super::problem::{ConfigError, Problem};
use value::{At, Table, Value, json_table, owned, table_lines};

mod value;

/// A TOML file.
pub(super) struct Document<'p> {
    /// The file.
    pub(super) path: PathBuf,
    /// Digest of its text.
    pub(super) sha256: Digest,
    table: Table,
    /// Collector of problems.
    pub(super) problems: &'p ConfigError,
}

/// A table of a document, with the keys queried so far.
pub(super) struct Section<'d> {
    document: &'d Document<'d>,
    table: &'d Table,
    path: String,
    line: usize,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'p> Document<'p> {
    /// Reads a file that only its owner may write to. Notes a wrong mode or syntax error.
    pub(super) fn read(path: &Path, problems: &'p ConfigError) -> Option<Self> {
        match modes::read_text(path, CONFIG_BYTES_MAX, modes::FileKind::Policy) {
            Ok(text) => Self::parse(path, &text, problems),
            Err(why) => {
                problems.add(Problem { file: path.to_owned(), line: None, key: String::new(), why });
                None
            }
        }
    }

    /// Parses a text as the content of a file. Notes syntax errors.
    pub(super) fn parse(path: &Path, text: &str, problems: &'p ConfigError) -> Option<Self> {
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line = |at: usize| ends.partition_point(|end| *end < at) + 1;
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let line = error.span().map(|span| line(span.start));
            let why = format!("it is not TOML: {}", printable(error.message(), 300));
            problems.add(Problem { file: path.to_owned(), line, key: String::new(), why });
        }
        let (path, sha256) = (path.to_owned(), Digest::of(text.as_bytes()));
        let document = Self { path, sha256, table: owned(table.get_ref(), &line), problems };
        errors.is_empty().then_some(document)
    }

    /// All of it as JSON. Notes values that JSON lacks.
    pub(super) fn json(&self) -> serde_json::Map<String, serde_json::Value> {
        json_table(&self.table, &|line, kind| {
            let why = format!("{kind} cannot stand here");
            let (file, key) = (self.path.clone(), String::new());
            self.problems.add(Problem { file, line: Some(line), key, why });
        })
    }

    /// Line of each key and element, by path.
    pub(super) fn lines(&self) -> BTreeMap<String, usize> {
        let mut lines = BTreeMap::new();
        table_lines("", &self.table, &mut lines);
        lines
    }

    /// A path relative to the file's folder, made absolute.
    pub(super) fn relative(&self, path: &str) -> PathBuf {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        std::path::absolute(folder.join(path)).unwrap_or_else(|_| folder.join(path))
    }

    /// The whole file.
    pub(super) fn root(&self) -> Section<'_> {
        Section {
            document: self,
            table: &self.table,
            path: String::new(),
            line: 1,
            asked: RefCell::default(),
        }
    }
}

impl<'d> Section<'d> {
    /// A string.
    pub(super) fn string(&self, key: &'static str) -> Option<String> {
        self.typed(key, "a string, in quotes", Value::text)
    }

    /// A whole number.
    pub(super) fn integer(&self, key: &'static str) -> Option<i64> {
        self.typed(key, "a whole number", |value| {
            if let Value::Integer(number) = value { Some(*number) } else { None }
        })
    }

    /// A boolean.
    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        self.typed(key, "true or false", |value| if let Value::Bool(is) = value { Some(*is) } else { None })
    }

    /// A time with an offset from UTC.
    pub(super) fn time(&self, key: &'static str) -> Option<jiff::Timestamp> {
        self.typed(key, "a time with its zone, such as 2027-06-01T00:00:00Z", |value| match value {
            Value::Datetime(time) if time.offset.is_some() => time.to_string().parse().ok(),
            _ => None,
        })
    }

    /// A list of strings.
    pub(super) fn strings(&self, key: &'static str) -> Option<Vec<String>> {
        self.typed(key, r#"a list of strings, such as ["a", "b"]"#, |value| match value {
            Value::Array(list) => list.iter().map(|at| at.value.text()).collect(),
            _ => None,
        })
    }

    /// A table of strings under any keys.
    pub(super) fn map(&self, key: &'static str) -> Option<BTreeMap<String, String>> {
        self.typed(key, r#"a table of strings, such as { NAME = "value" }"#, |value| match value {
            Value::Table(table) => {
                table.iter().map(|(key, at)| Some((key.clone(), at.value.text()?))).collect()
            }
            _ => None,
        })
    }

    /// All of it as lists of strings under any keys.
    pub(super) fn lists(&self) -> BTreeMap<String, Vec<String>> {
        let mut lists = BTreeMap::new();
        for (key, at) in self.table {
            let list = match &at.value {
                Value::Array(list) => list.iter().map(|at| at.value.text()).collect(),
                _ => None,
            };
            match list {
                Some(list) => drop(lists.insert(key.clone(), list)),
                None => self.wrong(key, format!("write a list of strings; this is {}", at.value.kind())),
            }
        }
        lists
    }

    /// Number of elements of a list, or of keys of a table.
    pub(super) fn count(&self, key: &'static str) -> Option<usize> {
        self.typed(key, "a list or a table", |value| match value {
            Value::Array(list) => Some(list.len()),
            Value::Table(table) => Some(table.len()),
            _ => None,
        })
    }

    /// A table.
    pub(super) fn section(&self, key: &'static str) -> Option<Section<'d>> {
        let at = self.get(key)?;
        match &at.value {
            Value::Table(table) => Some(self.below(table, key.to_owned(), at.line)),
            other => {
                let path = self.join(key);
                self.wrong(key, format!("write a table, such as [{path}]; this is {}", other.kind()));
                None
            }
        }
    }

    /// A list of at most `max` tables. A longer one is refused whole, before any of it is read.
    pub(super) fn sections(&self, key: &'static str, max: usize) -> Vec<Section<'d>> {
        let Some(at) = self.get(key) else { return Vec::new() };
        let Value::Array(list) = &at.value else {
            let (path, kind) = (self.join(key), at.value.kind());
            self.wrong(key, format!("write a list of tables, such as [[{path}]]; this is {kind}"));
            return Vec::new();
        };
        if list.len() > max {
            self.wrong(key, format!("there are {}; the limit is {max}", list.len()));
            return Vec::new();
        }
        let mut sections = Vec::new();
        for (index, at) in list.iter().enumerate() {
            match &at.value {
                Value::Table(table) => sections.push(self.below(table, format!("{key}[{index}]"), at.line)),
                other => self.wrong(
                    key,
                    format!("element {index} is {}; write a table such as {{ … }}", other.kind()),
                ),
            }
        }
        sections
    }

    /// A table as JSON. Notes values that JSON lacks.
    pub(super) fn json(&self, key: &'static str) -> Option<serde_json::Map<String, serde_json::Value>> {
        let table = self.section(key)?;
        let json = json_table(table.table, &|line, kind| {
            self.note(line, self.join(key), format!("{kind} cannot stand here"));
        });
        Some(json)
    }

    /// Marks a key as known without reading it.
    pub(super) fn ask(&self, key: &'static str) {
        self.asked.borrow_mut().insert(key);
    }

    /// Whether a key is present.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether a key is present and a string.
    pub(super) fn is_text(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|at| at.value.text().is_some())
    }

    /// A required string.
    pub(super) fn required(&self, key: &'static str, example: &str) -> Option<String> {
        if !self.has(key) {
            self.ask(key);
            self.wrong_here(format!("has no `{key}`; write {key} = \"{example}\""));
            return None;
        }
        self.string(key)
    }

    /// The result of parsing or checking a key's value. An error is noted.
    pub(super) fn parsed<T, E: Display>(&self, key: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.wrong(key, error.to_string())).ok()
    }

    /// Notes a problem with a key.
    pub(super) fn wrong(&self, key: &str, why: impl Into<String>) {
        let line = self.table.get(key).map_or(self.line, |at| at.line);
        self.note(line, self.join(key), why.into());
    }

    /// Notes a problem with the section as a whole.
    pub(super) fn wrong_here(&self, why: impl Into<String>) {
        self.note(self.line, self.path.clone(), why.into());
    }

    /// Notes an error that a check found in the value of `key`.
    pub(super) fn invalid(&self, key: &str, invalid: &InvalidValueError) {
        let at = invalid.clone().under(key);
        let mut line = self.table.get(key).map_or(self.line, |at| at.line);
        let mut value = self.table.get(key).map(|at| &at.value);
        for part in invalid.at.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
            let next = match value {
                Some(Value::Array(list)) => part.parse().ok().and_then(|index: usize| list.get(index)),
                Some(Value::Table(table)) => table.get(part),
                _ => None,
            };
            let Some(next) = next else { break };
            line = next.line;
            value = Some(&next.value);
        }
        self.note(line, self.join(&at.at), invalid.why.clone());
    }

    /// Notes every key that was not queried.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for (key, at) in self.table.iter().filter(|(key, _)| !asked.contains(key.as_str())) {
            let why = match nearest(key, asked.iter().copied()) {
                Some(near) => format!("is unknown; did you mean `{near}`?"),
                None if asked.is_empty() => "is unknown here".to_owned(),
                None => {
                    let known: Vec<&str> = asked.iter().copied().collect();
                    format!("is unknown; known here: {}", known.join(", "))
                }
            };
            self.note(at.line, self.join(&printable(key, 60)), why);
        }
    }

    fn below(&self, table: &'d Table, key: String, line: usize) -> Section<'d> {
        let path = self.join(&key);
        Section { document: self.document, table, path, line, asked: RefCell::default() }
    }

    fn get(&self, key: &'static str) -> Option<&'d At> {
        self.ask(key);
        self.table.get(key)
    }

    fn typed<T>(&self, key: &'static str, wanted: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let at = self.get(key)?;
        let value = read(&at.value);
        if value.is_none() {
            self.wrong(key, format!("write {wanted}; this is {}", at.value.kind()));
        }
        value
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn note(&self, line: usize, key: String, why: String) {
        self.document.problems.add(Problem { file: self.document.path.clone(), line: Some(line), key, why });
    }
}
