//! From a registry: the manifest that a tag or digest means, once; then everything by digest. Signatures are what refers to
//! that manifest, by the registry's list or under the tag that stands in for it.

use http::header::{ACCEPT, HeaderName};
use toolgate_policy::Digest;
use toolgate_policy::limits::load::MANIFEST_BYTES_MAX;
use toolgate_policy::load::errand::Follow;
use toolgate_policy::load::reference::{Reference, Version};

use super::artefact::{self, Descriptor, INDEX, MANIFEST, NotAnArtefact};
use super::login::{Actions, Login, log_in};
use super::{Arrived, Away, Client, NotArrived};
use crate::artifact::Artifact;
use crate::egress::errand::Parcel;
use crate::secret::Secret;
use crate::signature::SignatureFile;
use crate::spec::Remote;

/// A component from a registry.
pub struct Pulled {
    /// The digest of its manifest, by which it can be had again.
    pub manifest: Digest,
    /// The component.
    pub artifact: Artifact,
    /// Its signatures, by names that the registry did not choose.
    pub signatures: Vec<SignatureFile>,
}

/// A registry that knows who asks.
pub(super) struct Session<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) reference: &'a Reference,
    login: Login,
}

impl Away {
    /// Pulls a component with its signatures. Blocks.
    ///
    /// # Errors
    /// [`NotArrived`].
    pub fn pull(&self, reference: &Reference, remote: &Remote) -> Result<Pulled, NotArrived> {
        self.run(remote, async |client| {
            let session = Session::open(client, reference, Actions::Pull).await?;
            let (digest, manifest) = session.manifest(reference.version()).await?;
            let layer = artefact::component(&manifest).map_err(|error| session.not(error))?;
            let artifact = session.blob(&layer).await?;
            let signatures = session.signatures(digest).await?;
            Ok(Pulled { manifest: digest, artifact, signatures })
        })
    }
}

impl<'a> Session<'a> {
    pub(super) async fn open(
        client: &'a Client<'a>,
        reference: &'a Reference,
        actions: Actions,
    ) -> Result<Self, NotArrived> {
        let login = log_in(client, reference, actions).await?;
        Ok(Self { client, reference, login })
    }

    /// The value of `Authorization`.
    pub(super) fn authorization(&self) -> Option<&Secret> {
        self.login.authorization.as_ref()
    }

    /// An error, with what to do about it where the registry may have wanted to know who asks.
    pub(super) fn with_advice(&self, error: NotArrived) -> NotArrived {
        match (error, &self.login.advice) {
            (NotArrived::Status { url, status: status @ (401 | 403 | 404), says }, Some(advice)) => {
                NotArrived::Status { url, status, says: format!("{says}; {advice}") }
            }
            (error, _) => error,
        }
    }

    /// A manifest or index, whose digest is that of its bytes whatever the registry says.
    pub(super) async fn manifest(&self, version: &Version) -> Result<(Digest, Vec<u8>), NotArrived> {
        let arrived = self.get(&format!("manifests/{version}"), MANIFEST_BYTES_MAX).await?;
        let digest = Digest::of(&arrived.bytes);
        let said = arrived.headers.get("docker-content-digest");
        let said = said.and_then(|said| said.to_str().ok()?.parse::<Digest>().ok());
        let asked = if let Version::Digest(digest) = version { Some(*digest) } else { None };
        match asked.or(said) {
            Some(wanted) if wanted != digest => {
                Err(self.not(NotAnArtefact::OtherBytes { got: digest, wanted }))
            }
            Some(_) | None => Ok((digest, arrived.bytes)),
        }
    }

    pub(super) async fn blob(&self, wanted: &Descriptor) -> Result<Artifact, NotArrived> {
        let arrived = self.get(&format!("blobs/{}", wanted.digest), wanted.size).await?;
        artefact::checked(arrived.bytes, wanted).map_err(|error| self.not(error))
    }

    async fn signatures(&self, subject: Digest) -> Result<Vec<SignatureFile>, NotArrived> {
        let mut files = Vec::new();
        for described in self.referrers(subject).await? {
            // What refers to a signature is not asked for, so nothing here can go round in circles.
            let (_, manifest) = self.manifest(&Version::Digest(described.digest)).await?;
            let found =
                artefact::signature(&manifest, &described, subject).map_err(|error| self.not(error))?;
            let Some((layer, ending)) = found else { continue };
            let bytes = self.blob(&layer).await?.bytes().to_vec();
            files.push(SignatureFile { name: format!("component.{}{ending}", layer.digest.short(8)), bytes });
        }
        Ok(files)
    }

    /// The signatures that refer to a manifest.
    async fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>, NotArrived> {
        let listed = match self.get(&format!("referrers/{subject}"), MANIFEST_BYTES_MAX).await {
            Ok(arrived) => arrived.bytes,
            Err(error) if error.is_not_found() => match self.fallback(subject).await? {
                Some(index) => index,
                None => return Ok(Vec::new()),
            },
            Err(error) => return Err(error),
        };
        artefact::signatures(&listed).map_err(|error| self.not(error))
    }

    /// The index under the tag that stands in for the list of referrers.
    pub(super) async fn fallback(&self, subject: Digest) -> Result<Option<Vec<u8>>, NotArrived> {
        match self.manifest(&Version::Tag(artefact::fallback_tag(subject))).await {
            Ok((_, index)) => Ok(Some(index)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, rest: &str, bytes_max: u64) -> Result<Arrived, NotArrived> {
        const ACCEPTED: HeaderName = ACCEPT;
        let errand = self.reference.errand("GET", rest)?;
        let headers = vec![(ACCEPTED, format!("{MANIFEST}, {INDEX}, application/octet-stream"))];
        let parcel = Parcel { headers, authorization: self.authorization(), body: None };
        let fetched = self.client.fetch(&errand, &parcel, Follow::Elsewhere, bytes_max).await;
        fetched.map_err(|error| self.with_advice(error))
    }

    pub(super) fn not(&self, why: NotAnArtefact) -> NotArrived {
        NotArrived::Artefact(self.reference.to_string(), why)
    }
}
