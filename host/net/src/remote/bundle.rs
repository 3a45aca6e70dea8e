//! Components and their signatures in one OCI image layout, a folder or a tar, for use without a registry. Content is
//! checked as a registry's is, and nothing outside the layout is opened. Manifests are read once, on opening; blobs on
//! request. Repeated references therefore cost neither work nor memory.

mod place;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use toolgate_base::artifact::{Artifact, TooLargeError};
use toolgate_policy::Digest;
use toolgate_policy::limits::load::{
    ARTEFACT_CONFIG_BYTES_MAX, ATTACHED_MAX, ATTACHED_READ_BYTES_MAX, ATTACHED_READ_MAX, BUNDLE_BYTES_MAX,
    BUNDLE_FILES_MAX, BUNDLE_MANIFEST_BYTES_MAX, COMPONENT_BYTES_MAX, MANIFEST_BYTES_MAX,
};
use toolgate_signature::anchor::Anchor;
pub use toolgate_signature::choose::{self, FileNaming, choose};
use toolgate_signature::{SignatureFile, Unread};

use super::artefact::{
    self, ArtefactError, Attached, Descriptor, INDEX, ImageManifest, MANIFEST, REF_NAME, Says,
};
use super::attached::order::Layers;
use place::Files;

pub use write::write;

/// A component of a bundle, with its attachments.
pub struct Item {
    /// Name in the bundle.
    pub name: String,
    /// Content of the component.
    pub artifact: Artifact,
    /// Signature files.
    pub signatures: Vec<SignatureFile>,
    /// Other attachments, which were not read.
    pub unread: Vec<Unread>,
}

/// An entry for a component.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Name, chosen by the creator of the bundle.
    pub name: String,
    /// SHA-256 of the component.
    pub digest: Digest,
    layer: Descriptor,
    manifest: Digest,
}

/// An attachment, by the digest of its manifest.
type Named = (String, Result<Attached, ArtefactError>);

/// An open bundle.
pub struct PluginBundle {
    files: Files,
    components: Vec<Listed>,
    /// Attachments by the manifest of their subject.
    attached: BTreeMap<Digest, Vec<Named>>,
    /// Listed attachments that are missing or unreadable.
    lost: Vec<Unread>,
    root: Option<Descriptor>,
    last: Option<Artifact>,
}

/// A bundle cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// I/O error.
    #[error("use {0}")]
    Io(PathBuf, #[source] io::Error),
    /// The destination exists.
    #[error("write {0}: something is there already; remove it, or write elsewhere")]
    Exists(PathBuf),
    /// The bundle cannot be opened.
    #[error("open {0}")]
    Open(PathBuf, #[source] io::Error),
    /// The file is truncated.
    #[error("read {0}: it is cut off; copy it once more")]
    CutOff(PathBuf),
    /// An entry is too large.
    #[error("read `{0}` of the bundle")]
    TooLargeError(String, #[source] TooLargeError),
    /// An entry is missing, is not a plain file, or leads outside.
    #[error("read `{0}` of the bundle: {1}")]
    Entry(String, &'static str),
    /// The bundle exceeds its limits.
    #[error(
        "read the bundle: it has more than {BUNDLE_FILES_MAX} files or manifests, {BUNDLE_BYTES_MAX} bytes in all, or \
         {BUNDLE_MANIFEST_BYTES_MAX} bytes of manifests"
    )]
    Large,
    /// A manifest or index is not acceptable.
    #[error("read the bundle")]
    Artefact(#[from] ArtefactError),
    /// The layout's version is not 1.0.0.
    #[error("read the bundle: it is not an OCI image layout of version 1.0.0")]
    Layout,
    /// The bundle to be written has more files than can be read back.
    #[error("write the bundle: it would have {0} files; {BUNDLE_FILES_MAX} are read at the most")]
    Files(usize),
}

/// Opens a bundle and reads its manifests. Nothing about its components is trusted but their digests.
pub fn open(from: &Path) -> Result<PluginBundle, BundleError> {
    let mut files = Files::open(from)?;
    let marker = files.get("oci-layout", ARTEFACT_CONFIG_BYTES_MAX)?;
    if !String::from_utf8_lossy(marker.bytes()).contains(r#""1.0.0""#) {
        return Err(BundleError::Layout);
    }
    let mut manifests = Manifests { files: &mut files, left: BUNDLE_MANIFEST_BYTES_MAX, last: None };
    let listed = manifests.listed()?;
    let (mut components, mut attached, mut root) = (Vec::new(), BTreeMap::<_, Vec<_>>::new(), None);
    let mut lost = Vec::new();
    for (described, nested) in listed {
        let read = manifests.read(&described).and_then(|bytes| {
            let manifest = ImageManifest::read(bytes.bytes())?;
            let subject = manifest.subject()?;
            match subject {
                // A component or root in a nested index may be an attachment by anybody.
                None if nested => Err(ArtefactError::Lacks("subject").into()),
                subject => Ok((manifest, subject)),
            }
        });
        let (manifest, subject) = match read {
            Ok(read) => read,
            // An entry of the list of attachments may be anybody's, and must not block a component.
            Err(error) if nested => {
                lost.push(Unread::because(&described.digest.to_string(), &error));
                lost.truncate(ATTACHED_MAX);
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Some(subject) = subject {
            let form = manifest.attached(described.kind());
            attached.entry(subject).or_default().push((described.digest.to_string(), form));
        } else if let Some(layer) = manifest.root()? {
            root = Some(layer);
        } else {
            components.push(component(&described, &manifest)?);
        }
    }
    // Sorted, so that the bytes of a component that is listed twice are read once.
    components.sort_by(|a, b| (a.digest, &a.name).cmp(&(b.digest, &b.name)));
    Ok(PluginBundle { files, components, attached, lost, root, last: None })
}

fn component(described: &Descriptor, manifest: &ImageManifest) -> Result<Listed, BundleError> {
    let layer = manifest.component()?;
    let title = layer.title().and_then(|title| title.strip_suffix(".wasm"));
    let name = title.or_else(|| described.note(REF_NAME)).unwrap_or("component").to_owned();
    Ok(Listed { name, digest: layer.digest, layer, manifest: described.digest })
}

/// Reads each manifest and index of a bundle once.
struct Manifests<'a> {
    files: &'a mut Files,
    /// Bytes of manifests that may still be read.
    left: u64,
    /// Last content read, by its expected digest: one manifest may be listed with several sizes and types.
    last: Option<(Digest, Artifact)>,
}

impl Manifests<'_> {
    /// Listed manifests by digest, each with true if only a nested index lists it (the bundle's substitute for a
    /// referrers list). Nested entries occur once per size and type: a wrong one that anybody added hides no right one.
    fn listed(&mut self) -> Result<Vec<(Descriptor, bool)>, BundleError> {
        let index = self.files.get("index.json", MANIFEST_BYTES_MAX.min(self.left))?;
        self.left -= index.bytes().len() as u64;
        let mut all = BTreeMap::new();
        let mut indices = BTreeMap::new();
        for one in artefact::listed(index.bytes())? {
            let one = one?;
            match one.media_type.as_str() {
                MANIFEST => drop(all.insert(one.digest, (one, false))),
                INDEX => drop(indices.insert(one.digest, one)),
                _ => {}
            }
            if all.len() + indices.len() > BUNDLE_FILES_MAX {
                return Err(BundleError::Large);
            }
        }
        let mut within: BTreeMap<(Digest, u64, Says), Descriptor> = BTreeMap::new();
        for index in indices.values() {
            let bytes = self.read(index)?;
            for one in artefact::listed(bytes.bytes())?
                .into_iter()
                .flatten()
                .filter(|one| one.media_type == MANIFEST && !all.contains_key(&one.digest))
            {
                within.insert((one.digest, one.size, artefact::says(one.kind())), one);
                if all.len() + within.len() > BUNDLE_FILES_MAX {
                    return Err(BundleError::Large);
                }
            }
        }
        Ok(all.into_values().chain(within.into_values().map(|one| (one, true))).collect())
    }

    fn read(&mut self, described: &Descriptor) -> Result<Artifact, BundleError> {
        if described.size > self.left {
            return Err(BundleError::Large);
        }
        let read = match self.last.take().filter(|(digest, _)| *digest == described.digest) {
            Some((_, read)) => read,
            None => {
                let read = self.files.get(&blob_path(described.digest), MANIFEST_BYTES_MAX.min(self.left))?;
                self.left -= read.bytes().len() as u64;
                read
            }
        };
        self.last = Some((described.digest, read.clone()));
        Ok(artefact::checked(read, described)?)
    }
}

impl PluginBundle {
    /// The listed components.
    pub fn components(&self) -> &[Listed] {
        &self.components
    }

    /// A component with its signatures. Beyond the limit, signatures that name one of `signers` come first.
    pub fn item(&mut self, listed: &Listed, signers: &[Anchor]) -> Result<Item, BundleError> {
        let artifact = match self.last.take().filter(|last| last.digest() == listed.digest) {
            Some(artifact) => artifact,
            None => self.files.blob(&listed.layer, COMPONENT_BYTES_MAX)?,
        };
        self.last = Some(artifact.clone());
        let (layers, mut unread) = self.layers_of(listed);
        unread.extend(self.lost.iter().cloned());
        let mut files = Vec::new();
        let (layers, not_seen) = layers.affordable(ATTACHED_READ_MAX, ATTACHED_READ_BYTES_MAX);
        for layer in layers {
            match self.files.blob(&layer.described, layer.described.size) {
                Ok(file) => files.push(layer.file(&file)),
                Err(error @ BundleError::Large) => return Err(error),
                Err(error) => unread.push(Unread::because(&layer.name, &error)),
            }
        }
        let (signatures, beyond) = choose(files, signers, FileNaming::Free);
        unread.extend(beyond);
        let unread = choose::listed(unread, not_seen.len(), &listed.digest.to_string());
        Ok(Item { name: listed.name.clone(), artifact, signatures, unread })
    }

    /// Signature layers attached to a component, and its other attachments.
    fn layers_of(&self, listed: &Listed) -> (Layers, Vec<Unread>) {
        let (mut layers, mut unread) = (Layers::default(), Vec::new());
        for (name, attached) in self.attached.get(&listed.manifest).into_iter().flatten() {
            match attached {
                Ok(Attached::Signatures(attached)) => layers.add(name, attached.clone()),
                Ok(Attached::Other(kind)) => unread.push(Unread::of_type(name, kind)),
                Err(error) => unread.push(Unread::because(name, error)),
            }
        }
        (layers, unread)
    }

    /// Trusted root for its keyless signatures. It proves nothing, since it came with what it would prove.
    pub fn root(&mut self) -> Result<Option<Artifact>, BundleError> {
        let Some(layer) = self.root.clone() else { return Ok(None) };
        self.files.blob(&layer, layer.size).map(Some)
    }
}

fn blob_path(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
