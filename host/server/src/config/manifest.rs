//! `plugin.toml`: what an author says of a plugin, as the value that becomes its `toolgate` section. What the keys mean is the
//! section's own reader's business.

use std::path::Path;

use serde_json::{Map, Value};

use super::problem::ConfigError;
use super::reader::Document;

/// Reads a `plugin.toml`.
///
/// # Errors
/// Everything that keeps it from being read.
pub(crate) fn read(path: &Path) -> Result<Map<String, Value>, ConfigError> {
    let problems = ConfigError::default();
    let content = Document::read(path, &problems).map(|document| document.json());
    match content {
        Some(content) if problems.is_empty() => Ok(content),
        _ => Err(problems.take()),
    }
}
