//! Tools that rules are bound to, and what was found out while binding them.

use std::collections::BTreeMap;

use super::facts::ArgumentType;
use super::rule_id::RuleId;
use super::target::Target;
use crate::{PluginName, ToolName};

/// A tool that is served, as rules are bound to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedTool {
    /// The tool with its plugin's facts.
    pub target: Target,
    /// Types of its arguments, by name.
    pub arguments: BTreeMap<String, ArgumentType>,
    /// Whether it may destroy: the plugin's claim where that is the stricter, else whether its grants write.
    pub destructive: bool,
}

/// A policy about arguments that is wrong for the types of a tool. The version of the plugin must not be served; the
/// rules deny the tool in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleMisfit {
    /// The plugin.
    pub plugin: PluginName,
    /// Its tool.
    pub tool: ToolName,
    /// The rule.
    pub rule: RuleId,
    /// Reason, with the name of the argument.
    pub why: String,
}

/// A rule that can have no effect, or names something that exists nowhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadRule {
    /// The rule.
    pub rule: RuleId,
    /// Reason, for example ``plugin `tickts` is not served``.
    pub why: String,
}
