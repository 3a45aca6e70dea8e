//! The first stage: from where a plugin's bytes are to bytes that are trusted. A signature is verified here, once, and the proof goes
//! with the bytes.

use std::sync::Arc;

use toolgate_base::spec::PluginSpec;

use super::source::{Found, SourceError, Sources};
use super::verify::{Verified, verify, worth_keeping};
use super::{Against, LoadError};

/// Bytes that are trusted, and the proof of it.
pub(crate) struct Fetched {
    pub(crate) found: Found,
    pub(crate) verified: Verified,
}

/// Where a plugin's bytes are taken from.
pub(crate) enum Origin<'a> {
    /// Its source, unless what was fetched before is trusted. Waits for it.
    Source,
    /// Its source, which was asked already, with this result.
    Arrived(&'a Result<Found, Arc<SourceError>>),
    /// Bytes that were kept.
    Kept(Found),
    /// Bytes that were fetched and are trusted.
    Fetched(Box<Fetched>),
}

/// Fetches a plugin. What is fetched from elsewhere, is trusted, and has a digest that is known, is kept, so that it need not be
/// fetched again.
///
/// # Errors
/// [`LoadError::Fetch`], [`LoadError::Verify`].
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
                let fetched = sources.fetch(&spec.source, spec.digest, &against.trust.hints());
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
        // Nothing newer is to be had, and what is wrong with what is here says more.
        Err(error) if error.is_absence() => {
            let before = before.or_else(|| fetched_before(sources, spec, against));
            Err(before.and_then(Result::err).unwrap_or(LoadError::Fetch(error)))
        }
        Err(error) => Err(LoadError::Fetch(error)),
    }
}

/// What was fetched before of a plugin from elsewhere whose digest is known, if it is trusted, or why not.
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
