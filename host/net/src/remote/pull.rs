//! Pull from a registry: a tag is resolved to a manifest once, everything else is fetched by digest.

use toolgate_base::artifact::Artifact;
use toolgate_base::spec::Remote;
use toolgate_policy::load::reference::Reference;
use toolgate_signature::anchor::Anchor;
use toolgate_signature::{SignatureFile, Unread};

use super::artefact::ImageManifest;
use super::attached::Attachments;
use super::login::Actions;
use super::session::Session;
use super::{FetchError, Fetcher};

/// A pulled component.
pub struct Pulled {
    /// Manifest, whose digest identifies the pulled version.
    pub manifest: Artifact,
    /// Content of the component.
    pub artifact: Artifact,
    /// Signature files, under names that the registry did not choose.
    pub signatures: Vec<SignatureFile>,
    /// Other attachments, which were not read.
    pub unread: Vec<Unread>,
    /// Places searched for signatures, with the result for each.
    pub looked: Vec<String>,
}

impl Fetcher {
    /// Pulls a component with its signatures, those that name one of `signers` first. Blocks.
    pub fn pull(
        &self,
        reference: &Reference,
        remote: &Remote,
        signers: &[Anchor],
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
