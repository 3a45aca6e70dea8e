//! Doc comments of a WIT world, for its exported functions and their parts.

use std::collections::BTreeMap;
use std::path::Path;

use toolgate_policy::limits::load::{COMPONENT_BYTES_MAX, FOLDER_ENTRIES_MAX};
use toolgate_sandbox::inspect::docs::split;
use wit_parser::{Docs, Function, FunctionKind, Resolve, Type, TypeDefKind, WorldId, WorldItem, WorldKey};

/// Texts about one function.
#[derive(Default)]
pub(super) struct FunctionTexts {
    pub(super) description: Option<String>,
    /// By path, as in the section.
    pub(super) parts: BTreeMap<String, String>,
}

/// Reads WIT from a file or a folder: the texts about the exports of its world, by export path.
///
/// # Errors
/// A sentence that describes the error in the WIT, or that it has several worlds.
pub(super) fn read(path: &Path, world: Option<&str>) -> Result<BTreeMap<String, FunctionTexts>, String> {
    check(path)?;
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(path).map_err(|error| format!("{error:#}"))?;
    let world = resolve.select_world(&[package], world).map_err(|error| format!("{error:#}"))?;
    Ok(exports(&resolve, world))
}

/// Refuses files that would block or never end: the parser opens any path it gets.
fn check(path: &Path) -> Result<(), String> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut entries = 0;
    let mut below = vec![path.to_owned()];
    while let Some(path) = below.pop() {
        let metadata = path.metadata().map_err(|error| failed(&path, error))?;
        if metadata.is_dir() {
            for entry in std::fs::read_dir(&path).map_err(|error| failed(&path, error))? {
                below.push(entry.map_err(|error| failed(&path, error))?.path());
                entries += 1;
                if entries > FOLDER_ENTRIES_MAX {
                    return Err(format!("there are more than {FOLDER_ENTRIES_MAX} files in it"));
                }
            }
        } else if !metadata.is_file() {
            return Err(format!("{}: it is not a regular file", path.display()));
        } else if metadata.len() > COMPONENT_BYTES_MAX {
            return Err(format!("{}: it has more than {COMPONENT_BYTES_MAX} bytes", path.display()));
        }
    }
    Ok(())
}

fn exports(resolve: &Resolve, world: WorldId) -> BTreeMap<String, FunctionTexts> {
    let mut texts = BTreeMap::new();
    let Some(world) = resolve.worlds.get(world) else { return texts };
    for (key, item) in &world.exports {
        match item {
            WorldItem::Function(function) => {
                texts.insert(function.name.clone(), of(resolve, function));
            }
            WorldItem::Interface { id, .. } => {
                let name = match key {
                    WorldKey::Name(name) => Some(name.clone()),
                    WorldKey::Interface(id) => resolve.id_of(*id),
                };
                let (Some(name), Some(interface)) = (name, resolve.interfaces.get(*id)) else { continue };
                for function in interface.functions.values() {
                    texts.insert(format!("{name}#{}", function.name), of(resolve, function));
                }
            }
            WorldItem::Type { .. } => {}
        }
    }
    texts
}

fn of(resolve: &Resolve, function: &Function) -> FunctionTexts {
    let mut parts = BTreeMap::new();
    if matches!(function.kind, FunctionKind::Freestanding) {
        for param in &function.params {
            below(resolve, &param.ty, &param.name, 0, &mut parts);
        }
        if let Some(result) = function.result {
            below(resolve, &ok_side(resolve, result).unwrap_or(result), "return", 0, &mut parts);
        }
    }
    let text = split(function.docs.contents.as_deref().unwrap_or_default());
    parts.extend(text.docs);
    FunctionTexts { description: text.description, parts }
}

/// The `ok` side of a top-level result is the result itself.
fn ok_side(resolve: &Resolve, ty: Type) -> Option<Type> {
    let Type::Id(id) = ty else { return None };
    match &resolve.types.get(id)?.kind {
        TypeDefKind::Result(result) => result.ok,
        TypeDefKind::Type(inner) => ok_side(resolve, *inner),
        _ => None,
    }
}

/// A type's text applies to a part without a text of its own; for a list's element type, to its elements. `path` may be
/// that of the list `lists` levels up.
fn below(resolve: &Resolve, ty: &Type, path: &str, lists: usize, parts: &mut BTreeMap<String, String>) {
    let Type::Id(id) = ty else { return };
    let Some(def) = resolve.types.get(*id) else { return };
    note(&def.docs, &format!("{path}{}", "/[]".repeat(lists)), parts);
    let mut named = |name: &str, docs: &Docs, ty: Option<&Type>| {
        let path = format!("{path}/{name}");
        note(docs, &path, parts);
        if let Some(ty) = ty {
            below(resolve, ty, &path, 0, parts);
        }
    };
    match &def.kind {
        TypeDefKind::Record(record) => {
            record.fields.iter().for_each(|field| named(&field.name, &field.docs, Some(&field.ty)));
        }
        TypeDefKind::Variant(variant) => {
            variant.cases.iter().for_each(|case| named(&case.name, &case.docs, case.ty.as_ref()));
        }
        TypeDefKind::Enum(names) => names.cases.iter().for_each(|case| named(&case.name, &case.docs, None)),
        TypeDefKind::Flags(names) => names.flags.iter().for_each(|flag| named(&flag.name, &flag.docs, None)),
        TypeDefKind::Tuple(tuple) => {
            let none = Docs::default();
            tuple.types.iter().enumerate().for_each(|(n, ty)| named(&n.to_string(), &none, Some(ty)));
        }
        TypeDefKind::Result(result) => {
            let none = Docs::default();
            named("ok", &none, result.ok.as_ref());
            named("err", &none, result.err.as_ref());
        }
        TypeDefKind::List(element) => below(resolve, element, path, lists + 1, parts),
        TypeDefKind::Option(inner) | TypeDefKind::Type(inner) => below(resolve, inner, path, lists, parts),
        _ => {}
    }
}

fn note(docs: &Docs, path: &str, parts: &mut BTreeMap<String, String>) {
    let text = docs.contents.as_deref().map(str::trim).filter(|text| !text.is_empty());
    if let Some(text) = text {
        parts.entry(path.to_owned()).or_insert_with(|| text.to_owned());
    }
}
