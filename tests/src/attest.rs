//! Attachments and files beside a plugin that are not its signature, in their published formats.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};
use toolgate_policy::Digest;

use crate::registry::{Shelf, descriptor};
use crate::world::World;

/// Media type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// Media type of Sigstore bundles.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Media type of image manifests.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of indices.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of the empty configuration.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// An in-toto statement (v1) about a digest.
pub fn statement(about: &str, predicate_type: &str, predicate: &Value) -> Value {
    let hex = about.strip_prefix("sha256:").unwrap_or(about);
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "hello", "digest": { "sha256": hex } }],
        "predicateType": predicate_type,
        "predicate": predicate,
    })
}

/// A Sigstore bundle (v0.3) of a payload, with a valid signature by a key of the world.
pub fn bundle(world: &World, key: &str, payload: &[u8], payload_type: &str) -> Value {
    let id = world.key(key).public().unwrap().id().hex();
    let pem = std::fs::read_to_string(world.path(&format!("keys/{key}"))).unwrap();
    let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    let sig = KeyPair::from_pem(&pem).unwrap().sign(&message).unwrap();
    json!({
        "mediaType": BUNDLE,
        "verificationMaterial": { "publicKey": { "hint": id } },
        "dsseEnvelope": {
            "payload": STANDARD.encode(payload),
            "payloadType": payload_type,
            "signatures": [{ "sig": STANDARD.encode(sig) }],
        },
    })
}

/// An attachment or file beside a plugin.
pub struct Attached {
    /// Description for assertions.
    pub what: &'static str,
    /// Ending of the file name.
    pub ending: &'static str,
    /// Content.
    pub bytes: Vec<u8>,
    /// Text expected in the reason for skipping it.
    pub word: &'static str,
}

const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const OURS: &str = "urn:toolgate:plugin:v1";
const SPDX: &str = "https://spdx.dev/Document";
const COSIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// Attachments that are not a signature of the plugin with this digest, by the trusted `vendor` and by `stranger`.
pub fn attachments(world: &World, digest: &str) -> Vec<Attached> {
    let mut all = about_something_else(world, digest);
    all.extend(not_as_it_should_be(world, digest));
    all
}

fn attached(what: &'static str, ending: &'static str, bytes: Vec<u8>, word: &'static str) -> Attached {
    Attached { what, ending, bytes, word }
}

fn made(world: &World, key: &str, kind: &str, predicate: &Value, about: &str) -> Value {
    bundle(world, key, statement(about, kind, predicate).to_string().as_bytes(), IN_TOTO)
}

fn provenance(world: &World, key: &str, digest: &str) -> Value {
    made(world, key, PROVENANCE, &json!({ "buildDefinition": {}, "runDetails": {} }), digest)
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Well-formed statements about something else, as vendors, mirrors and scanners attach them.
pub fn about_something_else(world: &World, digest: &str) -> Vec<Attached> {
    let by_signer = provenance(world, "vendor", digest);
    let mut older = by_signer.clone();
    older["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.2".into();
    older["verificationMaterial"] =
        json!({ "x509CertificateChain": { "certificates": [{ "rawBytes": "AA==" }] } });
    let mut two_signatures = by_signer.clone();
    let one = two_signatures["dsseEnvelope"]["signatures"][0].clone();
    two_signatures["dsseEnvelope"]["signatures"] = json!([one, one]);
    let mut wide = by_signer.clone();
    let subjects: Vec<Value> =
        (0..50).map(|n| json!({ "name": format!("{n}"), "digest": { "sha512": "00" } })).collect();
    let many = json!({
        "_type": "https://in-toto.io/Statement/v0.1", "subject": subjects, "predicateType": PROVENANCE,
        "predicate": { "materials": vec![json!({ "uri": "git+https://example.com" }); 500] },
    });
    wide["dsseEnvelope"]["payload"] = STANDARD.encode(many.to_string()).into();
    let spdx = made(world, "vendor", SPDX, &json!({ "spdxVersion": "SPDX-2.3" }), digest);
    let other_bytes = Digest::of(b"something else").to_string();
    let cosign = made(world, "stranger", COSIGN, &json!({}), &other_bytes);
    let other_payload = bundle(world, "vendor", b"{}", "application/vnd.acme+json");
    let by_stranger = provenance(world, "stranger", digest);
    [
        ("provenance by a signer", &by_signer, PROVENANCE),
        ("provenance by a stranger", &by_stranger, PROVENANCE),
        ("an SBOM", &spdx, SPDX),
        ("what cosign signs", &cosign, COSIGN),
        ("another payload", &other_payload, "application/vnd.acme+json"),
        ("an older bundle", &older, PROVENANCE),
        ("a bundle with two signatures", &two_signatures, PROVENANCE),
        ("a statement about many things", &wide, PROVENANCE),
    ]
    .map(|(what, bundle, word)| attached(what, ".sigstore.json", text(bundle), word))
    .into()
}

/// Forged and malformed signatures, and files that are none.
fn not_as_it_should_be(world: &World, digest: &str) -> Vec<Attached> {
    let odd = made(world, "vendor", OURS, &json!({ "extra": 1 }), digest);
    let other_bytes = Digest::of(b"something else").to_string();
    let over_others = made(world, "vendor", OURS, &json!({}), &other_bytes);
    let mut forged = made(world, "vendor", OURS, &json!({}), digest);
    forged["dsseEnvelope"]["signatures"] =
        provenance(world, "vendor", digest)["dsseEnvelope"]["signatures"].clone();
    const BUNDLE: &str = ".sigstore.json";
    vec![
        attached("a statement of another form", BUNDLE, text(&odd), "which Toolgate does not know"),
        attached("over other bytes", BUNDLE, text(&over_others), "is a signature over other bytes"),
        attached("a forged signature", BUNDLE, text(&forged), "is not a genuine signature"),
        attached("no JSON", BUNDLE, b"<html>not found</html>".to_vec(), "it is not JSON"),
        attached("nothing", BUNDLE, Vec::new(), "it is not JSON"),
        attached("a bundle without end", BUNDLE, vec![b' '; (1 << 20) + 1], "it has more than 1048576 bytes"),
        attached("cosign's detached signature", ".sig", b"MEUCIQD=".to_vec(), "is not a signature"),
        attached("a signature of another program", ".minisig", b"\x89PNG".to_vec(), "is not a signature"),
    ]
}

/// Manifest of an artefact with the shelf's component as its subject (OCI image specification 1.1).
pub fn referring(shelf: &Shelf, kind: Option<&str>, layers: &[(&str, &[u8])]) -> Value {
    let layers: Vec<Value> = layers.iter().map(|(kind, bytes)| descriptor(kind, bytes)).collect();
    let subject = descriptor(MANIFEST, &shelf.files[&format!("manifests/{}", shelf.manifest)].1);
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(EMPTY, b"{}"), "layers": layers, "subject": subject,
    });
    if let Some(kind) = kind {
        manifest["artifactType"] = kind.into();
    }
    manifest
}

/// Adds a manifest to a shelf; returns its descriptor without an artefact type.
pub fn shelve(shelf: &mut Shelf, manifest: &Value) -> Value {
    let bytes = manifest.to_string().into_bytes();
    shelf.put(&format!("manifests/{}", Digest::of(&bytes)), MANIFEST, bytes.clone());
    descriptor(MANIFEST, &bytes)
}

/// Adds a blob to a shelf.
pub fn shelve_blob(shelf: &mut Shelf, bytes: &[u8]) {
    shelf.put(&format!("blobs/{}", Digest::of(bytes)), "application/octet-stream", bytes.to_vec());
}

/// An index with these entries.
pub fn index(entries: &[Value]) -> Vec<u8> {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string().into_bytes()
}
