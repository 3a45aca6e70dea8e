//! The `package-docs` section: doc comments that some toolchains copy from the WIT. Parsed leniently, since nothing
//! depends on it. Its texts pass the same lints as everything that a model reads.

use std::collections::BTreeMap;

use toolgate_base::json::{Json, JsonLimits};
use toolgate_policy::limits::load::DOCS_BYTES_MAX;
use toolgate_policy::name::ExportPath;

use super::manifest::Texts;

pub(super) const SECTION: &str = "package-docs";

/// Doc comments of functions, by interface short name and function name.
#[derive(Debug, Default)]
pub(super) struct PackageDocs {
    interfaces: BTreeMap<(String, String), String>,
    worlds: BTreeMap<String, String>,
}

impl PackageDocs {
    /// Parses the section: a version byte (0 or 1), then JSON. Malformed parts are ignored.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut docs = Self::default();
        let bounds = JsonLimits { bytes_max: DOCS_BYTES_MAX, depth_max: 16, nodes_max: 50_000 };
        let Some((0 | 1, json)) = bytes.split_first() else { return docs };
        let Ok(json) = Json::parse(json, bounds) else { return docs };
        for (name, interface) in members(json.get("interfaces")) {
            for (function, text) in texts(interface.get("funcs")) {
                docs.interfaces.insert((name.clone(), function), text);
            }
        }
        for (_, world) in members(json.get("worlds")) {
            for key in ["funcs", "func_exports"] {
                docs.worlds.extend(texts(world.get(key)));
            }
            for key in ["interfaces", "interface_exports"] {
                for (name, interface) in members(world.get(key)) {
                    for (function, text) in texts(interface.get("funcs")) {
                        docs.interfaces.insert((name.clone(), function), text);
                    }
                }
            }
        }
        docs
    }

    pub(super) fn of(&self, path: &ExportPath) -> Option<Texts> {
        let text = match &path.interface {
            None => self.worlds.get(&path.function),
            Some(interface) => {
                let name = interface.split('@').next().unwrap_or(interface);
                let short = name.rsplit('/').next().unwrap_or(name);
                self.interfaces.get(&(short.to_owned(), path.function.clone()))
            }
        };
        text.map(|text| split(text))
    }
}

/// Splits a doc comment into a description and texts for parameters. WIT has no syntax for those, so authors write
/// `@param name text` or ``- `name`: text`` on separate lines.
pub fn split(text: &str) -> Texts {
    let mut texts = Texts::default();
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        match param(line.trim()) {
            Some((name, text)) => drop(texts.docs.insert(name.to_owned(), text.to_owned())),
            None => lines.push(line.trim_end()),
        }
    }
    let description = lines.join("\n").trim().to_owned();
    texts.description = (!description.is_empty()).then_some(description);
    texts
}

fn param(line: &str) -> Option<(&str, &str)> {
    let (name, text) = match line.strip_prefix("@param ") {
        Some(rest) => rest.trim_start().split_once(char::is_whitespace)?,
        None => line.strip_prefix("- `").or_else(|| line.strip_prefix("* `"))?.split_once("`:")?,
    };
    let is_part = |part: &str| part == "[]" || part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_name = !name.is_empty() && name.split('/').all(is_part);
    (is_name && !text.trim().is_empty()).then_some((name, text.trim()))
}

fn members(json: Option<&Json>) -> &[(String, Json)] {
    match json {
        Some(Json::Object(members)) => members,
        _ => &[],
    }
}

/// Texts by name; a value is a text, or an object with the text under `docs`.
fn texts(json: Option<&Json>) -> impl Iterator<Item = (String, String)> + '_ {
    members(json).iter().filter_map(|(name, value)| {
        let text = value.as_str().or_else(|| value.get("docs")?.as_str())?;
        Some((name.clone(), text.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_are_found_for_functions_of_interfaces_and_of_the_world() {
        let text = r#"{"worlds":{"w":{"docs":"x","func_exports":{"greet":{"docs":"Greets."}}}},
            "interfaces":{"calc":{"funcs":{"add":"Adds.\n@param a the first\n- `b`: the second"}}},"unknown":[1]}"#;
        let docs = PackageDocs::read(&[&[1], text.as_bytes()].concat());
        let of = |interface: Option<&str>, function: &str| {
            docs.of(&ExportPath { interface: interface.map(str::to_owned), function: function.to_owned() })
        };
        assert_eq!(of(None, "greet").unwrap().description.unwrap(), "Greets.");
        let add = of(Some("a:b/calc@1.0.0"), "add").unwrap();
        assert_eq!(add.description.unwrap(), "Adds.");
        assert_eq!(
            add.docs,
            BTreeMap::from([("a".into(), "the first".into()), ("b".into(), "the second".into())])
        );
        assert_eq!(of(None, "add"), None);
    }

    #[test]
    fn what_cannot_be_read_is_not_there() {
        for bytes in [
            &b""[..],
            b"\x02{}",
            b"\x01",
            b"\x01[",
            b"\x01{\"interfaces\":{\"a\":{},\"a\":{}}}",
            b"\x01{\"worlds\":7}",
        ] {
            let docs = PackageDocs::read(bytes);
            assert!(docs.interfaces.is_empty() && docs.worlds.is_empty());
        }
    }
}
