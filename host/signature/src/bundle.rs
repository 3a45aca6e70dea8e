//! Sigstore bundles (v0.3), and verification of those by an operator's key. The strict parser here reads first: all
//! members must be known, unique and canonical before the library parses the file, so that no two parsers see different
//! bundles. Only white space is free.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigstore_verify::crypto::{SigningScheme, verify_signature};
use sigstore_verify::types::{DerPublicKey, SignatureContent};
use toolgate_base::artifact::Artifact;
use toolgate_base::json::{Json, JsonLimits};
use toolgate_policy::limits::load::MANIFEST_NODES_MAX;
use toolgate_policy::load::key_id::KeyId;
use toolgate_policy::load::signer::{Claim, Format, VerifiedSignature};
use toolgate_policy::redact::printable;

use super::anchor::Anchor;
use super::envelope::{About, BOUNDS, exactly, members, read_envelope};
use super::key::KeyKind;
use super::keyless::Keyless;
use super::sign::{BUNDLE_MEDIA_TYPE, PAYLOAD_TYPE, PREDICATE_TYPE};
use super::{Signature, SignatureError, SignatureFile, unreadable};

/// Parses a bundle by a key or by a certificate. Refuses anything unknown, duplicated or not canonical.
pub(super) fn read(file: &SignatureFile) -> Result<Box<dyn Signature>, SignatureError> {
    let json = Json::parse(&file.bytes, BOUNDS).map_err(|error| unreadable(file, error.to_string()))?;
    if let Some(what) = other(&json) {
        return Err(SignatureError::Other { file: printable(&file.name, 200), what });
    }
    let certified =
        json.get("verificationMaterial").is_some_and(|material| material.get("certificate").is_some());
    if certified {
        return Ok(Box::new(Keyless::read(file, &json)?));
    }
    let (key, about) = read_bundle(&json).map_err(|why| unreadable(file, why))?;
    let text = String::from_utf8_lossy(&file.bytes).into_owned();
    Ok(Box::new(SignatureBundle { file: file.name.clone(), text, key, about }))
}

/// Subject of a bundle that is not about a plugin. Parsed less strictly, since such a bundle counts for nothing.
fn other(bundle: &Json) -> Option<String> {
    let named = |what: &str, wanted: &str, is: &str| {
        Some(format!("its `{what}` is not {wanted} but `{}`", printable(is, 200)))
    };
    let Some(envelope) = bundle.get("dsseEnvelope") else {
        let by_key = bundle.get("verificationMaterial").is_some_and(|by| by.get("publicKey").is_some());
        let what = "it has a `messageSignature` by a key, and a key signs a statement about a plugin";
        return (by_key && bundle.get("messageSignature").is_some()).then(|| what.to_owned());
    };
    let payload_type = envelope.get("payloadType")?.as_str()?;
    if payload_type != PAYLOAD_TYPE {
        return named("payloadType", PAYLOAD_TYPE, payload_type);
    }
    let payload = STANDARD.decode(envelope.get("payload")?.as_str()?).ok()?;
    let statement = Json::parse(&payload, JsonLimits { nodes_max: MANIFEST_NODES_MAX, ..BOUNDS }).ok()?;
    let predicate_type = statement.get("predicateType")?.as_str()?;
    if predicate_type == PREDICATE_TYPE {
        None
    } else {
        named("predicateType", PREDICATE_TYPE, predicate_type)
    }
}

/// A parsed bundle by a key.
pub struct SignatureBundle {
    file: String,
    text: String,
    key: KeyId,
    about: About,
}

impl Signature for SignatureBundle {
    fn format(&self) -> Format {
        Format::Bundle
    }

    fn claim(&self) -> Claim {
        Claim::Key(self.key)
    }

    fn verify(&self, artifact: &Artifact, signer: &Anchor) -> Result<VerifiedSignature, SignatureError> {
        if self.about.digest != artifact.digest() {
            return Err(SignatureError::OtherBytes(self.file.clone()));
        }
        let forged = || SignatureError::Forged(self.file.clone());
        let Anchor::Key(key) = signer else { return Err(forged()) };
        if key.id() != self.key || key.kind != KeyKind::P256 {
            return Err(forged());
        }
        let bundle = sigstore_verify::types::Bundle::from_json(&self.text).map_err(|_| forged())?;
        let SignatureContent::DsseEnvelope(envelope) = &bundle.content else { return Err(forged()) };
        // The library's verifier requires a log entry or timestamp as evidence of the signing time. An operator's key
        // has neither, and the trust policy judges its time, so only the signature is checked.
        let spki = DerPublicKey::from_bytes(&key.spki);
        let signature = &envelope.signature.sig;
        verify_signature(&spki, &envelope.pae(), signature, SigningScheme::EcdsaP256Sha256)
            .map_err(|_| forged())?;
        #[expect(clippy::disallowed_methods, reason = "it was verified above")]
        let verified = VerifiedSignature::new(artifact.digest(), key.id(), None);
        Ok(verified.for_plugin(self.about.plugin.clone()))
    }
}

fn read_bundle(bundle: &Json) -> Result<(KeyId, About), String> {
    let [media_type, material, envelope] =
        members(bundle, "the bundle", ["mediaType", "verificationMaterial", "dsseEnvelope"], &[])?.0;
    exactly(media_type, BUNDLE_MEDIA_TYPE, "mediaType")?;
    let key = read_material(material)?;
    let (about, keyid) = read_envelope(envelope)?;
    match keyid {
        "" => {}
        keyid if keyid == key.hex() => {}
        _ => return Err("`keyid` names another key than `hint`".to_owned()),
    }
    Ok((key, about))
}

fn read_material(material: &Json) -> Result<KeyId, String> {
    let optional = ["tlogEntries", "timestampVerificationData"];
    let ([public_key], [log, times]) = members(material, "verificationMaterial", ["publicKey"], &optional)?;
    if !log.is_none_or(is_empty) {
        return Err("it has log entries, which are not looked at beside a key".to_owned());
    }
    let no_times = match times {
        Some(Json::Object(members)) => {
            members.iter().all(|(name, list)| name == "rfc3161Timestamps" && is_empty(list))
        }
        None | Some(Json::Null) => true,
        Some(_) => false,
    };
    if !no_times {
        return Err("it has timestamps, which are not looked at beside a key".to_owned());
    }
    let [hint] = members(public_key, "publicKey", ["hint"], &[])?.0;
    let hint = hint.as_str().and_then(|hint| KeyId::from_hex(hint).ok());
    hint.ok_or_else(|| "`hint` is not the SHA-256 of a key in lower-case hexadecimal digits".to_owned())
}

fn is_empty(json: &Json) -> bool {
    matches!(json, Json::Array(list) if list.is_empty())
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
