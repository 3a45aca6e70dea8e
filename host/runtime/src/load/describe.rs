//! From what a component exports to what is listed of it: names, descriptions, schemas. All of it comes from the signed
//! bytes and the operator's prefix; grants add their annotations later.

use std::collections::BTreeMap;

use serde_json::Value;
use toolgate_policy::ToolName;
use toolgate_policy::limits::load::{SCHEMA_BYTES_MAX, TOOLS_MAX};
use toolgate_policy::name::{ExportPath, Prefix, tool_names};
use toolgate_policy::redact::printable;

use super::inspect::Inspected;
use crate::mapping::schema::{input, output, reply};
use crate::mapping::shape::{Function, NoShape};
use crate::snapshot::tool::Listing;

/// Why a component cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum NotDescribed {
    /// It exports too much.
    #[error("it exports {0} functions: the limit is {TOOLS_MAX}")]
    Tools(usize),
    /// A type is too large.
    #[error("its function {path} cannot be a tool: {why}")]
    Shape {
        /// Which.
        path: String,
        /// Why.
        why: NoShape,
    },
    /// A schema is too large.
    #[error("its function {0} cannot be a tool: its schemas have more than {SCHEMA_BYTES_MAX} bytes")]
    Schema(String),
}

/// Describes the tools of a component, sorted by path. Functions without a shape are left out.
///
/// # Errors
/// [`NotDescribed`].
pub fn describe(inspected: &Inspected, prefix: &Prefix) -> Result<Vec<Listing>, NotDescribed> {
    if inspected.functions.len() > TOOLS_MAX {
        return Err(NotDescribed::Tools(inspected.functions.len()));
    }
    let mut usable: BTreeMap<&ExportPath, &Function> = BTreeMap::new();
    for (path, function) in &inspected.functions {
        match function {
            Ok(function) => drop(usable.insert(path, function)),
            Err(why) if why.refuses_plugin() => {
                return Err(NotDescribed::Shape { path: shown(path), why: why.clone() });
            }
            Err(_) => {}
        }
    }
    let paths: Vec<ExportPath> = usable.keys().map(|path| (*path).clone()).collect();
    let names = tool_names(prefix, &paths);
    usable.into_iter().zip(names).map(|((path, function), name)| listing(path, function, name)).collect()
}

fn listing(path: &ExportPath, function: &Function, name: ToolName) -> Result<Listing, NotDescribed> {
    let reply = reply(function);
    let input = input(function);
    let output = output(&reply);
    let bytes = Value::Object(input.clone()).to_string().len()
        + output.as_ref().map_or(0, |output| Value::Object(output.clone()).to_string().len());
    if bytes > SCHEMA_BYTES_MAX {
        return Err(NotDescribed::Schema(shown(path)));
    }
    // Its signature, until it brings words of its own.
    let description = printable(&format!("{}: {function}", path.function), DESCRIPTION_CHARS_MAX);
    Ok(Listing { name, path: path.clone(), function: function.clone(), reply, description, input, output })
}

/// What a model reads of one tool before it has read the schema.
const DESCRIPTION_CHARS_MAX: usize = 1_000;

fn shown(path: &ExportPath) -> String {
    printable(&path.to_string(), 200)
}
