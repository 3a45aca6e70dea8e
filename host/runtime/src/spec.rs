//! Everything that should serve, as plain data: the configuration makes it, reconcile takes it. Nothing here acts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use toolgate_base::spec::PluginSpec;
use toolgate_policy::PluginName;
use toolgate_policy::load::Pin;
use toolgate_policy::load::pin::Approved;
use toolgate_signature::trust::TrustSpec;

/// Everything that should serve.
#[derive(Clone)]
pub struct Spec {
    /// The plugins, in the operator's order.
    pub plugins: Vec<PluginSpec>,
    /// Whom to trust.
    pub trust: Arc<TrustSpec>,
    /// What was approved.
    pub approvals: Approvals,
    /// What one refused plugin means for the others.
    pub on_refused: OnRefused,
    /// The folders that were looked through for plugins.
    pub folders: Vec<Folder>,
}

impl Spec {
    /// One plugin by itself, under these approvals.
    #[must_use]
    pub fn of(&self, plugin: PluginSpec, approvals: Approvals) -> Self {
        let (trust, on_refused) = (Arc::clone(&self.trust), self.on_refused);
        Self { plugins: vec![plugin], trust, approvals, on_refused, folders: Vec::new() }
    }
}

/// A folder of plugins.
#[derive(Clone)]
pub struct Folder {
    /// Where it is, by absolute path.
    pub path: PathBuf,
    /// What the plugins in it have in common. Each has a name of its own and its own file.
    pub template: PluginSpec,
    /// Why it cannot be looked through, so that nothing is known of what lies in it.
    pub unreadable: Option<String>,
    /// The entries that look like plugins and cannot be any: names, which whoever made the files chose, each with why.
    pub problems: Vec<(String, String)>,
}

/// What was approved, and whether that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approvals {
    /// Signatures alone decide.
    NotAsked,
    /// Only what stands here may run, as it stands here.
    Asked(BTreeMap<PluginName, Pin>),
}

impl Approvals {
    /// What was approved of one plugin.
    pub fn of(&self, name: &PluginName) -> Approved<'_> {
        match self {
            Self::NotAsked => Approved::NotAsked,
            Self::Asked(pins) => Approved::Asked(pins.get(name)),
        }
    }
}

/// What one refused plugin means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRefused {
    /// Nothing serves.
    Stop,
    /// The others serve.
    Skip,
}
