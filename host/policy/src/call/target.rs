//! What is called, as far as rules may look at it: names, digest, effects. No handle on anything that runs.

use crate::capability::Effects;
use crate::{Digest, PluginName, ToolName};

/// A tool that somebody wants to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    tool: ToolName,
    plugin: PluginName,
    digest: Digest,
    effects: Effects,
}

impl Target {
    /// A tool of a plugin with these bytes, whose grants amount to these effects. Rules believe it: clippy's list (`host/clippy.toml`)
    /// holds who may say so.
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

    /// What the plugin's grants amount to.
    pub fn effects(&self) -> Effects {
        self.effects
    }
}
