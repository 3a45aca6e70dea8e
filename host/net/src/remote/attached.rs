//! Attachments of an artefact in a registry: from the referrers API, the fallback tag for referrers (OCI distribution
//! specification, "Listing Referrers"), and cosign's older tags.
//!
//! Anybody may attach anything, so nothing found here blocks the use of an artefact. Content that is not a readable
//! signature is skipped with its reason.

pub(super) mod order;

use std::collections::BTreeSet;

use http::header::LINK;
use toolgate_policy::Digest;
use toolgate_policy::limits::load::{
    ATTACHED_BYTES_MAX, ATTACHED_MAX, MANIFEST_BYTES_MAX, REFERRER_PAGES_MAX, REFERRERS_MAX,
};
use toolgate_policy::load::fetch::{FetchPermit, Follow};
use toolgate_policy::load::reference::Version;
use toolgate_signature::anchor::Anchor;
use toolgate_signature::choose;
use toolgate_signature::sign::PREDICATE_TYPE;
use toolgate_signature::{SignatureFile, Unread};

use super::artefact::{
    self, ArtefactError, Attached, Descriptor, ImageManifest, MANIFEST, PREDICATE_NOTE, Says,
};
use super::session::Session;
use super::{Arrived, FetchError};
use order::{Hint, Layers, in_turns};

#[derive(Default)]
pub(super) struct Attachments {
    pub(super) signatures: Vec<SignatureFile>,
    /// Attachments that were skipped.
    pub(super) unread: Vec<Unread>,
    /// Places searched, with the result for each.
    pub(super) looked: Vec<String>,
}

/// Collects attachments within one limit for all of them.
struct Reading<'a, 's> {
    session: &'a Session<'s>,
    signers: &'a [Anchor],
    found: Attachments,
    layers: Layers,
    requests_left: usize,
    /// First error that may hide signatures which the registry has.
    failed: Option<FetchError>,
    /// Number of skipped attachments that were not recorded.
    more: usize,
}

type List = Vec<Result<Descriptor, ArtefactError>>;

impl Session<'_> {
    /// Attachments of an artefact up to the limits, in an order in which strangers' cannot displace a signer's. Fails
    /// if the registry may have signatures and cannot serve any now.
    pub(super) async fn attachments(
        &self,
        subject: Digest,
        signers: &[Anchor],
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
        // Always tried: referrers that anybody attached must not hide a signature under an older tag.
        for ending in ["sig", "att"] {
            reading.older_tag(&format!("{}.{ending}", artefact::fallback_tag(subject))).await;
        }
        for described in reading.candidates(listed) {
            reading.manifest(&described, subject).await;
        }
        reading.fetch_layers().await;
        reading.found.unread = choose::listed(reading.found.unread, reading.more, &subject.to_string());
        match reading.failed {
            Some(error) if reading.found.signatures.is_empty() => Err(error),
            _ => Ok(reading.found),
        }
    }

    /// Index under the fallback tag for referrers. Some registries answer with the subject itself there.
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
    /// The registry's referrers list, page by page. Registries without one answer in many ways.
    async fn referrers(&mut self, subject: Digest) -> List {
        let place = format!("the registry's list of what refers to {subject}");
        let mut all = Vec::new();
        let mut next = self.session.reference.permit("GET", &format!("referrers/{subject}")).ok();
        let mut pages_left = REFERRER_PAGES_MAX;
        while let Some(permit) = next.take() {
            if pages_left == 0 || all.len() >= REFERRERS_MAX {
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
                    self.place_failed(&place, error);
                    return all;
                }
            }
        }
        self.found.looked.push(format!("{place} ({} of them)", all.len()));
        all
    }

    async fn fallback(&mut self, subject: Digest) -> List {
        let place = format!("the tag {}", artefact::fallback_tag(subject));
        let read = self.session.fallback(subject).await.and_then(|index| {
            let listed = index.map(|index| artefact::listed(&index)).transpose();
            listed.map_err(|error| self.session.not(error))
        });
        match read {
            Ok(Some(listed)) => {
                self.found.looked.push(format!("{place} ({} listed)", listed.len()));
                return listed;
            }
            Ok(None) => self.found.looked.push(format!("{place} (not there)")),
            Err(error) => self.place_failed(&place, error),
        }
        Vec::new()
    }

    /// Entries that are or may be signatures, interleaved by their hints. Others are recorded once.
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

    /// Reads a listed manifest. Its own referrers are not requested, so there are no cycles.
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
                // A subject is required of signatures only.
                (Ok(Attached::Other(kind)), _) => Ok(Attached::Other(kind)),
                (attached, Ok(Some(about))) if about == subject => attached,
                (_, Err(error)) => Err(error),
                (_, Ok(_)) => Err(ArtefactError::Subject(described.digest)),
            };
            attached.map_err(|error| self.session.not(error))
        });
        self.take(&name, read);
    }

    /// Reads a manifest under one of cosign's older tags for signatures and attestations.
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

    /// Fetches the recorded signatures within the limits.
    async fn fetch_layers(&mut self) {
        let layers = std::mem::take(&mut self.layers);
        let (affordable, beyond) = layers.affordable(ATTACHED_MAX, ATTACHED_BYTES_MAX);
        for layer in affordable {
            match self.session.blob(&layer.described).await {
                Ok(file) => self.found.signatures.push(layer.file(&file)),
                Err(error) => {
                    self.set_aside(Unread::because(&layer.name, &error));
                    self.note_failure(error);
                }
            }
        }
        beyond.iter().for_each(|layer| self.set_aside(Unread::beyond(&layer.name)));
    }

    /// Records a skipped attachment; beyond the limit only counts it.
    fn set_aside(&mut self, unread: Unread) {
        if self.found.unread.len() < ATTACHED_MAX { self.found.unread.push(unread) } else { self.more += 1 }
    }

    /// Records a place that could not be searched.
    fn place_failed(&mut self, place: &str, error: FetchError) {
        let not_kept = error.is_not_found().then(|| "not kept".to_owned());
        let why = not_kept.unwrap_or_else(|| Unread::because(place, &error).why);
        self.found.looked.push(format!("{place} ({why})"));
        self.note_failure(error);
    }

    /// Remembers a transient failure of the registry. A definite "not found" is an answer.
    fn note_failure(&mut self, error: FetchError) {
        let is_answer = matches!(error, FetchError::Status { status: 400..=428 | 430..=499 | 501 | 505, .. });
        if self.failed.is_none() && error.is_absence() && !is_answer {
            self.failed = Some(error);
        }
    }
}

/// Request for the next page, if there is one (RFC 8288, `rel="next"`) on the same host.
fn further(permit: &FetchPermit, page: &Arrived) -> Option<FetchPermit> {
    let link = page.headers.get(LINK)?.to_str().ok()?;
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let is_next = ["rel=\"next\"", "rel=next"].iter().any(|next| parameters.contains(next));
    permit.next_page(target).ok().filter(|_| is_next)
}
