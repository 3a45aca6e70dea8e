//! What is attached to an artefact in a registry: by the registry's list of what refers to it, under the tag that stands in for that list
//! (OCI distribution specification, "Listing Referrers"), and under the tags that cosign wrote before.
//!
//! Anybody may attach anything, so nothing that is found here keeps an artefact from being used: what is no signature, or cannot be read, is
//! set aside with its reason.

pub(super) mod order;

use std::collections::BTreeSet;

use http::header::LINK;
use toolgate_policy::Digest;
use toolgate_policy::limits::load::{
    ATTACHED_BYTES_MAX, ATTACHED_MAX, MANIFEST_BYTES_MAX, REFERRER_PAGES_MAX, REFERRERS_MAX,
};
use toolgate_policy::load::fetch::{FetchPermit, Follow};
use toolgate_policy::load::reference::Version;
use toolgate_signature::anchor::SignerHint;
use toolgate_signature::sign::PREDICATE_TYPE;
use toolgate_signature::{SignatureFile, Unread};

use super::artefact::{
    self, ArtefactError, Attached, Descriptor, ImageManifest, MANIFEST, PREDICATE_NOTE, Says,
};
use super::session::Session;
use super::{Arrived, FetchError};
use order::{Hint, Layer, Layers, in_turns};

/// What was found beside an artefact.
#[derive(Default)]
pub(super) struct Attachments {
    /// The signature files.
    pub(super) signatures: Vec<SignatureFile>,
    /// Everything else.
    pub(super) unread: Vec<Unread>,
    /// Where was looked, and what was seen there.
    pub(super) looked: Vec<String>,
}

/// Reads attachments, within one bound for all of them.
struct Reading<'a, 's> {
    session: &'a Session<'s>,
    signers: &'a [SignerHint],
    found: Attachments,
    /// The files of what is attached.
    layers: Layers,
    requests_left: usize,
    /// The first reason for which a registry gave nothing that it may well have.
    failed: Option<FetchError>,
    /// How many things were set aside and not noted.
    more: usize,
}

/// A list of what is attached.
type List = Vec<Result<Descriptor, ArtefactError>>;

impl Session<'_> {
    /// Everything that is attached to an artefact, as far as it is looked at, in an order in which strangers push out nobody.
    ///
    /// # Errors
    /// [`FetchError`] when there may be signatures and the registry is not able to give any.
    pub(super) async fn attachments(
        &self,
        subject: Digest,
        signers: &[SignerHint],
    ) -> Result<Attachments, FetchError> {
        let mut reading = Reading {
            session: self,
            signers,
            found: Attachments::default(),
            layers: Layers::default(),
            requests_left: ATTACHED_MAX,
            failed: None,
            more: 0,
        };
        let mut listed = reading.referrers(subject).await;
        listed.extend(reading.fallback(subject).await);
        // Whatever the lists have: a signature that anybody attached must not hide one that is here.
        for ending in ["sig", "att"] {
            reading.older_tag(&format!("{}.{ending}", artefact::fallback_tag(subject))).await;
        }
        for described in reading.candidates(listed) {
            reading.manifest(&described, subject).await;
        }
        reading.fetch_layers().await;
        if reading.more > 0 {
            let why = format!("{} more things are attached, which are not listed here", reading.more);
            reading.found.unread.push(Unread { name: subject.to_string(), why });
        }
        match reading.failed {
            Some(error) if reading.found.signatures.is_empty() => Err(error),
            _ => Ok(reading.found),
        }
    }

    /// The index under the tag that stands in for the list of referrers. Some registries give the subject itself there.
    pub(super) async fn fallback(&self, subject: Digest) -> Result<Option<Vec<u8>>, FetchError> {
        match self.manifest(&Version::Tag(artefact::fallback_tag(subject))).await {
            Ok((digest, _)) if digest == subject => Ok(None),
            Ok((_, index)) => Ok(Some(index)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Reading<'_, '_> {
    /// The registry's own list, page by page. Many have none, and say so in many ways.
    async fn referrers(&mut self, subject: Digest) -> List {
        let mut all = Vec::new();
        let mut next = self.session.reference.permit("GET", &format!("referrers/{subject}")).ok();
        let mut pages_left = REFERRER_PAGES_MAX;
        while let Some(permit) = next.take() {
            if pages_left == 0 || all.len() >= REFERRERS_MAX {
                let place = format!("the registry's list of what refers to {subject}");
                self.found.looked.push(format!("{place} ({} of them; more pages than are read)", all.len()));
                return all;
            }
            pages_left -= 1;
            let page = self.session.get_at(&permit, Follow::Home, MANIFEST_BYTES_MAX).await;
            let page = page.and_then(|page| {
                let listed = artefact::listed(&page.bytes).map_err(|error| self.session.not(error))?;
                Ok((listed, further(&permit, &page)))
            });
            match page {
                Ok((listed, further)) => {
                    all.extend(listed);
                    next = further;
                }
                Err(error) => {
                    self.looked(&format!("the registry's list of what refers to {subject}"), &error);
                    self.note_failure(error);
                    return all;
                }
            }
        }
        self.found
            .looked
            .push(format!("the registry's list of what refers to {subject} ({} of them)", all.len()));
        all
    }

    async fn fallback(&mut self, subject: Digest) -> List {
        let tag = artefact::fallback_tag(subject);
        let read = match self.session.fallback(subject).await {
            Ok(Some(index)) => artefact::listed(&index).map_err(|error| self.session.not(error)),
            Ok(None) => {
                self.found.looked.push(format!("the tag {tag} (not there)"));
                return Vec::new();
            }
            Err(error) => Err(error),
        };
        match read {
            Ok(listed) => {
                self.found.looked.push(format!("the tag {tag} ({} listed)", listed.len()));
                listed
            }
            Err(error) => {
                self.looked(&format!("the tag {tag}"), &error);
                self.note_failure(error);
                Vec::new()
            }
        }
    }

    /// Those of a list that are, or may be, signatures: in turns by what the list says of them. What is none is
    /// noted once.
    fn candidates(&mut self, listed: List) -> Vec<Descriptor> {
        let mut hinted = Vec::new();
        let mut others = BTreeSet::new();
        for described in listed {
            let described = match described {
                Ok(described) => described,
                Err(error) => {
                    self.set_aside(Unread::because("an entry of the list", &error));
                    continue;
                }
            };
            let name = described.digest.to_string();
            let kind = described.kind();
            let statement = described.note(PREDICATE_NOTE).filter(|statement| *statement != PREDICATE_TYPE);
            let other = match (artefact::says(kind), statement) {
                _ if described.media_type != MANIFEST => kind.unwrap_or(&described.media_type),
                (Says::Other, _) => kind.unwrap_or_default(),
                (_, Some(statement)) => statement,
                (says, None) => {
                    hinted.push((Hint::of(&described, says != Says::Nothing, self.signers), described));
                    continue;
                }
            };
            if others.insert(described.digest) {
                self.set_aside(Unread::of_type(&name, other));
            }
        }
        in_turns(hinted)
    }

    /// Reads one that was listed. What refers to a signature is not asked for, so nothing here goes round in circles.
    async fn manifest(&mut self, described: &Descriptor, subject: Digest) {
        let name = described.digest.to_string();
        if self.requests_left == 0 {
            return self.set_aside(Unread::beyond(&name));
        }
        self.requests_left -= 1;
        let read = self.session.manifest(&Version::Digest(described.digest)).await;
        let read = read.and_then(|(_, bytes)| {
            let manifest = ImageManifest::read(&bytes).map_err(|error| self.session.not(error))?;
            let attached = manifest.attached(described.kind());
            let attached = match (attached, manifest.subject()) {
                // What is something else may be about anything.
                (Ok(Attached::Other(kind)), _) => Ok(Attached::Other(kind)),
                (attached, Ok(Some(about))) if about == subject => attached,
                (_, Err(error)) => Err(error),
                (_, Ok(_)) => Err(ArtefactError::Subject(described.digest)),
            };
            attached.map_err(|error| self.session.not(error))
        });
        self.take(&name, read);
    }

    /// A manifest under a tag of its own, as cosign wrote signatures and attestations before there were referrers.
    async fn older_tag(&mut self, tag: &str) {
        let read = match self.session.manifest(&Version::Tag(tag.to_owned())).await {
            Ok((_, bytes)) => ImageManifest::read(&bytes)
                .and_then(|manifest| manifest.layers_attached())
                .map_err(|error| self.session.not(error)),
            Err(error) if error.is_nothing_there() => {
                return self.found.looked.push(format!("the tag {tag} (not there)"));
            }
            Err(error) => Err(error),
        };
        self.found.looked.push(format!("the tag {tag}"));
        self.take(tag, read);
    }

    /// Notes the signatures of an attachment.
    fn take(&mut self, name: &str, attached: Result<Attached, FetchError>) {
        match attached {
            Ok(Attached::Signatures(layers)) => self.layers.add(name, layers),
            Ok(Attached::Other(kind)) => self.set_aside(Unread::of_type(name, &kind)),
            Err(error) => {
                self.set_aside(Unread::because(name, &error));
                self.note_failure(error);
            }
        }
    }

    /// Fetches the signatures that were noted, as many as are looked at.
    async fn fetch_layers(&mut self) {
        let layers = std::mem::take(&mut self.layers);
        let (affordable, beyond) = layers.affordable(ATTACHED_MAX, ATTACHED_BYTES_MAX);
        for Layer { name, described, ending, .. } in affordable {
            match self.session.blob(&described).await {
                Ok(file) => {
                    let name = format!("component.{}{ending}", described.digest.short(8));
                    self.found.signatures.push(SignatureFile { name, bytes: file.bytes().to_vec() });
                }
                Err(error) => {
                    self.set_aside(Unread::because(&name, &error));
                    self.note_failure(error);
                }
            }
        }
        beyond.iter().for_each(|layer| self.set_aside(Unread::beyond(&layer.name)));
    }

    /// Notes something that counts for nothing. Of a list without end the first ones are enough.
    fn set_aside(&mut self, unread: Unread) {
        match self.found.unread.len() < ATTACHED_MAX {
            true => self.found.unread.push(unread),
            false => self.more += 1,
        }
    }

    fn looked(&mut self, place: &str, error: &FetchError) {
        if let FetchError::Status { status: 404, .. } = error {
            return self.found.looked.push(format!("{place} (not kept)"));
        }
        let Unread { name, why } = Unread::because(place, error);
        self.found.looked.push(format!("{name} ({why})"));
    }

    /// Remembers what a registry could not do just now. What it does not have is an answer.
    fn note_failure(&mut self, error: FetchError) {
        let is_answer = matches!(error, FetchError::Status { status: 400..=428 | 430..=499 | 501 | 505, .. });
        if self.failed.is_none() && error.is_absence() && !is_answer {
            self.failed = Some(error);
        }
    }
}

/// The request for the next page, where there is one (RFC 8288, `rel="next"`) and this host has it.
fn further(permit: &FetchPermit, page: &Arrived) -> Option<FetchPermit> {
    let link = page.headers.get(LINK)?.to_str().ok()?;
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let is_next = ["rel=\"next\"", "rel=next"].iter().any(|next| parameters.contains(next));
    permit.next_page(target).ok().filter(|_| is_next)
}
