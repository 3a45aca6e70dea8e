//! Pull from a registry: a tag is resolved to a manifest once, everything else is fetched by digest.

use toolgate_base::artifact::Artifact;
use toolgate_base::spec::Remote;
use toolgate_policy::load::reference::Reference;
use toolgate_signature::anchor::Anchor;

use super::artefact::ImageManifest;
use super::attached::Attachments;
use super::login::PULL;
use super::session::Session;
use super::{FetchError, Fetcher, Found};

impl Fetcher {
    /// Pulls a component with its signatures, those that name one of `signers` first, under names that the registry did
    /// not choose. Blocks.
    pub fn pull(
        &self,
        reference: &Reference,
        remote: &Remote,
        signers: &[Anchor],
    ) -> Result<Found, FetchError> {
        self.run(remote, async |client| {
            let session = Session::open(client, reference, PULL).await?;
            let (digest, manifest) = session.manifest(reference.version()).await?;
            let layer = ImageManifest::read(&manifest).and_then(|manifest| manifest.component());
            let artifact = session.blob(&layer.map_err(|error| session.not(error))?).await?;
            let Attachments { signatures, unread, looked } = session.attachments(digest, signers).await?;
            let manifest = Some(Artifact::of(manifest));
            Ok(Found { artifact, signatures, unread, looked, manifest })
        })
    }
}
