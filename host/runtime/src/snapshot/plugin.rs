//! A plugin that is ready to be called.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use toolgate_base::artifact::Artifact;
use toolgate_base::spec::{PluginSpec, Source};
use toolgate_policy::load::pin::Approval;
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::load::trust::Standing;
use toolgate_policy::load::{Clearance, Pin, Provenance, TrustError, TrustPolicy};
use toolgate_policy::{Capability, Digest, PluginName};

use super::names::WantedNames;
use super::tool::{ReadyTool, Tool};
use crate::admission::Admission;

/// Everything that a model reads of a plugin.
pub(crate) struct Surfaces {
    /// Of what its bytes say, and, where it names tools when it runs, of what it said then.
    pub(crate) all: Vec<Artifact>,
    /// The same as the former release wrote and heard it, where that has to be known.
    pub(crate) former: Vec<Artifact>,
    /// Texts that a model reads now and did not read under the former release.
    pub(crate) unseen: Vec<String>,
}

/// A plugin that is ready to be called.
pub struct Plugin {
    spec: PluginSpec,
    clearance: Clearance,
    surfaces: Surfaces,
    tools: Vec<Arc<Tool>>,
    provenance: Arc<Provenance>,
    revoked: CancellationToken,
}

impl Plugin {
    pub(crate) fn new(
        spec: PluginSpec,
        clearance: Clearance,
        surfaces: Surfaces,
        tools: Vec<ReadyTool>,
        version: Option<String>,
    ) -> Self {
        let admission = Arc::new(Admission::new(spec.name.clone(), clearance.limits()));
        let revoked = CancellationToken::new();
        let provenance = Arc::new(Provenance::of(&clearance, version));
        let tool = |ready| {
            let (admission, provenance) = (Arc::clone(&admission), Arc::clone(&provenance));
            Arc::new(Tool::new(&spec, &clearance, ready, admission, provenance, revoked.clone()))
        };
        Self { tools: tools.into_iter().map(tool).collect(), spec, clearance, surfaces, provenance, revoked }
    }

    /// What the operator calls it.
    pub fn name(&self) -> &PluginName {
        &self.spec.name
    }

    /// Its bytes.
    pub fn digest(&self) -> Digest {
        self.clearance.digest()
    }

    /// On whose word it serves, and with what.
    pub fn clearance(&self) -> &Clearance {
        &self.clearance
    }

    /// Everything that a model reads of it, as canonical JSON: of what its bytes say, and, where it names tools when it runs, of
    /// what it said then.
    pub fn surfaces(&self) -> &[Artifact] {
        &self.surfaces.all
    }

    /// What a model read of what its bytes say as the former release wrote it, where that has to be known.
    pub fn former_surface(&self) -> Option<&Artifact> {
        self.surfaces.former.first()
    }

    /// Texts in it that a model reads now and did not read under the former release, each with its tool and path.
    pub fn unseen(&self) -> &[String] {
        &self.surfaces.unseen
    }

    /// What an approval of it is about.
    pub fn pin(&self, approval: Approval) -> Pin {
        Pin {
            id: self.clearance.trusted().plugin().to_owned(),
            digest: self.digest(),
            surfaces: self.surfaces.all.iter().map(Artifact::digest).collect(),
            asked: self.clearance.asked().written(),
            grant: self.spec.grants.written(),
            approval,
            revoked: None,
        }
    }

    /// Whether an approval is about this plugin as it is, also where the former release wrote down what a model reads of it.
    pub fn is_as_approved(&self, pin: &Pin) -> bool {
        let now = self.pin(pin.approval.clone());
        if *pin == now {
            return true;
        }
        let former: Vec<Digest> = self.surfaces.former.iter().map(Artifact::digest).collect();
        let [first, ..] = former.as_slice() else { return false };
        if !self.surfaces.unseen.is_empty() {
            return false;
        }
        // What it says when it runs may be the same by either clock.
        let said = now.surfaces.iter().skip(1).copied();
        let written_anew = std::iter::once(*first).chain(said).collect();
        [written_anew, former].into_iter().any(|surfaces| *pin == Pin { surfaces, ..now.clone() })
    }

    /// Its approval as this release writes it, where the former release has written it.
    pub fn remapped(&self) -> Option<Pin> {
        let pin = self.clearance.pin()?;
        let surfaces: Vec<Digest> = self.surfaces.all.iter().map(Artifact::digest).collect();
        (pin.surfaces != surfaces).then(|| Pin { surfaces, ..pin.clone() })
    }

    /// On whose word it serves.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// What the operator wanted when it was loaded.
    pub(crate) fn spec(&self) -> &PluginSpec {
        &self.spec
    }

    /// Whether its bytes were approved, or only trusted.
    pub(crate) fn standing(&self) -> Standing {
        if self.clearance.pin().is_some() { Standing::Approved } else { Standing::New }
    }

    /// Whether a policy trusts it, by the signatures that were found when it was loaded.
    pub(crate) fn trusted_by(&self, policy: &TrustPolicy, now: UnixTime) -> Result<(), TrustError> {
        policy.again(self.clearance.trusted(), self.standing(), now).map(drop)
    }

    /// The names that it wants.
    pub(crate) fn names(&self) -> WantedNames<'_> {
        WantedNames {
            plugin: &self.spec.name,
            prefix: &self.spec.prefix,
            tools: self.tools.iter().map(|tool| &tool.listing.name).collect(),
            may_be_similar: self.spec.may_be_similar(),
        }
    }

    /// What is allowed and likely to be regretted: a sentence for each.
    pub fn warnings(&self) -> Vec<String> {
        let idle = self.spec.grants.idle(self.clearance.asked());
        let warning = |word: Capability| {
            let nothing = word.nothing();
            format!(
                "it needs `{word}`, and {nothing} refuses every use of it; if it is to use it, write {} instead",
                word.suggestion()
            )
        };
        idle.into_iter().map(warning).collect()
    }

    /// Where it came from.
    pub fn source(&self) -> &Source {
        &self.spec.source
    }

    /// Its tools.
    pub fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    /// Ends its calls in flight, and those that were just about to begin.
    pub(crate) fn end_calls(&self) {
        self.revoked.cancel();
    }

    /// Whether it may go on in place of what does not load: with all that it is given now, and no more.
    pub(crate) fn has_what_is_given_in(&self, spec: &PluginSpec) -> bool {
        *spec == PluginSpec { source: spec.source.clone(), digest: spec.digest, ..self.spec.clone() }
    }

    /// Whether loading this would give the same plugin again.
    pub(crate) fn is(&self, spec: &PluginSpec, clearance: &Clearance) -> bool {
        self.spec == *spec && self.clearance == *clearance
    }
}
