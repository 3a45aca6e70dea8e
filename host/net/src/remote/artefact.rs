//! Reads and writes artefact manifests. A component is laid out as the CNCF Wasm group defines it: an image manifest, a
//! Wasm configuration, one layer. Its signatures are artefacts with that manifest as their subject.

mod descriptor;
mod manifest;
mod signer_note;

use serde_json::{Value, json};
use toolgate_base::artifact::Artifact;
use toolgate_base::json::JsonError;
use toolgate_policy::Digest;
use toolgate_signature::{SignatureFile, name};

pub(super) use descriptor::{Descriptor, checked};
pub(super) use manifest::{Attached, ImageManifest, Says, listed, says};
pub(super) use signer_note::named;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
const WASM: &str = "application/wasm";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const TITLE: &str = "org.opencontainers.image.title";
/// Annotation for the name of a manifest in a layout.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Artefact types of signatures by file ending.
const KINDS: [(&str, &str); 3] = [
    (".sigstore.json", "application/vnd.dev.sigstore.bundle.v0.3+json"),
    (".sig", "application/vnd.toolgate.signature.ssh.v1"),
    (".minisig", "application/vnd.toolgate.signature.minisign.v1"),
];

/// Artefact type of a trusted root for keyless signatures.
const ROOT: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

/// Annotation by Sigstore's tools: predicate type of the statement in a bundle.
pub(super) const PREDICATE_NOTE: &str = "dev.sigstore.bundle.predicateType";

/// Annotation for the signer that a signature names. Indices repeat it.
pub(super) const SIGNER_NOTE: &str = "vnd.toolgate.signer";

/// The empty configuration.
pub(super) const NOTHING: &[u8] = b"{}";

/// Exports and imports of a component, for its configuration.
#[derive(Debug, Clone, Default)]
pub struct ComponentInterfaces {
    /// Names of exports.
    pub exports: Vec<String>,
    /// Names of imports.
    pub imports: Vec<String>,
}

/// An artefact that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtefactError {
    /// The digest differs from the requested one.
    #[error("it has the digest {got}, and {wanted} was asked for")]
    OtherBytes {
        /// Actual digest.
        got: Digest,
        /// Requested digest.
        wanted: Digest,
    },
    /// The size differs from the announced one.
    #[error("it has {got} bytes, and {wanted} were announced")]
    OtherSize {
        /// Actual size.
        got: u64,
        /// Announced size.
        wanted: u64,
    },
    /// The JSON is malformed.
    #[error("its manifest is not read: {0}")]
    Json(JsonError),
    /// A member is missing or malformed.
    #[error("its manifest has no `{0}` that is read")]
    Lacks(&'static str),
    /// An index instead of a manifest.
    #[error("it is an index of several artefacts; name one by its digest")]
    Index,
    /// Another media type than an image manifest.
    #[error("it is of type `{0}`, which is not an image manifest")]
    Kind(String),
    /// The configuration is not that of a Wasm component.
    #[error("its configuration is of type `{0}`, and a component's is {WASM_CONFIG}")]
    Config(String),
    /// The number of layers is not one.
    #[error("it has {0} layers, and one is read")]
    Layers(usize),
    /// The layer has another media type.
    #[error("its layer is of type `{0}`, and {1} is wanted")]
    Layer(String, String),
    /// A descriptor has `urls`, which would redirect the download.
    #[error("it has `urls`, which nobody follows")]
    Urls,
    /// The layer is too large.
    #[error("its layer has {0} bytes; the limit is {1}")]
    Large(u64, u64),
    /// A signature has another subject.
    #[error("its signature {0} is for another artefact")]
    Subject(Digest),
    /// The fallback tag for referrers is not an index.
    #[error("under the tag `{0}` is something else than a list of signatures; remove that tag")]
    Tag(String),
}

/// Digest of the component in a manifest; `None` if it is not a component's manifest.
pub fn component_of(manifest: &[u8]) -> Option<Digest> {
    Some(ImageManifest::read(manifest).ok()?.component().ok()?.digest)
}

/// Manifest of a trusted root, and its descriptor for an index.
pub(super) fn root_manifest(root: &[u8]) -> (Vec<u8>, Descriptor) {
    attachment(ROOT, root, "trusted_root.json", [])
}

/// Manifest of one file of this type with further members, and its descriptor for an index.
fn attachment(
    kind: &str,
    file: &[u8],
    title: &str,
    more: impl IntoIterator<Item = (String, Value)>,
) -> (Vec<u8>, Descriptor) {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": Descriptor::of(EMPTY, NOTHING).written(),
        "layers": [Descriptor::of(kind, file).noting(TITLE, title).written()],
    });
    if let Some(members) = manifest.as_object_mut() {
        members.extend(more);
    }
    let manifest = manifest.to_string().into_bytes();
    let listed = Descriptor { artifact_type: Some(kind.to_owned()), ..Descriptor::of(MANIFEST, &manifest) };
    (manifest, listed)
}

/// Configuration of a component. Reproducible: equal components give equal bytes.
pub(super) fn config(component: Digest, interfaces: &ComponentInterfaces) -> Vec<u8> {
    let config = json!({
        "created": "1970-01-01T00:00:00Z",
        "author": null,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [component.to_string()],
        "component": { "exports": interfaces.exports, "imports": interfaces.imports, "target": null },
    });
    config.to_string().into_bytes()
}

pub(super) fn component_manifest(config: &[u8], component: &Artifact, title: &str) -> Vec<u8> {
    let layer = Descriptor::of(WASM, component.bytes()).noting(TITLE, title);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": Descriptor::of(WASM_CONFIG, config).written(),
        "layers": [layer.written()],
    });
    manifest.to_string().into_bytes()
}

/// Manifest of a signature, and its descriptor for an index. `None` if the file name is not a signature's.
pub(super) fn signature_manifest(
    subject: &Descriptor,
    file_name: &str,
    signature: &[u8],
) -> Option<(Vec<u8>, Descriptor)> {
    let tail = name::tail(file_name)?;
    let (_, kind) = KINDS.iter().find(|(ending, _)| tail.ends_with(ending))?;
    let file = SignatureFile { name: file_name.to_owned(), bytes: signature.to_vec() };
    let signer = toolgate_signature::read(&file).ok().and_then(|read| signer_note::of(&read.claim()));
    let note = signer.as_ref().map(|signer| ("annotations".to_owned(), json!({ SIGNER_NOTE: signer })));
    let more = [("subject".to_owned(), subject.written())].into_iter().chain(note);
    let (manifest, listed) = attachment(kind, signature, file_name, more);
    Some(match &signer {
        Some(signer) => (manifest, listed.noting(SIGNER_NOTE, signer)),
        None => (manifest, listed),
    })
}

/// Appends entries to an index, keeping existing ones unchanged.
pub(super) fn index_with(index: &[u8], more: &[Descriptor]) -> Result<Vec<u8>, ArtefactError> {
    // Whole entries are compared: one with the same digest and a wrong type must not keep the right one out.
    let there: Vec<Descriptor> = listed(index)?.into_iter().flatten().collect();
    // `listed` parsed it strictly just now, so both parsers read the same.
    let malformed = |error: serde_json::Error| ArtefactError::Json(JsonError::Malformed(error.to_string()));
    let mut value: Value = serde_json::from_slice(index).map_err(malformed)?;
    let entries = value.get_mut("manifests").ok_or(ArtefactError::Lacks("manifests"))?;
    if entries.is_null() {
        *entries = Value::Array(Vec::new());
    }
    let entries = entries.as_array_mut().ok_or(ArtefactError::Lacks("manifests"))?;
    entries.extend(more.iter().filter(|one| !there.contains(one)).map(Descriptor::written));
    Ok(value.to_string().into_bytes())
}

/// Encodes an index.
pub(super) fn index(listed: &[Descriptor]) -> Vec<u8> {
    let manifests: Vec<Value> = listed.iter().map(Descriptor::written).collect();
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string().into_bytes()
}

/// The fallback tag for the referrers of a manifest, used by registries without the referrers API.
pub(super) fn fallback_tag(manifest: Digest) -> String {
    format!("sha256-{}", manifest.hex())
}
