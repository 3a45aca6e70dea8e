//! A plugin that is ready to be called.

use std::sync::Arc;

use toolgate_policy::load::Clearance;
use toolgate_policy::load::lint::Lint;
use toolgate_policy::name::Prefix;
use toolgate_policy::{Digest, PluginName};

use super::tool::{Ready, Tool};
use crate::admission::Admission;
use crate::spec::PluginSpec;

/// A plugin that is ready to be called.
pub struct Plugin {
    spec: PluginSpec,
    clearance: Clearance,
    surfaces: Vec<Digest>,
    tools: Vec<Arc<Tool>>,
}

impl Plugin {
    pub(crate) fn new(
        spec: PluginSpec,
        clearance: Clearance,
        surfaces: Vec<Digest>,
        tools: Vec<Ready>,
    ) -> Self {
        let admission = Arc::new(Admission::new(clearance.limits()));
        let tools = tools
            .into_iter()
            .map(|ready| Arc::new(Tool::new(&spec.name, &clearance, ready, Arc::clone(&admission))));
        Self { tools: tools.collect(), spec, clearance, surfaces }
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

    /// The digests of everything that a model reads of it: of what its bytes say, and, where it names tools when it runs, of
    /// what it said then.
    pub fn surfaces(&self) -> &[Digest] {
        &self.surfaces
    }

    /// What its tools' names begin with.
    pub(crate) fn prefix(&self) -> &Prefix {
        &self.spec.prefix
    }

    /// Whether its names may read like another's.
    pub(crate) fn may_be_similar(&self) -> bool {
        self.spec.allow_lints.contains(&Lint::SimilarName)
    }

    /// Its tools.
    pub fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    /// Whether loading this would give the same plugin again.
    pub(crate) fn is(&self, spec: &PluginSpec, clearance: &Clearance) -> bool {
        self.spec == *spec && self.clearance == *clearance
    }
}
