//! The manifests of artefacts, read and written: a component as the CNCF Wasm group lays one out (an image manifest, a Wasm
//! configuration, one layer), and beside it its signatures, each an artefact that names the component's as its subject.

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

/// The media type of an image manifest.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an index.
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
const WASM: &str = "application/wasm";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const TITLE: &str = "org.opencontainers.image.title";
/// Under which name a manifest stands in a layout.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Types of signatures by the endings of their files.
const KINDS: [(&str, &str); 3] = [
    (".sigstore.json", "application/vnd.dev.sigstore.bundle.v0.3+json"),
    (".sig", "application/vnd.toolgate.signature.ssh.v1"),
    (".minisig", "application/vnd.toolgate.signature.minisign.v1"),
];

/// The type of a root by which keyless signatures are verified.
const ROOT: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

/// What Sigstore's tools note of a bundle: the type of the statement in it.
pub(super) const PREDICATE_NOTE: &str = "dev.sigstore.bundle.predicateType";

/// What is noted of a signature: whom it names. Lists of attachments repeat it.
pub(super) const SIGNER_NOTE: &str = "vnd.toolgate.signer";

/// The configuration that says nothing.
pub(super) const NOTHING: &[u8] = b"{}";

/// What a component exports and imports, for those who look at its configuration.
#[derive(Debug, Clone, Default)]
pub struct ComponentInterfaces {
    /// What it exports.
    pub exports: Vec<String>,
    /// What it imports.
    pub imports: Vec<String>,
}

/// Why something is no artefact of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtefactError {
    /// Other bytes than those asked for.
    #[error("it has the digest {got}, and {wanted} was asked for")]
    OtherBytes {
        /// What came.
        got: Digest,
        /// What should have.
        wanted: Digest,
    },
    /// More or fewer bytes than it was said to have.
    #[error("it has {got} bytes, and {wanted} were announced")]
    OtherSize {
        /// What came.
        got: u64,
        /// What should have.
        wanted: u64,
    },
    /// It cannot be read.
    #[error("its manifest is not read: {0}")]
    Json(JsonError),
    /// It lacks something, or has it in another form.
    #[error("its manifest has no `{0}` that is read")]
    Lacks(&'static str),
    /// There are several artefacts.
    #[error("it is an index of several artefacts; name one by its digest")]
    Index,
    /// It is something else.
    #[error("it is of type `{0}`, which is not an image manifest")]
    Kind(String),
    /// It is no Wasm artefact.
    #[error("its configuration is of type `{0}`, and a component's is {WASM_CONFIG}")]
    Config(String),
    /// It has other layers.
    #[error("it has {0} layers, and one is read")]
    Layers(usize),
    /// Its layer is something else.
    #[error("its layer is of type `{0}`, and {1} is wanted")]
    Layer(String, String),
    /// It would have its bytes fetched from elsewhere.
    #[error("it has `urls`, which nobody follows")]
    Urls,
    /// Its layer is too large.
    #[error("its layer has {0} bytes; the limit is {1}")]
    Large(u64, u64),
    /// A signature is another's.
    #[error("its signature {0} is for another artefact")]
    Subject(Digest),
    /// It is no index, and stands where the list of signatures would.
    #[error("under the tag `{0}` is something else than a list of signatures; remove that tag")]
    Tag(String),
}

impl From<JsonError> for ArtefactError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// The digest of the component that a manifest names; none if it is no manifest of a component.
pub fn component_of(manifest: &[u8]) -> Option<Digest> {
    Some(ImageManifest::read(manifest).ok()?.component().ok()?.digest)
}

/// The manifest of a root, and how an index lists it.
pub(super) fn root_manifest(root: &[u8]) -> (Vec<u8>, Descriptor) {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ROOT,
        "config": Descriptor::of(EMPTY, NOTHING).written(),
        "layers": [Descriptor::of(ROOT, root).noting(TITLE, "trusted_root.json").written()],
    });
    let manifest = manifest.to_string().into_bytes();
    let listed = Descriptor { artifact_type: Some(ROOT.to_owned()), ..Descriptor::of(MANIFEST, &manifest) };
    (manifest, listed)
}

/// The configuration of a component. The same for the same component, so nobody made it at any time.
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

/// The manifest of a component.
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

/// The manifest of a signature, and how an index lists it. None for a file whose name is no signature's.
pub(super) fn signature_manifest(
    subject: &Descriptor,
    file_name: &str,
    signature: &[u8],
) -> Option<(Vec<u8>, Descriptor)> {
    let tail = name::tail(file_name)?;
    let (_, kind) = KINDS.iter().find(|(ending, _)| tail.ends_with(ending))?;
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": Descriptor::of(EMPTY, NOTHING).written(),
        "layers": [Descriptor::of(kind, signature).noting(TITLE, file_name).written()],
        "subject": subject.written(),
    });
    let file = SignatureFile { name: file_name.to_owned(), bytes: signature.to_vec() };
    let signer = toolgate_signature::read(&file).ok().and_then(|read| signer_note::of(&read.claim()));
    if let (Some(signer), Some(members)) = (&signer, manifest.as_object_mut()) {
        members.insert("annotations".to_owned(), json!({ SIGNER_NOTE: signer }));
    }
    let manifest = manifest.to_string().into_bytes();
    let mut listed =
        Descriptor { artifact_type: Some((*kind).to_owned()), ..Descriptor::of(MANIFEST, &manifest) };
    if let Some(signer) = &signer {
        listed = listed.noting(SIGNER_NOTE, signer);
    }
    Some((manifest, listed))
}

/// An index with further entries. What stands in it stays as it is, whoever wrote it.
///
/// # Errors
/// [`ArtefactError`] when it is none.
pub(super) fn index_with(index: &[u8], more: &[Descriptor]) -> Result<Vec<u8>, ArtefactError> {
    // One entry with the same digest and a wrong type must not keep the right one out.
    let there: Vec<Descriptor> = listed(index)?.into_iter().flatten().collect();
    // It was read strictly just now, so that this reads the same.
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

/// An index.
pub(super) fn index(listed: &[Descriptor]) -> Vec<u8> {
    let manifests: Vec<Value> = listed.iter().map(Descriptor::written).collect();
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string().into_bytes()
}

/// The tag under which registries without the referrers API list what refers to a manifest.
pub(super) fn fallback_tag(manifest: Digest) -> String {
    format!("sha256-{}", manifest.hex())
}
