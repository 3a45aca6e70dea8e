//! From the exports of a component to its listing: names, texts, schemas. All of it comes from the signed bytes and the
//! operator's prefix; grants add their annotations later.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use toolgate_base::artifact::Artifact;
use toolgate_mapping::schema::{FunctionDocs, input, output, reply};
use toolgate_mapping::schema_v1;
use toolgate_mapping::shape::{Function, ShapeError};
use toolgate_policy::limits::load::{SCHEMA_BYTES_MAX, TOOLS_MAX};
use toolgate_policy::load::lint::{self, Finding};
use toolgate_policy::name::{ExportPath, Prefix, tool_names};
use toolgate_policy::redact::printable;
use toolgate_policy::{Digest, ToolName};

use crate::snapshot::tool::ToolListing;
use toolgate_sandbox::inspect::Inspected;
use toolgate_sandbox::inspect::manifest::Texts;

/// Listing of a component.
pub struct Described {
    /// Its tools, sorted by export path. Functions without a shape are left out.
    pub listings: Vec<ToolListing>,
    /// Findings of the lints in their texts.
    pub findings: Vec<Finding>,
    /// All texts of it that a model reads, without the operator's prefix: canonical JSON (RFC 8785).
    pub surface: Artifact,
}

/// Reasons why a component cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// It exports too much.
    #[error("it exports {0} functions: the limit is {TOOLS_MAX}")]
    Tools(usize),
    /// A type is too large.
    #[error("its function {path} cannot be a tool: {why}")]
    Shape {
        /// Path of the export.
        path: String,
        /// Fault of its type.
        why: ShapeError,
    },
    /// A schema is too large.
    #[error("its function {0} cannot be a tool: its schemas have more than {SCHEMA_BYTES_MAX} bytes")]
    Schema(String),
    /// The `toolgate` section describes a function in a way that does not fit it.
    #[error("its `toolgate` section says of {0}: {1}")]
    Mode(String, &'static str),
    /// The texts for models have no canonical form.
    #[error("what a model reads of its tools cannot be written down")]
    Surface(#[from] serde_json::Error),
    /// The `toolgate` section names a tool that does not exist.
    #[error("its `toolgate` section speaks of {0}, which it does not export as a tool")]
    NoTool(String),
}

/// Raised whenever the same component is described differently. Approvals under the version before are compared with
/// [`Former`].
const MAPPING_VERSION: u32 = 2;

/// Maximum length of a signature that serves as description, in characters.
const SIGNATURE_CHARS_MAX: usize = 1_000;

/// Describes the tools of a component.
///
/// # Errors
/// [`DescribeError`].
pub fn describe(inspected: &Inspected, prefix: &Prefix) -> Result<Described, DescribeError> {
    if inspected.functions.len() > TOOLS_MAX {
        return Err(DescribeError::Tools(inspected.functions.len()));
    }
    let mut usable: BTreeMap<&ExportPath, &Function> = BTreeMap::new();
    for (path, function) in &inspected.functions {
        match function {
            Ok(function) => drop(usable.insert(path, function)),
            Err(why) if why.refuses_plugin() => {
                return Err(DescribeError::Shape { path: shown(path), why: why.clone() });
            }
            Err(_) => {}
        }
    }
    if let Some(odd) =
        inspected.manifest.tools.keys().find(|tool| !usable.keys().any(|path| path.to_string() == **tool))
    {
        return Err(DescribeError::NoTool(printable(odd, 200)));
    }
    let paths: Vec<ExportPath> = usable.keys().map(|path| (*path).clone()).collect();
    let mut findings = Vec::new();
    let mut listings = Vec::new();
    for ((path, function), name) in usable.into_iter().zip(tool_names(prefix, &paths)) {
        let texts = inspected.texts(path);
        findings.extend(lint_texts(path, &texts));
        listings.push(listing(path, function, name, texts)?);
    }
    let schemas = |listing: &ToolListing| (listing.input.clone(), listing.output.clone());
    let surface = surface(MAPPING_VERSION, &listings, schemas)?;
    Ok(Described { listings, findings, surface })
}

fn lint_texts(path: &ExportPath, texts: &Texts) -> Vec<Finding> {
    let at = |what: &str| format!("the {what} of {}", shown(path));
    let mut findings = Vec::new();
    for (what, text) in [("title", &texts.title), ("description", &texts.description)] {
        findings.extend(text.iter().flat_map(|text| lint::text(&at(what), text)));
    }
    for (part, text) in &texts.docs {
        findings.extend(lint::text(&at(&format!("text for `{}`", printable(part, 100))), text));
    }
    findings
}

fn listing(
    path: &ExportPath,
    function: &Function,
    name: ToolName,
    texts: Texts,
) -> Result<ToolListing, DescribeError> {
    let reply = reply(function, &texts.mode).map_err(|why| DescribeError::Mode(shown(path), why))?;
    let input = input(function, &texts.docs);
    let output = output(&reply, &texts.docs);
    let bytes = Value::Object(input.clone()).to_string().len()
        + output.as_ref().map_or(0, |output| Value::Object(output.clone()).to_string().len());
    if bytes > SCHEMA_BYTES_MAX {
        return Err(DescribeError::Schema(shown(path)));
    }
    // A tool without a description gets its signature.
    let signature = || printable(&format!("{}: {function}", path.function), SIGNATURE_CHARS_MAX);
    Ok(ToolListing {
        name,
        path: path.clone(),
        function: function.clone(),
        reply,
        title: texts.title,
        description: texts.description.unwrap_or_else(signature),
        claims: texts.claims,
        icons: texts.icons,
        input,
        headers: Vec::new(),
        output,
    })
}

/// A component as the former release described it: it differs only in the form of schemas.
pub struct Former {
    /// All texts of it that a model read.
    pub surface: Artifact,
    /// Texts that a model reads now and did not read then, each with its tool and path.
    pub unseen: Vec<String>,
}

impl Former {
    /// Describes tools of a component as the former release did.
    ///
    /// # Errors
    /// When it has no canonical form.
    pub fn of(inspected: &Inspected, listings: &[ToolListing]) -> Result<Self, DescribeError> {
        let schemas = |listing: &ToolListing| {
            let docs = inspected.texts(&listing.path).docs;
            (schema_v1::input(&listing.function, &docs), schema_v1::output(&listing.reply, &docs))
        };
        let surface = surface(schema_v1::VERSION, listings, schemas)?;
        let unseen = |listing: &ToolListing| unseen(listing, &inspected.texts(&listing.path).docs);
        Ok(Self { surface, unseen: listings.iter().flat_map(unseen).collect() })
    }

    /// Digest of the surface, if an approval of it covers every text that a model reads now.
    pub fn approvable(&self) -> Option<Digest> {
        self.unseen.is_empty().then(|| self.surface.digest())
    }
}

/// Texts in the schemas of a tool now that were not in those of the former release.
fn unseen(listing: &ToolListing, docs: &FunctionDocs) -> Vec<String> {
    // A mark in place of each text shows where it appears. WIT names cannot contain these characters.
    const BEGIN: char = '\u{e000}';
    const END: char = '\u{e001}';
    let mark = |(n, path): (usize, &String)| (path.clone(), format!("{BEGIN}{n}{END}"));
    let marked: FunctionDocs = docs.keys().enumerate().map(mark).collect();
    let shown = |schemas: Value| -> BTreeSet<usize> {
        let text = schemas.to_string();
        text.split(BEGIN).skip(1).filter_map(|rest| rest.split(END).next()?.parse().ok()).collect()
    };
    let (function, reply) = (&listing.function, &listing.reply);
    let now = shown(json!([input(function, &marked), output(reply, &marked)]));
    let then = shown(json!([schema_v1::input(function, &marked), schema_v1::output(reply, &marked)]));
    let texts = docs.iter().enumerate().filter(|(n, _)| now.contains(n) && !then.contains(n));
    texts
        .map(|(_, (path, text))| format!("{} {path} = {}", listing.path, Value::from(text.as_str())))
        .collect()
}

/// Version of the mapping that wrote a surface; none for dynamic tools.
pub fn mapping_version(surface: &Artifact) -> Option<u64> {
    let surface: Value = serde_json::from_slice(surface.bytes()).ok()?;
    surface.get("mapping_version")?.as_u64()
}

/// All texts that a model reads, with names without a prefix.
fn surface(
    version: u32,
    listings: &[ToolListing],
    schemas: impl Fn(&ToolListing) -> (Map<String, Value>, Option<Map<String, Value>>),
) -> Result<Artifact, DescribeError> {
    let paths: Vec<ExportPath> = listings.iter().map(|listing| listing.path.clone()).collect();
    let plain = tool_names(&Prefix::none(), &paths);
    let tools = listings.iter().zip(&plain).map(|(listing, name)| {
        let claims = &listing.claims;
        let (input, output) = schemas(listing);
        json!({
            "name": name.as_str(),
            "title": listing.title,
            "description": listing.description,
            "input": input,
            "output": output,
            "claims": [claims.read_only, claims.destructive, claims.idempotent, claims.open_world],
            "icons": listing.icons.iter().map(|icon| icon.src.as_str()).collect::<Vec<_>>(),
        })
    });
    let surface = json!({ "mapping_version": version, "tools": tools.collect::<Vec<_>>() });
    Ok(canonical(&surface)?)
}

/// Encodes a value as canonical JSON.
///
/// # Errors
/// When there is no such form. It must not become the digest of nothing, which every other failure would match.
pub(super) fn canonical(value: &Value) -> Result<Artifact, serde_json::Error> {
    serde_json_canonicalizer::to_vec(value).map(Artifact::of)
}

fn shown(path: &ExportPath) -> String {
    printable(&path.to_string(), 200)
}
