//! Push to a registry: the component, its signatures as referrers, and its manifest under a tag. If the registry has no
//! referrers list, one is maintained under the fallback tag.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, LOCATION};
use toolgate_base::artifact::Artifact;
use toolgate_base::spec::Remote;
use toolgate_policy::Digest;
use toolgate_policy::load::fetch::{FetchPermit, Follow};
use toolgate_policy::load::reference::{Reference, Version};
use toolgate_signature::SignatureFile;

use super::artefact::{self, ArtefactError, ComponentInterfaces, Descriptor, INDEX, MANIFEST};
use super::login::PUSH;
use super::session::Session;
use super::{FetchError, Fetcher};
use crate::egress::fetch::RequestParts;

/// Result of a push.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// Reference by digest.
    pub reference: Reference,
    /// Number of signatures pushed.
    pub signatures: usize,
}

/// Content to push.
pub struct Parts<'a> {
    /// The component.
    pub artifact: &'a Artifact,
    /// File name of the component.
    pub title: &'a str,
    /// Signature files.
    pub signatures: &'a [SignatureFile],
    /// Exports and imports.
    pub interfaces: &'a ComponentInterfaces,
}

impl Fetcher {
    /// Pushes a component with its signatures under a tag. Blocks.
    pub fn push(
        &self,
        reference: &Reference,
        remote: &Remote,
        parts: &Parts<'_>,
    ) -> Result<Pushed, FetchError> {
        self.run(remote, async |client| {
            let session = Session::open(client, reference, PUSH).await?;
            let config = artefact::config(parts.artifact.digest(), parts.interfaces);
            session.put_blob(&config).await?;
            session.put_blob(parts.artifact.bytes()).await?;
            let manifest = artefact::component_manifest(&config, parts.artifact, parts.title);
            let subject = Descriptor::of(MANIFEST, &manifest);
            // Signatures go before the tag, so that whoever pulls by tag finds them.
            let by_digest = Version::Digest(subject.digest);
            session.put_manifest(&by_digest, MANIFEST, &manifest).await?;
            let signatures = session.put_signatures(&subject, parts.signatures).await?;
            session.put_manifest(reference.version(), MANIFEST, &manifest).await?;
            Ok(Pushed { reference: reference.with(by_digest), signatures })
        })
    }
}

impl Session<'_> {
    async fn put_signatures(
        &self,
        subject: &Descriptor,
        files: &[SignatureFile],
    ) -> Result<usize, FetchError> {
        let mut unlisted = Vec::new();
        let mut count = 0;
        for file in files {
            let made = artefact::signature_manifest(subject, &file.name, &file.bytes);
            let Some((manifest, listed)) = made else { continue };
            self.put_blob(artefact::NOTHING).await?;
            self.put_blob(&file.bytes).await?;
            let version = Version::Digest(listed.digest);
            count += 1;
            if !self.put_manifest(&version, MANIFEST, &manifest).await? {
                unlisted.push(listed);
            }
        }
        if !unlisted.is_empty() {
            self.list(subject.digest, unlisted).await?;
        }
        Ok(count)
    }

    /// Adds entries to the index under the fallback tag.
    async fn list(&self, subject: Digest, more: Vec<Descriptor>) -> Result<(), FetchError> {
        let name = artefact::fallback_tag(subject);
        let index = match self.fallback(subject).await? {
            Some(index) => {
                let with = artefact::index_with(&index, &more);
                with.map_err(|_| self.not(ArtefactError::Tag(name.clone())))?
            }
            None => artefact::index(&more),
        };
        self.put_manifest(&Version::Tag(name), INDEX, &index).await.map(drop)
    }

    async fn put_blob(&self, bytes: &[u8]) -> Result<(), FetchError> {
        let digest = Digest::of(bytes);
        let there = self.reference.permit("HEAD", &format!("blobs/{digest}"))?;
        let (status, _) = self.client.head(&there, &self.request_parts(Vec::new(), None)).await?;
        if status.is_success() {
            return Ok(());
        }
        let begin = self.reference.permit("POST", "blobs/uploads/")?;
        let (status, headers) =
            self.client.head(&begin, &self.request_parts(Vec::new(), Some(Bytes::new()))).await?;
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let Some(location) = location.filter(|_| status == StatusCode::ACCEPTED) else {
            return Err(self.with_advice(refused(&begin, status)));
        };
        let joint = if location.contains('?') { '&' } else { '?' };
        let put = begin.led_to("PUT", &format!("{location}{joint}digest={digest}"), Follow::Home)?;
        let kind = vec![(CONTENT_TYPE, "application/octet-stream".to_owned())];
        let body = Bytes::copy_from_slice(bytes);
        let (status, _) = self.client.head(&put, &self.request_parts(kind, Some(body))).await?;
        if status == StatusCode::CREATED { Ok(()) } else { Err(self.with_advice(refused(&put, status))) }
    }

    /// Puts a manifest. Returns true if the registry lists it among the subject's referrers.
    async fn put_manifest(&self, version: &Version, kind: &str, manifest: &[u8]) -> Result<bool, FetchError> {
        let put = self.reference.permit("PUT", &format!("manifests/{version}"))?;
        let request_parts =
            self.request_parts(vec![(CONTENT_TYPE, kind.to_owned())], Some(Bytes::copy_from_slice(manifest)));
        let (status, headers) = self.client.head(&put, &request_parts).await?;
        match status {
            StatusCode::CREATED => Ok(headers.contains_key("oci-subject")),
            _ => Err(self.with_advice(refused(&put, status))),
        }
    }

    fn request_parts(&self, headers: Vec<(HeaderName, String)>, body: Option<Bytes>) -> RequestParts<'_> {
        RequestParts { headers, authorization: self.authorization(), body }
    }
}

fn refused(permit: &FetchPermit, status: StatusCode) -> FetchError {
    let says = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": it may not be pushed with these credentials",
        _ => "",
    };
    FetchError::Status { url: permit.target().url(), status: status.as_u16(), says: says.to_owned() }
}
