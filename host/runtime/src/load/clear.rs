//! Clearance of a plugin: requested against granted capabilities, and its content against the approval.

use toolgate_base::artifact::Artifact;
use toolgate_base::spec::PluginSpec;
use toolgate_policy::load::Clearance;
use toolgate_policy::load::clear::{ClearanceInput, clear as decide};
use toolgate_policy::load::pin::Approved;
use toolgate_policy::name::Prefix;
use toolgate_policy::{Digest, ToolName};
use toolgate_sandbox::inspect::Inspected;

use super::describe::{Described, Former};
use super::dynamic;
use super::fetch::Fetched;
use super::{Against, LoadError};

/// A plugin that may be compiled and run, but is not yet.
pub(crate) struct Cleared {
    pub(super) fetched: Fetched,
    pub(super) clearance: Clearance,
    pub(super) inspected: Inspected,
    pub(super) described: Described,
    pub(super) former: Option<Former>,
}

/// Clears a plugin. Takes the proof that its bytes are trusted.
pub(super) fn clear(
    fetched: Fetched,
    inspected: Inspected,
    described: Described,
    spec: &PluginSpec,
    against: Against<'_>,
) -> Result<Cleared, LoadError> {
    let digest = fetched.found.artifact.digest();
    let former = former(&inspected, &described, against.approved, digest)?;
    let case = ClearanceInput {
        plugin: &spec.id,
        inspected: inspected.digest,
        declared_id: inspected.manifest.id.as_deref(),
        engine: inspected.engine,
        isolation: spec.isolation,
        requested: &inspected.requested,
        tools: described.listings.len() + usize::from(inspected.dynamic.is_some()),
        program: inspected.program,
        findings: &described.findings,
        allowed: &spec.allow_lints,
        surface: described.surface.digest(),
        former_surface: former.as_ref().and_then(Former::approvable),
        approved: against.approved,
    };
    let trusted = fetched.verified.trusted.clone();
    let clearance = decide(trusted, &case, &spec.grants, spec.limits.clone())
        .map_err(|error| LoadError::Clear(digest, error))?;
    Ok(Cleared { fetched, clearance, inspected, described, former })
}

/// Description of the plugin by the former release, if an approval may be for that.
fn former(
    inspected: &Inspected,
    described: &Described,
    approved: Approved<'_>,
    digest: Digest,
) -> Result<Option<Former>, LoadError> {
    match approved {
        Approved::Asked(Some(pin)) if pin.surfaces.first() == Some(&described.surface.digest()) => Ok(None),
        Approved::Asked(None) => Ok(None),
        Approved::Asked(Some(_)) | Approved::NotAsked => Former::of(inspected, &described.listings)
            .map(Some)
            .map_err(|error| LoadError::Describe(digest, error)),
    }
}

impl Cleared {
    /// Names of its tools. Those of dynamic tools are in their approved `surface`; without it they are unknown.
    pub(crate) fn tools(&self, prefix: &Prefix, surface: Option<&Artifact>) -> Option<Vec<ToolName>> {
        let listings = self.described.listings.iter();
        let mut names: Vec<ToolName> = listings.map(|listing| listing.name.clone()).collect();
        if let Some(interface) = &self.inspected.dynamic {
            names.extend(dynamic::names(surface?, interface, prefix)?);
        }
        Some(names)
    }
}
