//! `toolgate pack`: writes a plugin's manifest and documentation into a component of any language. The same input gives
//! the same bytes.

mod wit;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use toolgate_base::artifact::Artifact;
use toolgate_mapping::schema::paths;
use toolgate_mapping::shape::Function;
use toolgate_policy::limits::load::COMPONENT_BYTES_MAX;
use toolgate_policy::name::Prefix;
use toolgate_policy::suggest::nearest;
use toolgate_runtime::load::describe;
use toolgate_runtime::load::source::read_regular;
use toolgate_sandbox::inspect::Inspected;
use toolgate_sandbox::inspect::{self, manifest};

use super::exit::Exit;
use super::{component, output, place};
use crate::config::read_manifest;

/// Arguments of `pack`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The component
    component: PathBuf,
    /// The plugin's manifest: plugin.toml (see docs/write-a-plugin.md)
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// The WIT that it was built from, a file or a folder: its doc comments become descriptions
    #[arg(long, value_name = "PATH")]
    wit: Option<PathBuf>,
    /// The world of that WIT, where there are several
    #[arg(long, requires = "wit")]
    world: Option<String>,
    /// Write here instead of over the component
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    if args.manifest.is_none() && args.wit.is_none() {
        let why = "there is nothing to write: give --manifest plugin.toml, --wit PATH, or both";
        return Err(Exit::usage(why));
    }
    component::path(&args.component)?;
    let name = args.component.display();
    let read = read_regular(&args.component, COMPONENT_BYTES_MAX);
    let artifact = read.map_err(|error| Exit::unread(&error))?;
    let (inspected, _) = inspect::inspect_any(&artifact)
        .map_err(|error| Exit::refused(format!("{name}: not packed: {error}")))?;
    let functions = functions(&inspected);
    let mut content = args.manifest.as_deref().map(read_manifest).transpose()?.unwrap_or_default();
    let given = match content.remove("tool") {
        Some(Value::Object(tools)) => named_in_full(tools, &functions)?,
        Some(_) => return Err(Exit::usage("`tool` is not a table; write [tool.NAME]")),
        None => Map::new(),
    };
    let from_wit = match &args.wit {
        Some(path) => wit::read(path, args.world.as_deref())
            .map_err(|why| Exit::usage(format!("{}: {why}", path.display())))?,
        None => BTreeMap::new(),
    };
    content.insert("format".to_owned(), json!(1));
    content.insert("tool".to_owned(), Value::Object(tools(given, from_wit, &functions)?));
    let bad = |error: manifest::SectionError| Exit::usage(format!("{name}: not packed: {error}"));
    let section = manifest::write(&Value::Object(content)).map_err(bad)?;
    let packed = manifest::put(artifact.bytes(), &section).map_err(bad)?;
    let packed = again(&packed, &name.to_string())?;
    let out = args.out.as_ref().unwrap_or(&args.component);
    place::write(out, packed.bytes()).map_err(|error| Exit::usage(format!("{}: {error}", out.display())))?;
    output::print(&format!(
        "{} ({}); sign it now: a signature from before is of other bytes",
        out.display(),
        packed.digest()
    ));
    Ok(())
}

fn functions(inspected: &Inspected) -> BTreeMap<String, &Function> {
    let known = inspected.functions.iter();
    known.filter_map(|(path, function)| Some((path.to_string(), function.as_ref().ok()?))).collect()
}

/// Completes function names that omit an unambiguous interface.
fn named_in_full(
    tools: Map<String, Value>,
    functions: &BTreeMap<String, &Function>,
) -> Result<Map<String, Value>, Exit> {
    let mut full = Map::new();
    for (name, tool) in tools {
        let short = |path: &String| path.rsplit('#').next() == Some(&name);
        let matches: Vec<&String> = functions.keys().filter(|path| short(path)).collect();
        let path = match matches.as_slice() {
            _ if functions.contains_key(&name) => name,
            [path] => (*path).clone(),
            [] => {
                let short = functions.keys().map(|path| path.rsplit('#').next().unwrap_or(path));
                let hint =
                    nearest(&name, short).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return Err(Exit::usage(format!(
                    "tool.{name}: the component exports no such function{hint}"
                )));
            }
            several => {
                let several: Vec<&str> = several.iter().map(|path| path.as_str()).collect();
                let listed = several.join("\", or [tool.\"");
                return Err(Exit::usage(format!(
                    "tool.{name}: there are several; write [tool.\"{listed}\"]"
                )));
            }
        };
        if full.insert(path.clone(), tool).is_some() {
            let why = format!("tool.\"{path}\" appears twice, by its short and its long name");
            return Err(Exit::usage(why));
        }
    }
    Ok(full)
}

/// Merges the manifest over the texts of the WIT.
fn tools(
    mut given: Map<String, Value>,
    mut texts: BTreeMap<String, wit::FunctionTexts>,
    functions: &BTreeMap<String, &Function>,
) -> Result<Map<String, Value>, Exit> {
    let mut tools = Map::new();
    for (path, function) in functions {
        let texts = texts.remove(path).unwrap_or_default();
        let mut tool = match given.remove(path) {
            None => Map::new(),
            Some(Value::Object(tool)) => tool,
            Some(_) => return Err(Exit::usage(format!("tool.{path} is not a table"))),
        };
        let known = paths(function);
        let parts = texts.parts.into_iter().filter(|(part, _)| known.contains(part));
        let mut params: Map<String, Value> = parts.map(|(part, text)| (part, Value::from(text))).collect();
        if let Some(Value::Object(own)) = tool.remove("params") {
            for (part, text) in own {
                if !known.contains(&part) {
                    let near = nearest(&part, known.iter().map(String::as_str));
                    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                    return Err(Exit::usage(format!(
                        "tool.{path}.params.{part}: the function has no such part{hint}"
                    )));
                }
                params.insert(part, text);
            }
        }
        if let Some(description) = texts.description {
            tool.entry("description").or_insert_with(|| Value::from(description));
        }
        if !params.is_empty() {
            tool.insert("params".to_owned(), Value::Object(params));
        }
        if !tool.is_empty() {
            tools.insert(path.clone(), Value::Object(tool));
        }
    }
    Ok(tools)
}

/// Reads the result as loading would, and refuses it where loading would. Prints the findings of the lints.
fn again(packed: &[u8], name: &str) -> Result<Artifact, Exit> {
    let refused = |error: &dyn std::error::Error| Exit::refused(format!("{name}: not packed: {error}"));
    let artifact = Artifact::read(packed, COMPONENT_BYTES_MAX).map_err(|error| refused(&error))?;
    let (inspected, _) = inspect::inspect_any(&artifact).map_err(|error| refused(&error))?;
    let prefix = Prefix::parse("").map_err(|error| refused(&error))?;
    let described = describe::describe(&inspected, &prefix).map_err(|error| refused(&error))?;
    for finding in &described.findings {
        output::complain(&format!("{name}: it will be refused for this: {finding}"));
    }
    Ok(artifact)
}
