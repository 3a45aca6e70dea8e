//! What LOAD remembers in the state directory: the bytes and signatures that are approved or come from elsewhere, and what a model read of
//! what was approved, so that both are there when a source is not. What cannot be kept serves all the same.

use toolgate_base::outcome::with_causes;
use toolgate_base::spec::PluginSpec;
use toolgate_signature::SignatureFile;
use toolgate_signature::trust::TrustSpec;
use toolgate_state::blobs::{BlobStoreError, SignatureRank};

use super::clear::Cleared;
use super::fetch::Fetched;
use super::verify::{Ranking, examine_one, worth_keeping};
use crate::services::Services;
use crate::snapshot::plugin::Plugin;

/// Keeps bytes with every signature that has been found beside them so far: the key of the first may be the first whose time is over.
pub(super) fn bytes(services: &Services, spec: &PluginSpec, trust: &TrustSpec, cleared: &Cleared) {
    if cleared.clearance.pin().is_none() && !spec.source.is_elsewhere() {
        return;
    }
    let Fetched { found, verified } = &cleared.fetched;
    if let Some(manifest) =
        found.manifest.as_ref().filter(|manifest| !services.kept.has(manifest.digest(), &[]))
    {
        warn(services.kept.put(manifest, &[]));
    }
    let signatures = worth_keeping(&verified.examined, found);
    if services.kept.has(found.artifact.digest(), &signatures) {
        return;
    }
    let mut ranking = Ranking::default();
    let rank = |file: &SignatureFile| -> SignatureRank {
        let is_it = |other: &SignatureFile| other.name == file.name && other.bytes == file.bytes;
        let mut found_now = found.signatures.iter().zip(&verified.examined);
        match found_now.find(|(other, _)| is_it(other)) {
            Some((_, examined)) => ranking.rank(examined),
            // Kept before, and not found beside it now.
            None => ranking.rank(&examine_one(trust, &found.artifact, file)),
        }
    };
    warn(services.kept.add(&found.artifact, &signatures, rank));
}

/// Keeps what a model read of a plugin when it was approved, so that a change can be shown.
pub(super) fn surfaces(services: &Services, plugin: &Plugin) {
    if plugin.clearance().pin().is_some() {
        for surface in plugin.surfaces().iter().filter(|surface| !services.kept.has(surface.digest(), &[])) {
            warn(services.kept.put(surface, &[]));
        }
    }
}

fn warn(kept: Result<(), BlobStoreError>) {
    if let Err(error) = kept {
        let error = with_causes(&error);
        tracing::warn!(error, "what was approved is not kept; when its source changes it cannot serve on");
    }
}
