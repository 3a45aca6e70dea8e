//! The manifests of artefacts, read and written: a component as the CNCF Wasm group lays one out (an image manifest, a Wasm
//! configuration, one layer), and beside it its signatures, each an artefact that names the component's as its subject.

use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_policy::limits::load::{
    COMPONENT_BYTES_MAX, CONFIG_BYTES_MAX, MANIFEST_BYTES_MAX, MANIFEST_NODES_MAX, SIGNATURES_MAX,
};
use toolgate_policy::redact::printable;

use crate::artifact::Artifact;
use crate::json::{Bounds, Json, JsonError};
use crate::signature::name;

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

/// The configuration that says nothing.
pub(super) const NOTHING: &[u8] = b"{}";

/// Something by type, digest and size.
#[derive(Debug, Clone)]
pub(super) struct Descriptor {
    /// What it is.
    pub(super) media_type: String,
    /// Its digest.
    pub(super) digest: Digest,
    /// Its bytes.
    pub(super) size: u64,
    /// What kind of artefact a manifest is of.
    artifact_type: Option<String>,
    annotations: Vec<(String, String)>,
}

/// What a component exports and imports, for those who look at its configuration.
#[derive(Debug, Clone, Default)]
pub struct Interfaces {
    /// What it exports.
    pub exports: Vec<String>,
    /// What it imports.
    pub imports: Vec<String>,
}

/// Why something is no artefact of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnArtefact {
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
    Json(#[from] JsonError),
    /// It lacks something, or has it in another form.
    #[error("its manifest has no `{0}` that is read")]
    Lacks(&'static str),
    /// There are several artefacts.
    #[error("it is an index of several artefacts; name one by its digest")]
    Index,
    /// It is something else.
    #[error("it is of type `{0}`, which is no image manifest")]
    Kind(String),
    /// It is no Wasm artefact.
    #[error("its configuration is of type `{0}`, and a component's is {WASM_CONFIG}")]
    Config(String),
    /// It has other layers.
    #[error("it has {0} layers, and a component has one")]
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
    /// There are more signatures than are looked at.
    #[error("it has more than {SIGNATURES_MAX} signatures")]
    Signatures,
}

impl Descriptor {
    /// Describes bytes.
    pub(super) fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            annotations: Vec::new(),
        }
    }

    /// The same with one annotation more.
    #[must_use]
    pub(super) fn noting(mut self, key: &str, value: &str) -> Self {
        self.annotations.push((key.to_owned(), value.to_owned()));
        self
    }

    /// An annotation.
    pub(super) fn note(&self, key: &str) -> Option<&str> {
        self.annotations.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_str())
    }

    /// The name of the file that it was, if it was said.
    pub(super) fn title(&self) -> Option<&str> {
        self.note(TITLE)
    }

    /// The ending of the signature that a manifest is said to be of.
    pub(super) fn ending(&self) -> Option<&'static str> {
        ending_of(self.artifact_type.as_deref()?)
    }

    fn read(json: &Json) -> Result<Self, NotAnArtefact> {
        if json.get("urls").is_some() {
            return Err(NotAnArtefact::Urls);
        }
        let text = |key| json.get(key).and_then(Json::as_str);
        let size = match json.get("size") {
            Some(Json::Integer(size)) => u64::try_from(*size).ok(),
            _ => None,
        };
        let annotations = match json.get("annotations") {
            Some(Json::Object(members)) => {
                let texts = members.iter().filter_map(|(key, value)| Some((key, value.as_str()?)));
                texts.map(|(key, value)| (key.clone(), value.to_owned())).collect()
            }
            _ => Vec::new(),
        };
        Ok(Self {
            media_type: text("mediaType").ok_or(NotAnArtefact::Lacks("mediaType"))?.to_owned(),
            digest: text("digest")
                .and_then(|digest| digest.parse().ok())
                .ok_or(NotAnArtefact::Lacks("digest"))?,
            size: size.ok_or(NotAnArtefact::Lacks("size"))?,
            artifact_type: text("artifactType").map(str::to_owned),
            annotations,
        })
    }

    fn written(&self) -> Value {
        let mut value =
            json!({ "mediaType": self.media_type, "digest": self.digest.to_string(), "size": self.size });
        if let Some(members) = value.as_object_mut() {
            if let Some(kind) = &self.artifact_type {
                members.insert("artifactType".to_owned(), kind.as_str().into());
            }
            if !self.annotations.is_empty() {
                let notes = self.annotations.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
                members.insert("annotations".to_owned(), Value::Object(notes.collect()));
            }
        }
        value
    }
}

/// Bytes that are those described, or a reason why not.
pub(super) fn checked(bytes: Vec<u8>, wanted: &Descriptor) -> Result<Artifact, NotAnArtefact> {
    let got = bytes.len() as u64;
    if got != wanted.size {
        return Err(NotAnArtefact::OtherSize { got, wanted: wanted.size });
    }
    same(bytes, wanted.digest)
}

/// The same where only the digest is known.
pub(super) fn same(bytes: Vec<u8>, wanted: Digest) -> Result<Artifact, NotAnArtefact> {
    let artifact = Artifact::of(bytes);
    match artifact.digest() == wanted {
        true => Ok(artifact),
        false => Err(NotAnArtefact::OtherBytes { got: artifact.digest(), wanted }),
    }
}

/// The layer of a component's manifest, which holds the component.
pub(super) fn component(manifest: &[u8]) -> Result<Descriptor, NotAnArtefact> {
    let manifest = image(manifest)?;
    let config = Descriptor::read(manifest.get("config").ok_or(NotAnArtefact::Lacks("config"))?)?;
    if config.media_type != WASM_CONFIG {
        return Err(NotAnArtefact::Config(printable(&config.media_type, 100)));
    }
    only_layer(&manifest, WASM, COMPONENT_BYTES_MAX)
}

/// The layer of a signature's manifest, which holds the signature, and the ending of its file's name. None when it turns out
/// to be something else that was listed without its type.
pub(super) fn signature(
    manifest: &[u8],
    described: &Descriptor,
    subject: Digest,
) -> Result<Option<(Descriptor, &'static str)>, NotAnArtefact> {
    let manifest = image(manifest)?;
    let own = manifest.get("artifactType").and_then(Json::as_str).and_then(ending_of);
    let Some(ending) = described.ending().or(own) else { return Ok(None) };
    let about = manifest.get("subject").map(Descriptor::read).transpose()?;
    if about.map(|about| about.digest) != Some(subject) {
        return Err(NotAnArtefact::Subject(described.digest));
    }
    let kind = KINDS.iter().find(|(other, _)| *other == ending).map_or("", |(_, kind)| kind);
    let bytes_max = name::form(ending).map_or(0, |(_, bytes_max)| bytes_max);
    Ok(Some((only_layer(&manifest, kind, bytes_max)?, ending)))
}

/// The layer of a root's manifest; none when it is something else's.
pub(super) fn root(manifest: &[u8]) -> Result<Option<Descriptor>, NotAnArtefact> {
    let manifest = image(manifest)?;
    match manifest.get("artifactType").and_then(Json::as_str) {
        Some(ROOT) => only_layer(&manifest, ROOT, CONFIG_BYTES_MAX).map(Some),
        Some(_) | None => Ok(None),
    }
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

/// Whether a manifest is about another: a component is about none.
pub(super) fn has_subject(manifest: &[u8]) -> Result<bool, NotAnArtefact> {
    Ok(image(manifest)?.get("subject").is_some())
}

/// What may be a signature of a form that is read, of what an index lists. Tools that copy indices drop the types.
pub(super) fn signatures(index: &[u8]) -> Result<Vec<Descriptor>, NotAnArtefact> {
    let mut all = listed(index)?;
    all.retain(|one| one.media_type == MANIFEST && (one.artifact_type.is_none() || one.ending().is_some()));
    all.sort_by_key(|descriptor| descriptor.digest);
    all.dedup_by_key(|descriptor| descriptor.digest);
    if all.len() > SIGNATURES_MAX {
        return Err(NotAnArtefact::Signatures);
    }
    Ok(all)
}

/// Everything that an index lists.
pub(super) fn listed(index: &[u8]) -> Result<Vec<Descriptor>, NotAnArtefact> {
    let index = parse(index)?;
    match index.get("manifests") {
        Some(Json::Array(manifests)) => manifests.iter().map(Descriptor::read).collect(),
        _ => Err(NotAnArtefact::Lacks("manifests")),
    }
}

/// The configuration of a component. The same for the same component, so nobody made it at any time.
pub(super) fn config(component: Digest, interfaces: &Interfaces) -> Vec<u8> {
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
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": Descriptor::of(EMPTY, NOTHING).written(),
        "layers": [Descriptor::of(kind, signature).noting(TITLE, file_name).written()],
        "subject": subject.written(),
    });
    let manifest = manifest.to_string().into_bytes();
    let listed =
        Descriptor { artifact_type: Some((*kind).to_owned()), ..Descriptor::of(MANIFEST, &manifest) };
    Some((manifest, listed))
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

fn ending_of(kind: &str) -> Option<&'static str> {
    let (ending, _) = KINDS.iter().find(|(_, other)| *other == kind)?;
    name::form(ending).map(|_| *ending)
}

fn only_layer(manifest: &Json, kind: &str, bytes_max: u64) -> Result<Descriptor, NotAnArtefact> {
    let Some(Json::Array(layers)) = manifest.get("layers") else {
        return Err(NotAnArtefact::Lacks("layers"));
    };
    let [layer] = layers.as_slice() else { return Err(NotAnArtefact::Layers(layers.len())) };
    let layer = Descriptor::read(layer)?;
    if layer.media_type != kind {
        return Err(NotAnArtefact::Layer(printable(&layer.media_type, 100), kind.to_owned()));
    }
    match layer.size <= bytes_max {
        true => Ok(layer),
        false => Err(NotAnArtefact::Large(layer.size, bytes_max)),
    }
}

fn image(manifest: &[u8]) -> Result<Json, NotAnArtefact> {
    let manifest = parse(manifest)?;
    if manifest.get("manifests").is_some() {
        return Err(NotAnArtefact::Index);
    }
    match manifest.get("mediaType") {
        None => Ok(manifest),
        Some(Json::String(kind)) if kind == MANIFEST => Ok(manifest),
        Some(Json::String(kind)) if kind == INDEX => Err(NotAnArtefact::Index),
        Some(Json::String(kind)) => Err(NotAnArtefact::Kind(printable(kind, 100))),
        Some(_) => Err(NotAnArtefact::Lacks("mediaType")),
    }
}

fn parse(text: &[u8]) -> Result<Json, NotAnArtefact> {
    let bounds = Bounds {
        bytes_max: usize::try_from(MANIFEST_BYTES_MAX).unwrap_or(usize::MAX),
        depth_max: 16,
        nodes_max: MANIFEST_NODES_MAX,
    };
    let json = Json::parse(text, bounds)?;
    match json.get("schemaVersion") {
        Some(Json::Integer(2)) => Ok(json),
        _ => Err(NotAnArtefact::Lacks("schemaVersion 2")),
    }
}
