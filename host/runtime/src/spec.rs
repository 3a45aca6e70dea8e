//! Everything that should serve, as plain data: the configuration makes it, reconcile takes it. Nothing here acts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use toolgate_base::spec::PluginSpec;
use toolgate_policy::PluginName;
use toolgate_policy::call::RuleSet;
use toolgate_policy::load::Pin;
use toolgate_policy::load::pin::Approved;
use toolgate_signature::trust::TrustSpec;

/// Everything that should serve.
#[derive(Clone)]
pub struct Spec {
    /// Plugins in the operator's order.
    pub plugins: Vec<PluginSpec>,
    /// Trust policy and anchors.
    pub trust: Arc<TrustSpec>,
    /// Approvals.
    pub approvals: Approvals,
    /// Rules about calls.
    pub rules: Arc<AccessRules>,
    /// Consequence of a refused plugin for the others.
    pub on_refused: OnRefused,
    /// Plugin folders that were scanned.
    pub folders: Vec<Folder>,
}

/// Rules about calls, with what they are evaluated in.
#[derive(Debug, Clone)]
pub struct AccessRules {
    /// The rules in force.
    pub set: RuleSet,
    /// Rules that are only evaluated and recorded, to try them.
    pub shadow: Option<RuleSet>,
    /// Time zone of hours and weekdays in rules; UTC by default.
    pub zone: TimeZone,
}

impl Default for AccessRules {
    fn default() -> Self {
        Self { set: RuleSet::default(), shadow: None, zone: TimeZone::UTC }
    }
}

impl Spec {
    /// A spec with one plugin, under these approvals.
    #[must_use]
    pub fn of(&self, plugin: PluginSpec, approvals: Approvals) -> Self {
        let (trust, rules) = (Arc::clone(&self.trust), Arc::clone(&self.rules));
        let on_refused = self.on_refused;
        Self { plugins: vec![plugin], trust, approvals, rules, on_refused, folders: Vec::new() }
    }
}

/// A folder of plugins.
#[derive(Clone)]
pub struct Folder {
    /// Absolute path.
    pub path: PathBuf,
    /// Settings common to its plugins. Each has its own name and file.
    pub template: PluginSpec,
    /// Error that prevented scanning, so that its content is unknown.
    pub unreadable: Option<String>,
    /// Entries that look like plugins but cannot be: file name (chosen by its creator) and reason.
    pub problems: Vec<(String, String)>,
}

/// Approvals, and whether they are required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approvals {
    /// Signatures alone decide.
    NotAsked,
    /// Plugins may run only exactly as pinned.
    Asked(BTreeMap<PluginName, Pin>),
}

impl Approvals {
    /// Approval of one plugin.
    pub fn of(&self, name: &PluginName) -> Approved<'_> {
        match self {
            Self::NotAsked => Approved::NotAsked,
            Self::Asked(pins) => Approved::Asked(pins.get(name)),
        }
    }
}

/// Consequence of a refused plugin for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRefused {
    /// Nothing serves.
    Stop,
    /// The others serve.
    Skip,
}
