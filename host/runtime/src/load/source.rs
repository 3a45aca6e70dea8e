//! Sources of plugins: their bytes and the signatures found beside them. Neither is trusted here; only a pinned digest
//! is compared.

mod file;
mod https;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use toolgate_base::artifact::Artifact;
use toolgate_base::outcome::with_causes;
use toolgate_base::spec::Source;
use toolgate_net::remote::{FetchError, Fetcher};
use toolgate_policy::Digest;
use toolgate_signature::anchor::Anchor;
use toolgate_signature::{SignatureFile, name};
use toolgate_state::blobs::BlobStore;

use crate::services::Services;
pub use toolgate_net::remote::Found;

pub use file::{FileError, component_of, folder, read_regular, signature_names};

/// Local paths at which a change of the plugin shows, whether they exist or not.
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

/// Access to remote sources, and to bytes fetched before.
pub struct Sources {
    fetcher: Fetcher,
    blobs: Option<Arc<BlobStore>>,
}

/// Reasons why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A local file was not read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A remote source did not deliver.
    #[error(transparent)]
    Fetcher(#[from] FetchError),
    /// The digest does not match the pin.
    #[error("use {from}: it has the digest {got}, and the configuration pins {wanted}")]
    OtherBytes {
        /// Source of the bytes.
        from: String,
        /// Digest of the bytes.
        got: Digest,
        /// Pinned digest.
        wanted: Digest,
    },
}

impl SourceError {
    /// Whether nothing was available, in contrast to something that is refused.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::File(error) => error.is_absence(),
            Self::Fetcher(error) => error.is_absence(),
            Self::OtherBytes { .. } => false,
        }
    }
}

impl Sources {
    /// Makes sources that store nothing.
    pub fn new(fetcher: Fetcher) -> Self {
        Self { fetcher, blobs: None }
    }

    /// Makes sources that store trusted bytes.
    pub(crate) fn of(services: &Services) -> Self {
        Self { fetcher: services.fetcher.clone(), blobs: Some(Arc::clone(&services.blobs)) }
    }

    /// The same sources, until they are cancelled.
    pub(crate) fn until(self, off: CancellationToken) -> Self {
        Self { fetcher: self.fetcher.until(off), ..self }
    }

    /// Fetches a plugin with its signatures. If there are too many, those that name one of `signers` come first.
    ///
    /// # Errors
    /// [`SourceError`], also if the digest differs from `pin`.
    pub fn fetch(
        &self,
        source: &Source,
        pin: Option<Digest>,
        signers: &[Anchor],
    ) -> Result<Found, SourceError> {
        let found = match source {
            Source::File(path) => return Ok(file::fetch(path, signers)?),
            Source::Within { folder, name } => return Ok(file::fetch_within(folder, name, signers)?),
            Source::Https { permit, remote } => https::fetch(&self.fetcher, permit, remote, pin, signers)?,
            Source::Oci { reference, remote } => self.fetcher.pull(reference, remote, signers)?,
        };
        hold(&found.artifact, source, pin)?;
        Ok(found)
    }

    /// Stored bytes of a remote plugin with a pinned digest.
    pub(crate) fn fetched_before(&self, source: &Source, pin: Option<Digest>) -> Option<Found> {
        let (blobs, pin) = (self.blobs.as_ref()?, pin.filter(|_| source.is_elsewhere())?);
        blobs.get(pin).map(|(artifact, signatures)| Found::new(artifact, signatures))
    }

    /// Stores bytes of a remote plugin with these of its signatures, so that they need not be fetched again.
    pub(crate) fn keep(&self, source: &Source, artifact: &Artifact, signatures: &[SignatureFile]) {
        let Some(blobs) = &self.blobs else { return };
        if let Err(error) = blobs.put(artifact, signatures) {
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
