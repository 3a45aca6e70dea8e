//! Descriptors: content by media type, digest and size, as manifests and indices refer to it.

use serde_json::{Value, json};
use toolgate_base::artifact::Artifact;
use toolgate_base::json::Json;
use toolgate_policy::Digest;

use super::{ArtefactError, PREDICATE_NOTE, REF_NAME, SIGNER_NOTE, TITLE};

/// Annotations that are read. Others are ignored.
const NOTES: [&str; 4] = [TITLE, REF_NAME, PREDICATE_NOTE, SIGNER_NOTE];

/// An OCI descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::remote) struct Descriptor {
    /// Media type.
    pub(in crate::remote) media_type: String,
    /// SHA-256 of the content.
    pub(in crate::remote) digest: Digest,
    /// Size in bytes.
    pub(in crate::remote) size: u64,
    /// Artefact type of a manifest.
    pub(super) artifact_type: Option<String>,
    pub(super) annotations: Vec<(String, String)>,
}

impl Descriptor {
    /// Describes bytes.
    pub(in crate::remote) fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            annotations: Vec::new(),
        }
    }

    /// Adds an annotation.
    #[must_use]
    pub(in crate::remote) fn noting(mut self, key: &str, value: &str) -> Self {
        self.annotations.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Declared artefact type of a manifest.
    pub(in crate::remote) fn kind(&self) -> Option<&str> {
        self.artifact_type.as_deref()
    }

    /// Value of an annotation.
    pub(in crate::remote) fn note(&self, key: &str) -> Option<&str> {
        self.annotations.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_str())
    }

    /// Declared file name.
    pub(in crate::remote) fn title(&self) -> Option<&str> {
        self.note(TITLE)
    }

    pub(super) fn read(json: &Json) -> Result<Self, ArtefactError> {
        if json.get("urls").is_some() {
            return Err(ArtefactError::Urls);
        }
        let text = |key| json.get(key).and_then(Json::as_str);
        let size = match json.get("size") {
            Some(Json::Integer(size)) => u64::try_from(*size).ok(),
            _ => None,
        };
        let annotations = match json.get("annotations") {
            Some(Json::Object(members)) => {
                let known = members.iter().filter(|(key, _)| NOTES.contains(&key.as_str()));
                let texts = known.filter_map(|(key, value)| Some((key, value.as_str()?)));
                texts.map(|(key, value)| (key.clone(), value.to_owned())).collect()
            }
            _ => Vec::new(),
        };
        Ok(Self {
            media_type: text("mediaType").ok_or(ArtefactError::Lacks("mediaType"))?.to_owned(),
            digest: text("digest")
                .and_then(|digest| digest.parse().ok())
                .ok_or(ArtefactError::Lacks("digest"))?,
            size: size.ok_or(ArtefactError::Lacks("size"))?,
            artifact_type: text("artifactType").map(str::to_owned),
            annotations,
        })
    }

    pub(super) fn written(&self) -> Value {
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

/// Checks that an artifact has the size and digest of its descriptor.
pub(in crate::remote) fn checked(artifact: Artifact, wanted: &Descriptor) -> Result<Artifact, ArtefactError> {
    let got = artifact.bytes().len() as u64;
    if got != wanted.size {
        return Err(ArtefactError::OtherSize { got, wanted: wanted.size });
    }
    match artifact.digest() == wanted.digest {
        true => Ok(artifact),
        false => Err(ArtefactError::OtherBytes { got: artifact.digest(), wanted: wanted.digest }),
    }
}
