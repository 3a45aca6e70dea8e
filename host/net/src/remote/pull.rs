//! From a registry: the manifest that a tag or digest means, once; then everything by digest.

use toolgate_base::artifact::Artifact;
use toolgate_base::spec::Remote;
use toolgate_policy::load::reference::Reference;
use toolgate_signature::anchor::SignerHint;
use toolgate_signature::{SignatureFile, Unread};

use super::artefact::ImageManifest;
use super::attached::Attachments;
use super::login::Actions;
use super::session::Session;
use super::{FetchError, Fetcher};

/// A component from a registry.
pub struct Pulled {
    /// Its manifest, by whose digest it can be had again.
    pub manifest: Artifact,
    /// The component.
    pub artifact: Artifact,
    /// Its signatures, by names that the registry did not choose.
    pub signatures: Vec<SignatureFile>,
    /// What else is attached to it, and was not read.
    pub unread: Vec<Unread>,
    /// Where was looked for signatures, and what was seen there.
    pub looked: Vec<String>,
}

impl Fetcher {
    /// Pulls a component with its signatures, those that name one of these signers before others. Blocks.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn pull(
        &self,
        reference: &Reference,
        remote: &Remote,
        signers: &[SignerHint],
    ) -> Result<Pulled, FetchError> {
        self.run(remote, async |client| {
            let session = Session::open(client, reference, Actions::Pull).await?;
            let (digest, manifest) = session.manifest(reference.version()).await?;
            let layer = ImageManifest::read(&manifest).and_then(|manifest| manifest.component());
            let artifact = session.blob(&layer.map_err(|error| session.not(error))?).await?;
            let Attachments { signatures, unread, looked } = session.attachments(digest, signers).await?;
            Ok(Pulled { manifest: Artifact::of(manifest), artifact, signatures, unread, looked })
        })
    }
}
