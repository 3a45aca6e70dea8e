//! Inspection of a component's bytes: validity, imports, exports and their types. It runs no compiler and no guest
//! code, and checks every bound while reading.

pub mod docs;
pub mod manifest;
mod toolchain;

use std::collections::BTreeMap;

use toolgate_base::artifact::Artifact;
use toolgate_base::spec::EngineKind;
use toolgate_mapping::shape::{Function, ShapeError};
use toolgate_policy::limits::load::{
    DOCS_BYTES_MAX, FUNCTION_BYTES_MAX, FUNCTIONS_MAX, IMPORTS_MAX, MODULES_MAX, NAME_BYTES_MAX, NESTING_MAX,
    TYPES_MAX,
};
use toolgate_policy::load::RequestedCapabilities;
use toolgate_policy::load::manifest::UnknownImportsError;
use toolgate_policy::name::ExportPath;
use toolgate_policy::redact::printable;
use toolgate_policy::{Capability, Digest};
use wasmtime::wasmparser::component_types::{
    ComponentAnyTypeId, ComponentEntityType, ComponentFuncTypeId, ComponentInstanceType,
    ComponentInstanceTypeId, ComponentItem,
};
use wasmtime::wasmparser::types::{Types, TypesRef};
use wasmtime::wasmparser::{
    ComponentTypeRef, Encoding, FuncValidatorAllocations, Parser, Payload, TypeBounds, ValidPayload,
    Validator,
};

use crate::engine::features;
use docs::PackageDocs;
use manifest::{Manifest, SectionError, Texts};
use toolchain::Traces;

/// Interface prefix of plugins that declare tools at run time, in all supported versions.
const DYNAMIC_TOOLS: &str = "toolgate:plugin/dynamic-tools@0.1.";

/// Result of inspecting a component.
#[derive(Debug)]
pub struct Inspected {
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Engine for which it was inspected.
    pub engine: EngineKind,
    /// Imported interfaces, as the component spells them.
    pub imports: Vec<String>,
    /// Capabilities that the imports amount to.
    pub requested: RequestedCapabilities,
    /// Exported functions by path, each with its shape or the reason why it has none.
    pub functions: BTreeMap<ExportPath, Result<Function, ShapeError>>,
    /// The plugin's manifest section.
    pub manifest: Manifest,
    /// Interface through which it declares tools at run time, if exported.
    pub dynamic: Option<String>,
    /// Other purpose of the component, such as a command, if it has one.
    pub program: Option<&'static str>,
    docs: PackageDocs,
}

impl Inspected {
    /// Texts for one function: from the manifest, else from the toolchain's doc comments.
    pub fn texts(&self, path: &ExportPath) -> Texts {
        let in_manifest = self.manifest.tools.get(&path.to_string());
        in_manifest.cloned().or_else(|| self.docs.of(path)).unwrap_or_default()
    }
}

/// A component that is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A core module, or not WebAssembly.
    #[error("{0}")]
    NotAComponent(&'static str),
    /// Invalid WebAssembly, or a feature that is switched off.
    #[error("it is not a component that Toolgate runs: {0}")]
    Invalid(String),
    /// A part exceeds its limit.
    #[error("it has {what}: the limit is {limit}")]
    Large {
        /// The part.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The manifest section is malformed.
    #[error(transparent)]
    Section(#[from] SectionError),
    /// The manifest requires capabilities that the component does not import.
    #[error("its `toolgate` section requires {}, and it imports nothing of that", .0.iter().map(|word| word.word()).collect::<Vec<_>>().join(", "))]
    Idle(Vec<Capability>),
    /// Imports that the host does not provide.
    #[error(transparent)]
    Imports(#[from] UnknownImportsError),
}

/// Inspects a component for one engine.
pub fn inspect(artifact: &Artifact, engine: EngineKind) -> Result<Inspected, InspectError> {
    let mut reader =
        Reader { validator: Validator::new_with_features(features(engine)), ..Reader::default() };
    let types = reader.read(artifact.bytes())?;
    reader.imports.retain(|import| !is_types_alone(types.as_ref(), import));
    let manifest = reader.section.as_deref().map(Manifest::read).transpose()?.unwrap_or_default();
    let asked = RequestedCapabilities::from_imports(
        reader.imports.iter().map(String::as_str),
        engine == EngineKind::Async,
    )?;
    let asked = asked.require(&manifest.requires).map_err(InspectError::Idle)?;
    let toolchain = reader.traces.toolchain(&reader.exports);
    // A capability that the manifest requires is in use, whatever the toolchain.
    let asked = asked.built_by(toolchain.filter(|built_by| !manifest.requires.contains(&built_by.imports())));
    let functions = exported(&types, &reader.exports)?;
    let dynamic = reader.exports.iter().find(|interface| interface.starts_with(DYNAMIC_TOOLS)).cloned();
    let docs = reader.docs.as_deref().map(PackageDocs::read).unwrap_or_default();
    Ok(Inspected {
        digest: artifact.digest(),
        engine,
        imports: reader.imports,
        requested: asked,
        functions,
        manifest,
        dynamic,
        program: reader.exports.iter().find_map(|interface| program(interface)),
        docs,
    })
}

/// Inspects a component for the first engine that supports it.
///
/// # Errors
/// [`InspectError`] of the `Sync` engine, if none does.
pub fn inspect_any(artifact: &Artifact) -> Result<(Inspected, EngineKind), InspectError> {
    inspect(artifact, EngineKind::Sync).map(|inspected| (inspected, EngineKind::Sync)).or_else(|error| {
        inspect(artifact, EngineKind::Async)
            .map(|inspected| (inspected, EngineKind::Async))
            .map_err(|_| error)
    })
}

#[derive(Default)]
struct Reader {
    validator: Validator,
    allocations: FuncValidatorAllocations,
    /// Nesting depth of open modules and components; 0 is the component itself.
    depth: u32,
    modules: u64,
    functions: u64,
    types: u64,
    imports: Vec<String>,
    exports: Vec<String>,
    /// Content of the component's own section.
    section: Option<Vec<u8>>,
    docs: Option<Vec<u8>>,
    traces: Traces,
}

impl Reader {
    fn read(&mut self, bytes: &[u8]) -> Result<Types, InspectError> {
        if wasmtime::Engine::detect_precompiled(bytes).is_some() {
            return Err(InspectError::NotAComponent(
                "it is compiled code, which is never taken from outside; give the component",
            ));
        }
        let invalid =
            |error: wasmtime::wasmparser::BinaryReaderError| InspectError::Invalid(explain(error.message()));
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|error| match bytes.starts_with(b"\0asm") {
                true => invalid(error),
                false => InspectError::NotAComponent("it is not WebAssembly"),
            })?;
            let is_last = matches!(payload, Payload::End(_)) && self.depth == 0;
            self.bound(&payload)?;
            match self.validator.payload(&payload).map_err(invalid)? {
                ValidPayload::Func(function, body) => {
                    let mut validator = function.into_validator(std::mem::take(&mut self.allocations));
                    validator.validate(&body).map_err(invalid)?;
                    self.allocations = validator.into_allocations();
                }
                ValidPayload::End(types) if is_last => return Ok(types),
                ValidPayload::End(_) | ValidPayload::Ok | ValidPayload::Parser(_) => {}
            }
        }
        Err(InspectError::Invalid("it ends too early".to_owned()))
    }

    /// Counts a payload against the limits, and collects the component's own imports and exports.
    fn bound(&mut self, payload: &Payload<'_>) -> Result<(), InspectError> {
        let over = |what, limit, is: bool| if is { Err(InspectError::Large { what, limit }) } else { Ok(()) };
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } if self.depth == 0 => {
                let why = "it is a core module, not a component; build for wasm32-wasip2, or wrap it with wasm-tools";
                return Err(InspectError::NotAComponent(why));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                self.depth += 1;
                self.modules += 1;
                over("too deeply nested components", NESTING_MAX.into(), self.depth > NESTING_MAX)?;
                over("too many modules", MODULES_MAX, self.modules > MODULES_MAX)?;
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::CodeSectionEntry(body) => {
                self.functions += 1;
                over("too many functions", FUNCTIONS_MAX, self.functions > FUNCTIONS_MAX)?;
                let bytes = body.range().len() as u64;
                over("a function with too many bytes", FUNCTION_BYTES_MAX, bytes > FUNCTION_BYTES_MAX)?;
            }
            Payload::ImportSection(imports) => self.traces.imports(imports.clone()),
            Payload::TypeSection(types) => self.types += u64::from(types.count()),
            Payload::ComponentTypeSection(types) => self.types += u64::from(types.count()),
            Payload::CoreTypeSection(types) => self.types += u64::from(types.count()),
            Payload::ComponentImportSection(imports) if self.depth == 0 => {
                let imports_all = self.imports.len() + imports.count() as usize;
                over("too many imports", IMPORTS_MAX as u64, imports_all > IMPORTS_MAX)?;
                for import in imports.clone() {
                    let import = import.map_err(|error| InspectError::Invalid(explain(error.message())))?;
                    let name = name(import.name.name)?;
                    // An alias of a type imports nothing else.
                    if !matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_))) {
                        self.imports.push(name);
                    }
                }
            }
            Payload::ComponentExportSection(exports) if self.depth == 0 => {
                for export in exports.clone() {
                    let export = export.map_err(|error| InspectError::Invalid(explain(error.message())))?;
                    self.exports.push(name(export.name.name)?);
                }
            }
            Payload::CustomSection(section) if self.depth == 0 => {
                self.custom(section.name(), section.data())?
            }
            _ => {}
        }
        over("too many types", TYPES_MAX, self.types > TYPES_MAX)
    }

    /// Collects the component's own sections. Duplicates are refused, since it would be unclear which one counts.
    fn custom(&mut self, name: &str, data: &[u8]) -> Result<(), InspectError> {
        match name {
            manifest::SECTION if self.section.is_some() => {
                return Err(SectionError("there are two of them".to_owned()).into());
            }
            manifest::SECTION => self.section = Some(data.to_vec()),
            toolchain::SECTION => self.traces.producers(data),
            docs::SECTION if data.len() <= DOCS_BYTES_MAX => self.docs = Some(data.to_vec()),
            _ => {}
        }
        Ok(())
    }
}

fn name(name: &str) -> Result<String, InspectError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(InspectError::Large { what: "a name with too many bytes", limit: NAME_BYTES_MAX as u64 });
    }
    Ok(name.to_owned())
}

/// Functions of all exported interfaces and of the component itself.
fn exported(
    types: &Types,
    names: &[String],
) -> Result<BTreeMap<ExportPath, Result<Function, ShapeError>>, InspectError> {
    let types = types.as_ref();
    let mut functions = BTreeMap::new();
    let mut insert = |path: ExportPath, id| {
        let function = read(types, &path.function, id).and_then(|read| by_an_author(&path, read));
        functions.insert(path, function);
    };
    for interface in names {
        let Some(item) = types.component_item_for_export(interface) else { continue };
        match item.ty {
            ComponentEntityType::Func(id) => {
                insert(ExportPath { interface: None, function: interface.clone() }, id);
            }
            ComponentEntityType::Instance(id) if !is_known(interface) => {
                for (function, item) in &instance(&types, id).exports {
                    if let ComponentEntityType::Func(id) = item.ty {
                        let (interface, function) = (Some(interface.clone()), name(function)?);
                        insert(ExportPath { interface, function }, id);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(functions)
}

/// Rejects exports left by interpreters' toolchains: the function with which the build step starts the interpreter
/// (componentize-qjs: `init` with the script, componentize-py: `exports#init`).
fn by_an_author(path: &ExportPath, function: Function) -> Result<Function, ShapeError> {
    let params: Vec<&str> = function.params.iter().map(|param| param.name.as_str()).collect();
    let of_quickjs = path.interface.is_none() && params.starts_with(&["shim", "script"]);
    let of_python = path.interface.as_deref() == Some("exports");
    if path.function == "init" && (of_quickjs || of_python) {
        Err(ShapeError::Toolchain)
    } else {
        Ok(function)
    }
}

fn read(types: TypesRef<'_>, name: &str, id: ComponentFuncTypeId) -> Result<Function, ShapeError> {
    // Names of a resource's constructor, methods and static functions begin with a bracket.
    if name.starts_with('[') {
        return Err(ShapeError::Resource);
    }
    #[expect(clippy::indexing_slicing, reason = "the validator gave the id together with these types")]
    Function::read(types, &types[id])
}

/// Whether an imported interface has value types only, so that there is nothing to provide.
fn is_types_alone(types: TypesRef<'_>, import: &str) -> bool {
    let Some(item) = types.component_item_for_import(import) else { return false };
    let ComponentEntityType::Instance(id) = item.ty else { return false };
    let exports = &instance(&types, id).exports;
    let is_type_of_values = |item: &ComponentItem| {
        matches!(item.ty, ComponentEntityType::Type { referenced: ComponentAnyTypeId::Defined(_), .. })
    };
    !exports.is_empty() && exports.values().all(is_type_of_values)
}

fn instance<'a>(types: &'a TypesRef<'_>, id: ComponentInstanceTypeId) -> &'a ComponentInstanceType {
    &types[id]
}

/// Whether an export has a meaning of its own and is not a tool.
fn is_known(interface: &str) -> bool {
    let name = interface.split('@').next().unwrap_or(interface);
    matches!(name, "wasi:cli/run" | "wasi:http/incoming-handler") || name.starts_with("toolgate:plugin/")
}

/// Purpose of a component with this export, if it is not a library of functions.
fn program(interface: &str) -> Option<&'static str> {
    match interface.split('@').next().unwrap_or(interface) {
        "wasi:cli/run" => Some("a command (it exports wasi:cli/run)"),
        "wasi:http/incoming-handler" | "wasi:http/handler" => {
            Some("an HTTP handler (it exports a handler of wasi:http)")
        }
        _ => None,
    }
}

/// Adds a remedy to the engine's message where it has none.
fn explain(message: &str) -> String {
    let message = printable(message, 300);
    if message.contains("async") || message.contains("stream") || message.contains("future") {
        return format!(
            "{message} (it uses the component model's asynchronous half; give it engine = \"async\", or build it \
             without: jco has --backend-qjs-disable-async, wit-bindgen has async: false)"
        );
    }
    if message.contains("string size out of bounds") {
        return format!("it has a name with too many bytes: the limit is {NAME_BYTES_MAX}");
    }
    let unfinished = ["map feature", "fixed-length lists feature", "error-context feature"];
    if unfinished.iter().any(|feature| message.contains(feature)) {
        return format!(
            "{message} (the engine does not run that in full yet, so it is left out; build the component without it: a list \
             of pairs instead of a map, an ordinary list instead of one of fixed length, a string instead of an error-context)"
        );
    }
    message
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
