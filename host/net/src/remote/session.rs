//! An authenticated session with a registry. Manifests and blobs are checked against their digests.

use http::header::ACCEPT;
use toolgate_base::artifact::Artifact;
use toolgate_base::secret::Secret;
use toolgate_policy::Digest;
use toolgate_policy::limits::load::MANIFEST_BYTES_MAX;
use toolgate_policy::load::fetch::{FetchPermit, Follow};
use toolgate_policy::load::reference::{Reference, Version};

use super::artefact::{self, ArtefactError, Descriptor, INDEX, MANIFEST};
use super::login::{Login, log_in};
use super::{Arrived, Client, FetchError};
use crate::egress::fetch::RequestParts;

pub(super) struct Session<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) reference: &'a Reference,
    login: Login,
}

impl<'a> Session<'a> {
    pub(super) async fn open(
        client: &'a Client<'a>,
        reference: &'a Reference,
        actions: &str,
    ) -> Result<Self, FetchError> {
        let login = log_in(client, reference, actions).await?;
        Ok(Self { client, reference, login })
    }

    /// Value of `Authorization`.
    pub(super) fn authorization(&self) -> Option<&Secret> {
        self.login.authorization.as_ref()
    }

    /// Adds the login's advice to an error that missing credentials may have caused.
    pub(super) fn with_advice(&self, error: FetchError) -> FetchError {
        match (error, &self.login.advice) {
            (FetchError::Status { url, status: status @ (401 | 403 | 404), says }, Some(advice)) => {
                FetchError::Status { url, status, says: format!("{says}; {advice}") }
            }
            (error, _) => error,
        }
    }

    /// A manifest or index with the digest of its bytes, which must match the requested one or else the announced one.
    pub(super) async fn manifest(&self, version: &Version) -> Result<(Digest, Vec<u8>), FetchError> {
        let arrived = self.get(&format!("manifests/{version}"), MANIFEST_BYTES_MAX).await?;
        let digest = Digest::of(&arrived.bytes);
        let announced = arrived.headers.get("docker-content-digest");
        let announced = announced.and_then(|announced| announced.to_str().ok()?.parse::<Digest>().ok());
        let asked = if let Version::Digest(digest) = version { Some(*digest) } else { None };
        match asked.or(announced) {
            Some(wanted) if wanted != digest => {
                Err(self.not(ArtefactError::OtherBytes { got: digest, wanted }))
            }
            Some(_) | None => Ok((digest, arrived.bytes)),
        }
    }

    pub(super) async fn blob(&self, wanted: &Descriptor) -> Result<Artifact, FetchError> {
        let arrived = self.get(&format!("blobs/{}", wanted.digest), wanted.size).await?;
        artefact::checked(Artifact::of(arrived.bytes), wanted).map_err(|error| self.not(error))
    }

    async fn get(&self, rest: &str, bytes_max: u64) -> Result<Arrived, FetchError> {
        self.get_at(&self.reference.permit("GET", rest)?, Follow::Elsewhere, bytes_max).await
    }

    pub(super) async fn get_at(
        &self,
        permit: &FetchPermit,
        follow: Follow,
        bytes_max: u64,
    ) -> Result<Arrived, FetchError> {
        let headers = vec![(ACCEPT, format!("{MANIFEST}, {INDEX}, application/octet-stream"))];
        let request_parts = RequestParts { headers, authorization: self.authorization(), body: None };
        let fetched = self.client.fetch(permit, &request_parts, follow, bytes_max).await;
        fetched.map_err(|error| self.with_advice(error))
    }

    pub(super) fn not(&self, why: ArtefactError) -> FetchError {
        FetchError::Artefact(self.reference.to_string(), why)
    }
}
