//! A plugin that is ready to be called.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use toolgate_base::artifact::Artifact;
use toolgate_base::spec::{PluginSpec, Source};
use toolgate_policy::call::PluginFacts;
use toolgate_policy::load::pin::Approval;
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::load::trust::Standing;
use toolgate_policy::load::{Clearance, Pin, Provenance, TrustError, TrustPolicy};
use toolgate_policy::{Capability, Digest, PluginName};

use super::names::WantedNames;
use super::tool::{ReadyTool, Tool};
use crate::admission::Admission;

/// Tool surfaces: everything that a model reads of a plugin.
pub struct Surfaces {
    /// As canonical JSON: the surface of its bytes, then that of the dynamic tools, if any.
    pub all: Vec<Artifact>,
    /// The same in the former release's format, where it must be compared.
    pub former: Vec<Artifact>,
    /// Texts that are new to models since the former release, each with its tool and path.
    pub unseen: Vec<String>,
}

/// A plugin that is ready to be called.
pub struct Plugin {
    spec: PluginSpec,
    clearance: Clearance,
    /// Everything that a model reads of it.
    pub surfaces: Surfaces,
    tools: Vec<Arc<Tool>>,
    /// Signers and approval on which it serves.
    pub provenance: Arc<Provenance>,
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
        let facts = Arc::new(facts(&spec.name, &clearance, version.clone()));
        let provenance = Arc::new(Provenance::of(&clearance, version));
        let tool = |ready| {
            let (admission, provenance) = (Arc::clone(&admission), Arc::clone(&provenance));
            Arc::new(Tool::new(&spec, &facts, ready, admission, provenance, revoked.clone()))
        };
        Self { tools: tools.into_iter().map(tool).collect(), spec, clearance, surfaces, provenance, revoked }
    }

    /// Name in the operator's configuration.
    pub fn name(&self) -> &PluginName {
        &self.spec.name
    }

    /// SHA-256 of its bytes.
    pub fn digest(&self) -> Digest {
        self.clearance.digest()
    }

    /// Proof that it may serve, with its capabilities.
    pub fn clearance(&self) -> &Clearance {
        &self.clearance
    }

    /// Pin that an approval of it records.
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

    /// Whether an approval matches this plugin exactly, in this or the former release's surface format.
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
        // The surface of dynamic tools may be the same in both formats.
        let further = now.surfaces.iter().skip(1).copied();
        let written_anew = std::iter::once(*first).chain(further).collect();
        [written_anew, former].into_iter().any(|surfaces| *pin == Pin { surfaces, ..now.clone() })
    }

    /// Its approval in this release's format, if it was written by the former release.
    pub fn remapped(&self) -> Option<Pin> {
        let pin = self.clearance.pin()?;
        let surfaces: Vec<Digest> = self.surfaces.all.iter().map(Artifact::digest).collect();
        (pin.surfaces != surfaces).then(|| Pin { surfaces, ..pin.clone() })
    }

    pub(crate) fn spec(&self) -> &PluginSpec {
        &self.spec
    }

    /// Whether its bytes were approved, or only trusted.
    pub(crate) fn standing(&self) -> Standing {
        if self.clearance.pin().is_some() { Standing::Approved } else { Standing::New }
    }

    /// Re-evaluates a policy on the signatures found at load time.
    pub(crate) fn trusted_by(&self, policy: &TrustPolicy, now: UnixTime) -> Result<(), TrustError> {
        policy.again(self.clearance.trusted(), self.standing(), now).map(drop)
    }

    pub(crate) fn names(&self) -> WantedNames<'_> {
        WantedNames {
            plugin: &self.spec.name,
            prefix: &self.spec.prefix,
            tools: self.tools.iter().map(|tool| &tool.listing.name).collect(),
            may_be_similar: self.spec.may_be_similar(),
        }
    }

    /// Warnings about permitted but questionable settings, a sentence each.
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

    /// Source of its bytes.
    pub fn source(&self) -> &Source {
        &self.spec.source
    }

    /// Tools.
    pub fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    /// Ends its running calls, and those about to begin.
    pub(crate) fn end_calls(&self) {
        self.revoked.cancel();
    }

    /// Whether it may keep serving if `spec` fails to load: only if nothing but source and digest differ.
    pub(crate) fn has_what_is_given_in(&self, spec: &PluginSpec) -> bool {
        *spec == PluginSpec { source: spec.source.clone(), digest: spec.digest, ..self.spec.clone() }
    }

    /// Whether loading this spec would give the same plugin.
    pub(crate) fn is(&self, spec: &PluginSpec, clearance: &Clearance) -> bool {
        self.spec == *spec && self.clearance == *clearance
    }
}

/// Facts for rules: what was cleared, not what the plugin says about itself.
fn facts(name: &PluginName, clearance: &Clearance, version: Option<String>) -> PluginFacts {
    let (effective, roles) = (clearance.effective(), clearance.trusted().roles());
    let http = effective.http.rules().iter().map(|rule| rule.host.to_string());
    let sockets = effective.sockets.rules().iter().map(|rule| rule.host.to_string());
    PluginFacts {
        name: name.clone(),
        digest: clearance.digest(),
        version,
        effects: effective.effects(),
        hosts: http.chain(sockets).collect(),
        signers: roles.iter().flat_map(|met| met.signers.iter().cloned()).collect(),
        roles: roles.iter().map(|met| met.role.clone()).collect(),
    }
}
