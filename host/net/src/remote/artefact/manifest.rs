//! Parsing of manifests and indices: the component that one holds, or the attachments that it contains.

use toolgate_base::json::{Json, JsonLimits};
use toolgate_policy::Digest;
use toolgate_policy::limits::load::{
    ATTACHED_MAX, COMPONENT_BYTES_MAX, CONFIG_BYTES_MAX, MANIFEST_BYTES_MAX, MANIFEST_NODES_MAX,
};
use toolgate_policy::limits::size;
use toolgate_policy::redact::printable;
use toolgate_signature::name;

use super::{ArtefactError, Descriptor, EMPTY, INDEX, KINDS, MANIFEST, ROOT, WASM, WASM_CONFIG};

pub(in crate::remote) struct ImageManifest(Json);

/// Content of an attachment.
#[derive(Debug)]
pub(in crate::remote) enum Attached {
    /// Signatures in known formats: layer and file ending of each.
    Signatures(Vec<(Descriptor, &'static str)>),
    /// Another type of artefact.
    Other(String),
}

/// Meaning of an artefact's or layer's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::remote) enum Says {
    /// A signature in the format with this ending.
    Signature(&'static str),
    Other,
    /// Unknown: the type does not tell.
    Nothing,
}

impl ImageManifest {
    /// Parses an image manifest. Refuses an index and anything else.
    pub(in crate::remote) fn read(bytes: &[u8]) -> Result<Self, ArtefactError> {
        let manifest = parse(bytes)?;
        if manifest.get("manifests").is_some() {
            return Err(ArtefactError::Index);
        }
        match manifest.get("mediaType") {
            None => Ok(Self(manifest)),
            Some(Json::String(kind)) if kind == MANIFEST => Ok(Self(manifest)),
            Some(Json::String(kind)) if kind == INDEX => Err(ArtefactError::Index),
            Some(Json::String(kind)) => Err(ArtefactError::Kind(printable(kind, 100))),
            Some(_) => Err(ArtefactError::Lacks("mediaType")),
        }
    }

    /// Descriptor of the component's layer. Refuses anything but a component as the CNCF Wasm group lays one out.
    pub(in crate::remote) fn component(&self) -> Result<Descriptor, ArtefactError> {
        let config = Descriptor::read(self.0.get("config").ok_or(ArtefactError::Lacks("config"))?)?;
        if config.media_type != WASM_CONFIG {
            return Err(ArtefactError::Config(printable(&config.media_type, 100)));
        }
        self.only_layer_of(WASM, COMPONENT_BYTES_MAX)
    }

    /// Descriptor of the trusted root's layer, if this is the manifest of one.
    pub(in crate::remote) fn root(&self) -> Result<Option<Descriptor>, ArtefactError> {
        let is_root = self.text("artifactType") == Some(ROOT);
        is_root.then(|| self.only_layer_of(ROOT, CONFIG_BYTES_MAX)).transpose()
    }

    /// Subject of the manifest. A component's manifest has none.
    pub(in crate::remote) fn subject(&self) -> Result<Option<Digest>, ArtefactError> {
        let Some(subject) = self.0.get("subject") else { return Ok(None) };
        let digest = subject.get("digest").and_then(|digest| digest.as_str()?.parse().ok());
        digest.map(Some).ok_or(ArtefactError::Lacks("subject"))
    }

    /// Attachments in this manifest. Its own type takes precedence over its type in the index (`listed`), and that over
    /// the types of its layers, since tools omit one or the other.
    pub(in crate::remote) fn attached(&self, listed: Option<&str>) -> Result<Attached, ArtefactError> {
        let own = self.own_type();
        let declared = [own, listed].into_iter().map(says).find(|says| *says != Says::Nothing);
        if declared == Some(Says::Other) {
            return Ok(Attached::Other(self.kind(listed)));
        }
        let mut found = self.signatures()?;
        if found.is_empty() {
            // Only the artefact's type says that it is a signature.
            let Some(Says::Signature(ending)) = declared else {
                return Ok(Attached::Other(self.kind(listed)));
            };
            found.push((self.only_layer()?, ending));
        }
        all_bounded(found).map(Attached::Signatures)
    }

    /// Signatures among the layers, whatever the manifest's own type.
    pub(in crate::remote) fn layers_attached(&self) -> Result<Attached, ArtefactError> {
        match self.signatures()? {
            found if found.is_empty() => Ok(Attached::Other(self.kind(None))),
            found => all_bounded(found).map(Attached::Signatures),
        }
    }

    fn signatures(&self) -> Result<Vec<(Descriptor, &'static str)>, ArtefactError> {
        let layers = self.layers()?;
        if layers.len() > ATTACHED_MAX {
            return Err(ArtefactError::Layers(layers.len()));
        }
        let mut found = Vec::new();
        for layer in layers {
            let layer = Descriptor::read(layer)?;
            if let Says::Signature(ending) = says(Some(&layer.media_type)) {
                found.push((layer, ending));
            }
        }
        Ok(found)
    }

    /// Type for display.
    fn kind(&self, listed: Option<&str>) -> String {
        let layer = self.layers().ok().and_then(|layers| layers.first()?.get("mediaType")?.as_str());
        let types = [self.own_type(), listed, layer].into_iter().flatten();
        let kind = types.filter(|kind| says(Some(kind)) != Says::Nothing).find(|kind| !kind.is_empty());
        printable(kind.unwrap_or("unknown"), 100)
    }

    /// The artefact type, or the configuration's media type if there is none (OCI image specification, "Guidelines for
    /// Artifact Usage").
    fn own_type(&self) -> Option<&str> {
        let config = || self.0.get("config").and_then(|config| config.get("mediaType")?.as_str());
        self.text("artifactType").or_else(config)
    }

    fn layers(&self) -> Result<&[Json], ArtefactError> {
        match self.0.get("layers") {
            Some(Json::Array(layers)) => Ok(layers),
            _ => Err(ArtefactError::Lacks("layers")),
        }
    }

    fn only_layer(&self) -> Result<Descriptor, ArtefactError> {
        match self.layers()? {
            [layer] => Descriptor::read(layer),
            layers => Err(ArtefactError::Layers(layers.len())),
        }
    }

    fn only_layer_of(&self, kind: &str, bytes_max: u64) -> Result<Descriptor, ArtefactError> {
        let layer = self.only_layer()?;
        match layer.media_type == kind {
            true => bounded(layer, bytes_max),
            false => Err(ArtefactError::Layer(printable(&layer.media_type, 100), kind.to_owned())),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Json::as_str)
    }
}

/// Classifies the type of an artefact or layer. A missing type, and the defaults that tools write, tell nothing.
pub(in crate::remote) fn says(kind: Option<&str>) -> Says {
    const NO_TYPES: [&str; 6] = [
        "",
        EMPTY,
        MANIFEST,
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.unknown.config.v1+json",
        "application/vnd.unknown.artifact.v1",
    ];
    const BUNDLES: &str = "application/vnd.dev.sigstore.bundle";
    let Some(kind) = kind.filter(|kind| !NO_TYPES.contains(kind)) else { return Says::Nothing };
    let known = KINDS.iter().find(|(_, other)| *other == kind).map(|(ending, _)| *ending);
    // Any version: its content is parsed just as strictly.
    let bundle = kind.starts_with(BUNDLES).then_some(".sigstore.json");
    known.or(bundle).map_or(Says::Other, Says::Signature)
}

/// All entries of an index in order, with errors for malformed ones, which do not keep the others from being read.
pub(in crate::remote) fn listed(
    index: &[u8],
) -> Result<Vec<Result<Descriptor, ArtefactError>>, ArtefactError> {
    let index = parse(index)?;
    match index.get("manifests") {
        Some(Json::Array(manifests)) => Ok(manifests.iter().map(Descriptor::read).collect()),
        // Some languages write an empty list as `null`.
        Some(Json::Null) => Ok(Vec::new()),
        _ => Err(ArtefactError::Lacks("manifests")),
    }
}

/// Checks that no layer exceeds the size limit of its signature format.
fn all_bounded(
    layers: Vec<(Descriptor, &'static str)>,
) -> Result<Vec<(Descriptor, &'static str)>, ArtefactError> {
    let bounded = layers.into_iter().map(|(layer, ending)| {
        let bytes_max = name::form(ending).map_or(0, |(_, bytes_max)| bytes_max);
        Ok((bounded(layer, bytes_max)?, ending))
    });
    bounded.collect()
}

fn bounded(layer: Descriptor, bytes_max: u64) -> Result<Descriptor, ArtefactError> {
    if layer.size <= bytes_max { Ok(layer) } else { Err(ArtefactError::Large(layer.size, bytes_max)) }
}

fn parse(text: &[u8]) -> Result<Json, ArtefactError> {
    let bounds =
        JsonLimits { bytes_max: size(MANIFEST_BYTES_MAX), depth_max: 16, nodes_max: MANIFEST_NODES_MAX };
    let json = Json::parse(text, bounds).map_err(ArtefactError::Json)?;
    match json.get("schemaVersion") {
        Some(Json::Integer(2)) => Ok(json),
        _ => Err(ArtefactError::Lacks("schemaVersion 2")),
    }
}
