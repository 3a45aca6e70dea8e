//! Strict parsing of DSSE envelopes and the statements about plugins in them: all members known, unique and canonical.

use toolgate_base::json::{Json, JsonLimits};
use toolgate_policy::limits::load::{PLUGIN_ID_BYTES_MAX, SIGNATURE_BYTES_MAX};
use toolgate_policy::limits::size;
use toolgate_policy::redact::printable;
use toolgate_policy::{Digest, limits};

use super::sign::{PAYLOAD_TYPE, PREDICATE_TYPE, STATEMENT_TYPE};

/// A statement's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    /// SHA-256 of the plugin.
    pub(super) digest: Digest,
    /// Plugin id. `None` in older statements, and in those about any plugin with these bytes.
    pub(super) plugin: Option<String>,
}

/// Parser limits for bundles.
pub(super) const BOUNDS: JsonLimits = JsonLimits {
    bytes_max: size(SIGNATURE_BYTES_MAX),
    depth_max: limits::wire::JSON_DEPTH_MAX,
    nodes_max: 10_000,
};

/// Subject of a DSSE envelope, and its `keyid`.
pub(super) fn read_envelope(envelope: &Json) -> Result<(About, &str), String> {
    let names = ["payload", "payloadType", "signatures"];
    let [payload, payload_type, signatures] = members(envelope, "dsseEnvelope", names, &[])?.0;
    exactly(payload_type, PAYLOAD_TYPE, "payloadType")?;
    let signature = only(signatures, "signatures", "signatures")?;
    let ([sig], [keyid]) = members(signature, "the signature", ["sig"], &["keyid"])?;
    canonical_base64(sig, "sig")?;
    let statement = canonical_base64(payload, "payload")?;
    let statement = Json::parse(&statement, BOUNDS).map_err(|error| format!("in the statement: {error}"))?;
    let keyid = keyid.map_or(Some(""), Json::as_str).ok_or("`keyid` is not a text")?;
    Ok((read_statement(&statement)?, keyid))
}

fn read_statement(statement: &Json) -> Result<About, String> {
    let names = ["_type", "subject", "predicateType", "predicate"];
    let [kind, subject, predicate_type, predicate] = members(statement, "the statement", names, &[])?.0;
    exactly(kind, STATEMENT_TYPE, "_type")?;
    exactly(predicate_type, PREDICATE_TYPE, "predicateType")?;
    let [plugin] = members::<0, 1>(predicate, "the predicate", [], &["id"])?.1;
    let plugin = plugin.map(read_id).transpose()?;
    let subject = only(subject, "subject", "subjects")?;
    let ([digest], [_name]) = members(subject, "the subject", ["digest"], &["name"])?;
    let [sha256] = members(digest, "the subject's digest", ["sha256"], &[])?.0;
    let sha256 = sha256.as_str().and_then(|sha256| Digest::from_hex(sha256).ok());
    let digest = sha256.ok_or_else(|| "the subject's sha256 is not a digest".to_owned())?;
    Ok(About { digest, plugin })
}

fn read_id(id: &Json) -> Result<String, String> {
    let id = id.as_str().filter(|id| (1..=PLUGIN_ID_BYTES_MAX).contains(&id.len()));
    id.map(str::to_owned).ok_or_else(|| "the predicate's `id` is not a plugin's id".to_owned())
}

/// The members of an object: all `required`, any of `optional`, nothing else.
pub(super) fn members<'a, const R: usize, const O: usize>(
    json: &'a Json,
    what: &str,
    required: [&str; R],
    optional: &[&str; O],
) -> Result<([&'a Json; R], [Option<&'a Json>; O]), String> {
    let Json::Object(all) = json else { return Err(format!("{what} is not an object")) };
    if let Some((odd, _)) =
        all.iter().find(|(name, _)| !required.contains(&name.as_str()) && !optional.contains(&name.as_str()))
    {
        let odd = printable(odd, 60);
        return Err(format!("{what} has `{odd}`, which Toolgate does not know"));
    }
    if let Some(missing) = required.iter().find(|name| json.get(name).is_none()) {
        return Err(format!("{what} has no `{missing}`"));
    }
    Ok((required.map(|name| json.get(name).unwrap_or(&Json::Null)), optional.map(|name| json.get(name))))
}

/// The elements of a list.
pub(super) fn list<'a>(json: &'a Json, what: &str) -> Result<&'a [Json], String> {
    let Json::Array(list) = json else { return Err(format!("`{what}` is not a list")) };
    Ok(list)
}

/// The only element of a list of `elements`.
pub(super) fn only<'a>(json: &'a Json, what: &str, elements: &str) -> Result<&'a Json, String> {
    match list(json, what)? {
        [one] => Ok(one),
        list => Err(format!("it has {} {elements}; exactly one is accepted", list.len())),
    }
}

pub(super) fn exactly(json: &Json, wanted: &str, what: &str) -> Result<(), String> {
    if json.as_str() == Some(wanted) { Ok(()) } else { Err(format!("`{what}` is not {wanted}")) }
}

pub(super) fn canonical_base64(json: &Json, what: &str) -> Result<Vec<u8>, String> {
    let bytes = json.as_str().and_then(super::canonical_base64);
    bytes.ok_or_else(|| format!("`{what}` is not base64 in its one canonical spelling"))
}
