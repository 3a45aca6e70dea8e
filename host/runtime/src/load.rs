//! LOAD in one function: from a plugin's source to a plugin that is ready to be called. Each stage takes the result of
//! the one before. Nothing is published here. No guest code runs, with one exception: a plugin with dynamic tools is
//! asked for them once, without any grant, when everything else is cleared.

mod clear;
mod clock;
pub mod describe;
mod dynamic;
pub mod error;
mod fetch;
mod keep;
mod param_header;
mod pattern;
mod prepare;
mod schema;
pub mod source;
pub mod verify;

use std::sync::Arc;

use toolgate_base::spec::PluginSpec;
use toolgate_policy::Digest;
use toolgate_policy::load::RequestedCapabilities;
use toolgate_policy::load::pin::Approved;
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::load::trust::Standing;
pub use toolgate_sandbox::inspect;
use toolgate_signature::trust::TrustSpec;

use crate::services::Services;
use crate::snapshot::plugin::Plugin;
pub(crate) use clear::Cleared;
pub use clock::{now, to_date};
pub use error::{Kind, LoadError};
pub(crate) use fetch::{Origin, fetch, fetched_before};
pub(crate) use prepare::prepare;
use source::Sources;

/// A plugin that may serve.
pub(crate) struct ReadyPlugin {
    pub(crate) plugin: Arc<Plugin>,
    /// Whether it served before, unchanged.
    pub(crate) is_unchanged: bool,
    /// One sentence for each file beside it that was set aside.
    pub(crate) set_aside: Vec<String>,
}

/// Requirements that a plugin is checked against.
#[derive(Clone, Copy)]
pub(crate) struct Against<'a> {
    pub(crate) trust: &'a TrustSpec,
    pub(crate) approved: Approved<'a>,
    /// Time of the check.
    pub(crate) now: UnixTime,
}

impl Against<'_> {
    /// Former standing of these bytes.
    fn standing(&self, digest: Digest) -> Standing {
        match self.approved {
            Approved::Asked(Some(pin)) if pin.digest == digest && pin.revoked.is_none() => Standing::Approved,
            Approved::Asked(_) | Approved::NotAsked => Standing::New,
        }
    }
}

/// Loads a plugin. If the result would equal `before`, which serves, it is not compiled again. Approved or remote
/// plugins are stored in the state directory, and compiled code is cached there; nothing else is stored.
pub(crate) fn run(
    services: &Services,
    spec: &PluginSpec,
    against: Against<'_>,
    origin: Origin<'_>,
    before: Option<&Arc<Plugin>>,
) -> Result<ReadyPlugin, LoadError> {
    let cleared = clear(&Sources::of(services), spec, against, origin)?;
    let set_aside = cleared.fetched.verified.set_aside.clone();
    if !set_aside.is_empty() {
        tracing::info!(plugin = %spec.name, ?set_aside, "files beside it are not signatures of it");
    }
    keep::bytes(services, spec, against.trust, &cleared);
    if let Some(plugin) = before.filter(|plugin| plugin.is(spec, &cleared.clearance)) {
        return Ok(ReadyPlugin { plugin: Arc::clone(plugin), is_unchanged: true, set_aside });
    }
    let plugin = prepare(&services.sandbox, spec, cleared)?;
    keep::surfaces(services, &plugin);
    Ok(ReadyPlugin { plugin: Arc::new(plugin), is_unchanged: false, set_aside })
}

/// The stages up to the decision whether a plugin may be compiled. Cheap compared with compiling.
pub(crate) fn clear(
    sources: &Sources,
    spec: &PluginSpec,
    against: Against<'_>,
    origin: Origin<'_>,
) -> Result<Cleared, LoadError> {
    let fetched = fetch(sources, spec, against, origin)?;
    let digest = fetched.found.artifact.digest();
    let inspected = inspect::inspect(&fetched.found.artifact, spec.engine)
        .map_err(|error| LoadError::Inspect(digest, error))?;
    let described =
        describe::describe(&inspected, &spec.prefix).map_err(|error| LoadError::Describe(digest, error))?;
    clear::clear(fetched, inspected, described, spec, against)
}

/// Capabilities that a trusted plugin requests. Grants nothing.
///
/// # Errors
/// [`LoadError`].
pub fn asked(
    sources: &Sources,
    spec: &PluginSpec,
    trust: &TrustSpec,
) -> Result<RequestedCapabilities, LoadError> {
    let against = Against { trust, approved: Approved::NotAsked, now: now() };
    let fetched = fetch(sources, spec, against, Origin::Source)?;
    let artifact = &fetched.found.artifact;
    let inspected = inspect::inspect(artifact, spec.engine);
    inspected.map(|it| it.requested).map_err(|error| LoadError::Inspect(artifact.digest(), error))
}
