//! Where plugins come from. Bytes and the signatures found beside them; nothing is believed about either but that they are the
//! ones that were asked for.

mod file;
mod https;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use toolgate_base::artifact::Artifact;
use toolgate_base::outcome::with_causes;
use toolgate_base::spec::Source;
use toolgate_net::remote::{FetchError, Fetcher, Pulled};
use toolgate_policy::Digest;
use toolgate_signature::anchor::SignerHint;
use toolgate_signature::{SignatureFile, Unread, name};
use toolgate_state::blobs::BlobStore;

use crate::services::Services;
pub use file::{FileError, component_of, folder, read_regular, signature_names};

/// What was found.
#[derive(Clone)]
pub struct Found {
    /// The plugin's bytes.
    pub artifact: Artifact,
    /// The signature files beside them.
    pub signatures: Vec<SignatureFile>,
    /// What else is beside them, and was not read.
    pub unread: Vec<Unread>,
    /// Where was looked, where that is not plain from where the bytes are.
    pub looked: Vec<String>,
    /// The manifest that names the bytes, if they come from a registry.
    pub manifest: Option<Artifact>,
}

impl Found {
    /// Bytes with signatures beside them and nothing else.
    pub fn new(artifact: Artifact, signatures: Vec<SignatureFile>) -> Self {
        Self { artifact, signatures, unread: Vec::new(), looked: Vec::new(), manifest: None }
    }
}

/// Paths on this machine at which a change of the plugin shows, whether they exist or not.
pub fn watched(source: &Source) -> Vec<PathBuf> {
    let file = match source {
        Source::File(path) => path.clone(),
        Source::Within { folder, name } => folder.join(name),
        Source::Https { remote, .. } | Source::Oci { remote, .. } => {
            return remote.ca.iter().cloned().collect();
        }
    };
    let signatures =
        name::ENDINGS.iter().map(|(ending, ..)| PathBuf::from(format!("{}{ending}", file.display())));
    signatures.chain([file.clone()]).collect()
}

/// What plugins are fetched with: the way to what lies elsewhere, and what was fetched before.
pub struct Sources {
    fetcher: Fetcher,
    kept: Option<Arc<BlobStore>>,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No file was.
    #[error(transparent)]
    File(#[from] FileError),
    /// It lies elsewhere and did not arrive.
    #[error(transparent)]
    Fetcher(#[from] FetchError),
    /// What arrived is something else.
    #[error("use {from}: it has the digest {got}, and the configuration pins {wanted}")]
    OtherBytes {
        /// Where it came from.
        from: String,
        /// What it is.
        got: Digest,
        /// What was wanted.
        wanted: Digest,
    },
}

impl SourceError {
    /// Whether there was nothing to be had, rather than something that is not taken.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::File(error) => error.is_absence(),
            Self::Fetcher(error) => error.is_absence(),
            Self::OtherBytes { .. } => false,
        }
    }
}

impl Sources {
    /// Fetches by this way, and keeps nothing.
    pub fn new(fetcher: Fetcher) -> Self {
        Self { fetcher, kept: None }
    }

    /// The same, keeping what proved to be trusted.
    pub(crate) fn of(services: &Services) -> Self {
        Self { fetcher: services.fetcher.clone(), kept: Some(Arc::clone(&services.kept)) }
    }

    /// The same way, until it is called off.
    pub(crate) fn until(self, off: CancellationToken) -> Self {
        Self { fetcher: self.fetcher.until(off), ..self }
    }

    /// Fetches a plugin with what is beside it; of more than is looked at first what names one of these signers.
    ///
    /// # Errors
    /// [`SourceError`]; also when it is not what `pin` says.
    pub fn fetch(
        &self,
        source: &Source,
        pin: Option<Digest>,
        signers: &[SignerHint],
    ) -> Result<Found, SourceError> {
        let found = match source {
            Source::File(path) => return Ok(file::fetch(path, signers)?),
            Source::Within { folder, name } => return Ok(file::fetch_within(folder, name, signers)?),
            Source::Https { permit, remote } => https::fetch(&self.fetcher, permit, remote, pin, signers)?,
            Source::Oci { reference, remote } => {
                let pulled = self.fetcher.pull(reference, remote, signers)?;
                let Pulled { manifest, artifact, signatures, unread, looked } = pulled;
                Found { artifact, signatures, unread, looked, manifest: Some(manifest) }
            }
        };
        hold(&found.artifact, source, pin)?;
        Ok(found)
    }

    /// What was fetched before of a plugin from elsewhere whose bytes are known.
    pub(crate) fn fetched_before(&self, source: &Source, pin: Option<Digest>) -> Option<Found> {
        let (kept, pin) = (self.kept.as_ref()?, pin.filter(|_| source.is_elsewhere())?);
        kept.get(pin).map(|(artifact, signatures)| Found::new(artifact, signatures))
    }

    /// Keeps what was fetched from elsewhere with these of its signatures, so that it need not be fetched again.
    pub(crate) fn keep(&self, source: &Source, artifact: &Artifact, signatures: &[SignatureFile]) {
        let Some(kept) = &self.kept else { return };
        if let Err(error) = kept.put(artifact, signatures) {
            tracing::warn!(error = %with_causes(&error), %source, "what was fetched is not kept and will be fetched again");
        }
    }
}

fn hold(artifact: &Artifact, source: &dyn std::fmt::Display, pin: Option<Digest>) -> Result<(), SourceError> {
    match pin {
        Some(wanted) if wanted != artifact.digest() => {
            Err(SourceError::OtherBytes { from: source.to_string(), got: artifact.digest(), wanted })
        }
        Some(_) | None => Ok(()),
    }
}
