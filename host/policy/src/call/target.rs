//! The called tool as rules see it: names, digest, effects. No handle on anything that runs.

use crate::capability::Effects;
use crate::{Digest, PluginName, ToolName};

/// A tool to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    tool: ToolName,
    plugin: PluginName,
    digest: Digest,
    effects: Effects,
}

impl Target {
    /// A tool of a plugin with these bytes, whose grants have these effects. Rules trust these values, so
    /// `host/clippy.toml` lists the places that may call this.
    pub fn new(tool: ToolName, plugin: PluginName, digest: Digest, effects: Effects) -> Self {
        Self { tool, plugin, digest, effects }
    }

    /// The tool.
    pub fn tool(&self) -> &ToolName {
        &self.tool
    }

    /// The plugin it belongs to.
    pub fn plugin(&self) -> &PluginName {
        &self.plugin
    }

    /// The digest of the plugin's bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Effects of the plugin's grants.
    pub fn effects(&self) -> Effects {
        self.effects
    }
}
