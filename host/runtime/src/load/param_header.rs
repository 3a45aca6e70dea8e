//! Arguments that clients repeat in request headers, for proxies in front of a server (`x-mcp-header`, MCP 2026-07-28).
//! Clients drop tools with invalid annotations, so such tools are refused here.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use toolgate_policy::redact::printable;

use crate::snapshot::tool::ParamHeader;

const ANNOTATION: &str = "x-mcp-header";

/// Keywords whose value is data rather than a schema.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];

/// Keywords whose value maps names to schemas.
const BY_NAME: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// A schema whose annotations are refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ParamHeaderError {
    #[error("`{ANNOTATION}` stands {0}; write it on a property that `properties` alone lead to")]
    Place(String),
    #[error("`{ANNOTATION}` of `{0}` is not a token of RFC 9110; write letters, digits and -")]
    Name(String),
    #[error("`{ANNOTATION}` of `{0}` is `{1}`, which another property has; write another name")]
    Twice(String, String),
    #[error(
        "`{ANNOTATION}` is on `{0}`, whose \"type\" is not \"string\", \"integer\" or \"boolean\"; leave it away"
    )]
    Type(String),
}

/// Reads the annotations of a tool's input schema.
pub(super) fn read(schema: &Map<String, Value>) -> Result<Vec<ParamHeader>, ParamHeaderError> {
    if schema.contains_key(ANNOTATION) {
        return Err(ParamHeaderError::Place("at the top".to_owned()));
    }
    let mut found = Found::default();
    found.walk(schema, Some(&Vec::new()))?;
    Ok(found.headers)
}

#[derive(Default)]
struct Found {
    headers: Vec<ParamHeader>,
    names: BTreeSet<String>,
}

impl Found {
    /// Walks a schema and its subschemas. `path` leads to it through `properties` alone, if that is so.
    fn walk(
        &mut self,
        schema: &Map<String, Value>,
        path: Option<&Vec<String>>,
    ) -> Result<(), ParamHeaderError> {
        for (key, value) in schema {
            match (key.as_str(), value) {
                (ANNOTATION, name) => self.annotated(schema, name, path)?,
                (key, _) if DATA.contains(&key) => {}
                (key, Value::Object(named)) if BY_NAME.contains(&key) => {
                    for (name, part) in named {
                        let path = path.filter(|_| key == "properties");
                        let path = path.map(|path| path.iter().chain([name]).cloned().collect::<Vec<_>>());
                        self.part(part, path.as_ref())?;
                    }
                }
                (_, part) => self.part(part, None)?,
            }
        }
        Ok(())
    }

    fn part(&mut self, part: &Value, path: Option<&Vec<String>>) -> Result<(), ParamHeaderError> {
        match part {
            Value::Object(schema) => self.walk(schema, path),
            Value::Array(list) => list.iter().try_for_each(|part| self.part(part, None)),
            _ => Ok(()),
        }
    }

    fn annotated(
        &mut self,
        schema: &Map<String, Value>,
        name: &Value,
        path: Option<&Vec<String>>,
    ) -> Result<(), ParamHeaderError> {
        let Some(path) = path else {
            return Err(ParamHeaderError::Place("where a client does not look".to_owned()));
        };
        let shown = || printable(&path.join("."), 100);
        let name = name.as_str().filter(|name| is_token(name));
        let name = name.ok_or_else(|| ParamHeaderError::Name(shown()))?.to_ascii_lowercase();
        if !matches!(schema.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
            return Err(ParamHeaderError::Type(shown()));
        }
        if !self.names.insert(name.clone()) {
            return Err(ParamHeaderError::Twice(shown(), name));
        }
        self.headers.push(ParamHeader { path: path.clone(), name: format!("mcp-param-{name}") });
        Ok(())
    }
}

/// Whether a text is a token (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(properties: Value, more: Value) -> Result<Vec<ParamHeader>, ParamHeaderError> {
        let mut schema = json!({ "type": "object", "properties": properties });
        schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(schema.as_object().unwrap())
    }

    #[test]
    fn annotations_are_found_along_properties() {
        let headers = of(
            json!({
                "region": { "type": "string", "x-mcp-header": "Region" },
                "at": { "type": "object", "properties": { "n": { "type": "integer", "x-mcp-header": "N!" } } },
                // A property of that name is not an annotation.
                "x-mcp-header": { "type": "number", "default": { "x-mcp-header": "no" } },
            }),
            json!({}),
        );
        let header = |path: &[&str], name: &str| ParamHeader {
            path: path.iter().map(|step| (*step).to_owned()).collect(),
            name: name.to_owned(),
        };
        let expected = [header(&["region"], "mcp-param-region"), header(&["at", "n"], "mcp-param-n!")];
        assert_eq!(headers, Ok(expected.to_vec()));
    }

    #[test]
    fn annotations_that_clients_drop_a_tool_for_are_refused() {
        let on = |kind: Value, name: Value| json!({ "type": kind, "x-mcp-header": name });
        let text = |name: &str| on(json!("string"), json!(name));
        for (properties, more, words) in [
            (json!({ "a": on(json!("number"), json!("A")) }), json!({}), "whose \"type\" is not"),
            (json!({ "a": on(json!("array"), json!("A")) }), json!({}), "whose \"type\" is not"),
            (json!({ "a": on(json!(["string", "null"]), json!("A")) }), json!({}), "whose \"type\" is not"),
            (json!({ "a": { "x-mcp-header": "A" } }), json!({}), "whose \"type\" is not"),
            (json!({ "a": text("Region"), "b": text("region") }), json!({}), "another property has"),
            (json!({ "a": text("") }), json!({}), "not a token"),
            (json!({ "a": text("a b") }), json!({}), "not a token"),
            (json!({ "a": text("a\r\nX-Evil: 1") }), json!({}), "not a token"),
            (json!({ "a": text("ä") }), json!({}), "not a token"),
            (json!({ "a": on(json!("string"), json!(5)) }), json!({}), "not a token"),
            (
                json!({ "a": { "type": "array", "items": text("A") } }),
                json!({}),
                "where a client does not look",
            ),
            (json!({ "a": { "oneOf": [text("A")] } }), json!({}), "where a client does not look"),
            (json!({ "a": { "not": { "properties": { "b": text("A") } } } }), json!({}), "where a client"),
            (json!({}), json!({ "$defs": { "default": text("A") } }), "where a client does not look"),
            (json!({}), json!({ "patternProperties": { "a": text("A") } }), "where a client does not look"),
            (json!({}), json!({ "x-mcp-header": "A" }), "at the top"),
        ] {
            let why = of(properties.clone(), more).unwrap_err().to_string();
            assert!(why.contains(words), "{properties}: {why}");
        }
    }
}
