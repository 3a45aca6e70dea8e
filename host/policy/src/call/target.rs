//! What is called, as far as rules may look at it: names, digest, effects. No handle on anything that runs.

use crate::capability::Effects;
use crate::{Digest, PluginName, ToolName};

/// A tool that somebody wants to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The tool.
    pub tool: ToolName,
    /// The plugin it belongs to.
    pub plugin: PluginName,
    /// The plugin's bytes.
    pub digest: Digest,
    /// What its grants amount to.
    pub effects: Effects,
}
