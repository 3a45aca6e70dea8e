//! `plugin.toml`: the author's description of a plugin, as the value of its `toolgate` section. The keys are
//! interpreted by that section's reader.

use std::path::Path;

use serde_json::{Map, Value};

use super::problem::ConfigError;
use super::reader::Document;

/// Reads a `plugin.toml`.
///
/// # Errors
/// Every error.
pub(crate) fn read(path: &Path) -> Result<Map<String, Value>, ConfigError> {
    let problems = ConfigError::default();
    let content = Document::read(path, &problems).map(|document| document.json());
    match content {
        Some(content) if problems.is_empty() => Ok(content),
        _ => Err(problems.take()),
    }
}
