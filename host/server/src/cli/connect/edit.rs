//! Adds an entry to a client's file. Everything else in the file stays, comments included. A file that cannot be read,
//! or that another program changes meanwhile, is not touched.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jsonc_parser::cst::{CstInputValue, CstRootNode};
use jsonc_parser::{ParseOptions, parse_to_serde_value};
use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item, Table, TomlError};
use toolgate_policy::limits::load::CONFIG_BYTES_MAX;
use toolgate_runtime::load::source::read_regular;

use super::client::{Entry, Format};
use crate::cli::place;

/// Settings may contain secrets: a new file is accessible to the user only.
const NEW_FILE_MODE: u32 = 0o600;

/// A change of a client's file.
pub(super) struct ClientEdit {
    /// Target of the client's path, with links resolved.
    file: PathBuf,
    before: Option<String>,
    pub(super) after: String,
}

impl ClientEdit {
    /// Computes the change. Nothing is written.
    ///
    /// # Errors
    /// The reason why the file cannot be changed, as a sentence.
    pub(super) fn of(entry: &Entry) -> Result<Self, String> {
        let failed = |why: String| format!("{}: {why}; nothing was written", entry.file.display());
        let file = match entry.file.canonicalize() {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && entry.file.symlink_metadata().is_err() => {
                entry.file.clone()
            }
            Err(error) => return Err(failed(error.to_string())),
        };
        let before = read(&file).map_err(failed)?;
        let text = before.as_deref().unwrap_or_default();
        let after = match entry.format {
            _ if text.trim().is_empty() => Ok(entry.snippet()),
            Format::Json => with_json(text, entry),
            Format::Toml => with_toml(text, entry),
        };
        Ok(Self { file, before, after: after.map_err(failed)? })
    }

    /// Whether the file has the entry already.
    pub(super) fn is_nothing(&self) -> bool {
        self.before.as_deref() == Some(self.after.as_str())
    }

    pub(super) fn before(&self) -> &str {
        self.before.as_deref().unwrap_or_default()
    }

    /// Writes the change. Returns the path of the backup.
    ///
    /// # Errors
    /// The reason why nothing was written, as a sentence.
    pub(super) fn save(&self) -> Result<Option<PathBuf>, String> {
        let failed = |error: std::io::Error| format!("{}: not written: {error}", self.file.display());
        if read(&self.file)? != self.before {
            return Err(format!(
                "{}: not written: another program has changed it meanwhile; run the command again",
                self.file.display()
            ));
        }
        let Some(before) = &self.before else {
            if let Some(folder) = self.file.parent() {
                place::folder(folder).map_err(failed)?;
            }
            place::create(&self.file, self.after.as_bytes(), NEW_FILE_MODE).map_err(failed)?;
            return Ok(None);
        };
        let mode = self.file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        let copy = self.copy_path();
        place::create(&copy, before.as_bytes(), mode).map_err(|error| {
            format!("{}: no copy could be made, so nothing was written: {error}", copy.display())
        })?;
        let staged = place::stage(&self.file, self.after.as_bytes(), mode).map_err(failed)?;
        staged.persist(&self.file).map_err(|error| failed(error.error))?;
        Ok(Some(copy))
    }

    fn copy_path(&self) -> PathBuf {
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%fZ");
        let mut name = self.file.file_name().unwrap_or_default().to_owned();
        name.push(format!(".before-toolgate-{time}"));
        self.file.with_file_name(name)
    }
}

/// The text of a file; `None` if there is no file.
fn read(path: &Path) -> Result<Option<String>, String> {
    if path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(None);
    }
    let file = read_regular(path, CONFIG_BYTES_MAX).map_err(|error| error.to_string())?;
    String::from_utf8(file.bytes().to_vec()).map(Some).map_err(|error| error.to_string())
}

fn with_json(text: &str, entry: &Entry) -> Result<String, String> {
    let options = ParseOptions::default();
    let unread = |error: &dyn std::fmt::Display| format!("it is not JSON ({error})");
    let root = CstRootNode::parse(text, &options).map_err(|error| unread(&error))?;
    let not_object = || format!("`{}` in it is not an object", entry.list);
    let object = root.object_value().ok_or("it does not hold a JSON object")?;
    let list = match object.get(entry.list) {
        None => object
            .append(entry.list, CstInputValue::Object(Vec::new()))
            .object_value()
            .ok_or("its list of servers cannot be written")?,
        Some(list) => list.object_value().ok_or_else(not_object)?,
    };
    let value = |text: &str| -> Result<Value, String> {
        parse_to_serde_value(text, &options).map_err(|error| unread(&error))
    };
    let mut wanted = value(text)?;
    let members = wanted.as_object_mut().ok_or("it does not hold a JSON object")?;
    let servers = members.entry(entry.list).or_insert_with(|| Value::Object(Map::new()));
    let servers = servers.as_object_mut().ok_or_else(not_object)?;
    let was = servers.insert(entry.name.clone(), entry.value.clone());
    match list.get(&entry.name) {
        // The layout may differ.
        Some(_) if was.as_ref() == Some(&entry.value) => return Ok(text.to_owned()),
        Some(there) => there.set_value(input(&entry.value)),
        None => drop(list.append(&entry.name, input(&entry.value))),
    }
    let after = root.to_string();
    // The library is trusted with comments and spaces, but not with the values.
    if value(&after)? != wanted {
        return Err("an entry stands in it twice".to_owned());
    }
    Ok(after)
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(values) => CstInputValue::Array(values.iter().map(input).collect()),
        Value::Object(members) => {
            CstInputValue::Object(members.iter().map(|(key, value)| (key.clone(), input(value))).collect())
        }
    }
}

fn with_toml(text: &str, entry: &Entry) -> Result<String, String> {
    let mut document: DocumentMut =
        text.parse().map_err(|error: TomlError| format!("it is not TOML ({})", error.message()))?;
    let snippet = entry.snippet();
    let plain =
        |text: &str| toml::from_str::<toml::Table>(text).ok()?.get(entry.list)?.get(&entry.name).cloned();
    // The layout may differ.
    if plain(text).is_some_and(|there| Some(there) == plain(&snippet)) {
        return Ok(text.to_owned());
    }
    let ours: DocumentMut = snippet.parse().map_err(|error: TomlError| error.to_string())?;
    let value = ours.get(entry.list).and_then(|list| list.get(&entry.name)).cloned().unwrap_or_default();
    let list = document.entry(entry.list).or_insert_with(|| {
        let mut list = Table::new();
        list.set_implicit(true);
        Item::Table(list)
    });
    let list = list.as_table_like_mut().ok_or_else(|| format!("`{}` in it is not a table", entry.list))?;
    list.insert(&entry.name, value);
    Ok(document.to_string())
}
