//! Creation of signatures: an in-toto Statement (v1) about the plugin's digest, in a DSSE envelope (v1), in a Sigstore
//! bundle (v0.3) with a key hint. Other tools verify it; see the interoperability tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use toolgate_base::artifact::Artifact;
use toolgate_policy::load::key_id::KeyId;

use super::key::{KeyError, PrivateKey};

/// Media type of the bundle.
pub const BUNDLE_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Payload type of the envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Type of the statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Predicate type of the statement.
pub const PREDICATE_TYPE: &str = "urn:toolgate:plugin:v1";

/// A new bundle.
pub struct Signed {
    /// JSON text.
    pub text: String,
    /// Key that signed it.
    pub key: KeyId,
}

/// Signs `artifact` for one plugin id, or for any (`None`); `name` is its display name.
pub fn sign(
    artifact: &Artifact,
    name: &str,
    plugin: Option<&str>,
    key: &PrivateKey,
) -> Result<Signed, KeyError> {
    let predicate = match plugin {
        Some(id) => json!({ "id": id }),
        None => json!({}),
    };
    let statement = json!({
        "_type": STATEMENT_TYPE,
        "subject": [{ "name": name, "digest": { "sha256": artifact.digest().hex() } }],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    });
    let payload = statement.to_string();
    let signature = key.sign(&pre_authentication_encoding(PAYLOAD_TYPE, payload.as_bytes()))?;
    let id = key.public()?.id();
    let bundle = json!({
        "mediaType": BUNDLE_MEDIA_TYPE,
        "verificationMaterial": { "publicKey": { "hint": id.hex() } },
        "dsseEnvelope": {
            "payload": STANDARD.encode(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{ "sig": STANDARD.encode(signature), "keyid": id.hex() }],
        },
    });
    Ok(Signed { text: format!("{bundle:#}\n"), key: id })
}

/// Bytes that DSSE signs (DSSE protocol, "Signature Definition").
pub(super) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}
