//! The thing to be used, as rules see it. The facts come from the plugin's bytes, its signatures and its grants, never from
//! what the plugin says about itself.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::capability::Effects;
use crate::{Digest, PluginName, ToolName};

/// A tool, resource or prompt of a plugin. It has no handle on anything that runs; only a permit for it gives access.
/// Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    kind: TargetKind,
    plugin: Arc<PluginFacts>,
}

/// The part of a plugin that is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    /// A tool, to be called.
    Tool(ToolName),
    /// A resource, to be read, by its URI.
    Resource(Arc<str>),
    /// A prompt, to be fetched, by its name.
    Prompt(Arc<str>),
}

/// Facts about a plugin that rules may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginFacts {
    /// The operator's name for it.
    pub name: PluginName,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Version that its bytes declare.
    pub version: Option<String>,
    /// Effects of its grants.
    pub effects: Effects,
    /// Hosts that its grants name, as the operator wrote them.
    pub hosts: BTreeSet<String>,
    /// Ids of the signers that vouch for it.
    pub signers: BTreeSet<String>,
    /// Roles of the trust policy that they filled.
    pub roles: BTreeSet<String>,
}

impl PluginFacts {
    /// A plugin that the host asks in its own name: without grants, so without effects.
    pub fn without_grants(name: &PluginName, digest: Digest) -> Self {
        Self {
            name: name.clone(),
            digest,
            version: None,
            effects: Effects::default(),
            hosts: BTreeSet::new(),
            signers: BTreeSet::new(),
            roles: BTreeSet::new(),
        }
    }
}

impl Target {
    /// A part of a plugin with these facts. Rules trust them, so `host/clippy.toml` lists the places that may call this.
    pub fn new(kind: TargetKind, plugin: Arc<PluginFacts>) -> Self {
        Self { kind, plugin }
    }

    /// The part of the plugin that is meant.
    pub fn kind(&self) -> &TargetKind {
        &self.kind
    }

    /// The tool, if one is meant.
    pub fn tool(&self) -> Option<&ToolName> {
        match &self.kind {
            TargetKind::Tool(name) => Some(name),
            TargetKind::Resource(_) | TargetKind::Prompt(_) => None,
        }
    }

    /// Facts about the plugin.
    pub fn facts(&self) -> &PluginFacts {
        &self.plugin
    }

    /// The plugin it belongs to.
    pub fn plugin(&self) -> &PluginName {
        &self.plugin.name
    }

    /// The digest of the plugin's bytes.
    pub fn digest(&self) -> Digest {
        self.plugin.digest
    }

    /// Effects of the plugin's grants.
    pub fn effects(&self) -> Effects {
        self.plugin.effects
    }
}

impl TargetKind {
    /// The tool's or prompt's name, or the resource's URI.
    pub fn name(&self) -> &str {
        match self {
            Self::Tool(name) => name.as_str(),
            Self::Resource(name) | Self::Prompt(name) => name,
        }
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(name) => write!(f, "tool {name}"),
            Self::Resource(uri) => write!(f, "resource {uri}"),
            Self::Prompt(name) => write!(f, "prompt {name}"),
        }
    }
}
