//! Blobs that LOAD stores for times when a source is unavailable: bytes and signatures of approved or remote plugins,
//! and their approved surfaces. A failure to store them does not keep a plugin from serving.

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

/// Stores bytes with every signature found beside them so far: the key of the first may be the first to expire.
pub(super) fn bytes(services: &Services, spec: &PluginSpec, trust: &TrustSpec, cleared: &Cleared) {
    if cleared.clearance.pin().is_none() && !spec.source.is_elsewhere() {
        return;
    }
    let Fetched { found, verified } = &cleared.fetched;
    if let Some(manifest) =
        found.manifest.as_ref().filter(|manifest| !services.blobs.has(manifest.digest(), &[]))
    {
        warn(services.blobs.put(manifest, &[]));
    }
    let signatures = worth_keeping(&verified.examined, found);
    if services.blobs.has(found.artifact.digest(), &signatures) {
        return;
    }
    let mut ranking = Ranking::default();
    let rank = |file: &SignatureFile| -> SignatureRank {
        let is_it = |other: &SignatureFile| other.name == file.name && other.bytes == file.bytes;
        let mut found_now = found.signatures.iter().zip(&verified.examined);
        match found_now.find(|(other, _)| is_it(other)) {
            Some((_, examined)) => ranking.rank(examined),
            // Stored before, and not found beside it now.
            None => ranking.rank(&examine_one(trust, &found.artifact, file)),
        }
    };
    warn(services.blobs.add(&found.artifact, &signatures, rank));
}

/// Stores the approved surfaces of a plugin, so that a change can be shown.
pub(super) fn surfaces(services: &Services, plugin: &Plugin) {
    if plugin.clearance().pin().is_some() {
        for surface in plugin.surfaces.all.iter().filter(|surface| !services.blobs.has(surface.digest(), &[]))
        {
            warn(services.blobs.put(surface, &[]));
        }
    }
}

fn warn(stored: Result<(), BlobStoreError>) {
    if let Err(error) = stored {
        let error = with_causes(&error);
        tracing::warn!(error, "what was approved is not kept; when its source changes it cannot serve on");
    }
}
