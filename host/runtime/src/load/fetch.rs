//! The first stage: from a source to trusted bytes. A signature is verified here, once, and the proof goes with the
//! bytes.

use std::sync::Arc;

use toolgate_base::spec::PluginSpec;

use super::source::{Found, SourceError, Sources};
use super::verify::{Verified, verify, worth_keeping};
use super::{Against, LoadError};

/// Trusted bytes, and the proof of it.
pub(crate) struct Fetched {
    pub(crate) found: Found,
    pub(crate) verified: Verified,
}

/// Origin of a plugin's bytes.
pub(crate) enum Origin<'a> {
    /// Its source, unless bytes fetched before are trusted. Waits for the fetch.
    Source,
    /// Result of a fetch from its source that is done.
    Arrived(&'a Result<Found, Arc<SourceError>>),
    /// Bytes from the blob store.
    Kept(Found),
    /// Bytes that were fetched and are trusted.
    Fetched(Box<Fetched>),
}

/// Fetches a plugin. Trusted bytes of a remote plugin with a pinned digest are stored, and need not be fetched again.
pub(crate) fn fetch(
    sources: &Sources,
    spec: &PluginSpec,
    against: Against<'_>,
    origin: Origin<'_>,
) -> Result<Fetched, LoadError> {
    let (fetched, before) = match origin {
        Origin::Fetched(fetched) => return Ok(*fetched),
        Origin::Kept(found) => return verified(spec, found, against),
        Origin::Arrived(fetched) => (fetched.clone(), None),
        Origin::Source => match fetched_before(sources, spec, against) {
            Some(Ok(fetched)) => return Ok(fetched),
            before => {
                let fetched = sources.fetch(&spec.source, spec.digest, &against.trust.anchors);
                (fetched.map_err(Arc::new), before)
            }
        },
    };
    match fetched {
        Ok(found) => {
            let fetched = verified(spec, found, against)?;
            if spec.source.is_elsewhere() && spec.digest.is_some() {
                let Fetched { found, verified } = &fetched;
                sources.keep(&spec.source, &found.artifact, &worth_keeping(&verified.examined, found));
            }
            Ok(fetched)
        }
        // The source is unavailable; a fault of the stored bytes explains more.
        Err(error) if error.is_absence() => {
            let before = before.or_else(|| fetched_before(sources, spec, against));
            Err(before.and_then(Result::err).unwrap_or(LoadError::Fetch(error)))
        }
        Err(error) => Err(LoadError::Fetch(error)),
    }
}

/// Stored bytes of a remote plugin with a pinned digest, if they are trusted, or the reason why not.
pub(crate) fn fetched_before(
    sources: &Sources,
    spec: &PluginSpec,
    against: Against<'_>,
) -> Option<Result<Fetched, LoadError>> {
    let found = sources.fetched_before(&spec.source, spec.digest)?;
    Some(verified(spec, found, against))
}

fn verified(spec: &PluginSpec, found: Found, against: Against<'_>) -> Result<Fetched, LoadError> {
    let digest = found.artifact.digest();
    let standing = against.standing(digest);
    match verify(against.trust, &found, &spec.id, spec.digest, standing, against.now) {
        Ok(verified) => Ok(Fetched { found, verified }),
        Err(error) => Err(LoadError::Verify(digest, Box::new(error))),
    }
}
