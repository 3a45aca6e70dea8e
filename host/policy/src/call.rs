//! Decisions about calls, and the only maker of [`Permit`]. One rule so far: a local principal may call everything that is
//! served. Rules over principals and targets belong here only.

use crate::capability::Effects;
use crate::principal::{Principal, PrincipalKind};
use crate::{Digest, PluginName, ToolName};

/// A tool to be called, as rules see it. It has no handle on anything that runs; only a [`Permit`] for it gives access.
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

/// Proof that this principal may call this tool of these bytes, now.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    principal: Principal,
    target: Target,
    rule: &'static str,
}

/// Reason why a call is denied. Callers cannot tell an unknown tool from a forbidden one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeniedError {
    /// There is no such tool.
    #[error("no tool of that name is served")]
    Unknown,
}

/// Decides whether `principal` may call `target`; no target means there is no such tool.
pub fn judge(principal: &Principal, target: Option<&Target>) -> Result<Permit, DeniedError> {
    let target = target.ok_or(DeniedError::Unknown)?;
    let rule = match principal.kind() {
        PrincipalKind::Local => "local-principal-may-call-what-is-served",
        // The host's own question to a plugin carries no grant, so it has no effects.
        PrincipalKind::Host if target.effects() == Effects::default() => "host-may-ask-without-effects",
        PrincipalKind::Host | PrincipalKind::User | PrincipalKind::Service => {
            return Err(DeniedError::Unknown);
        }
    };
    Ok(Permit { principal: principal.clone(), target: target.clone(), rule })
}

impl Permit {
    /// Principal that makes the call.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Tool to be called.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The rule that decided.
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what is judged is made up here")]
mod tests {
    use super::*;

    #[test]
    fn a_permit_names_the_tool_and_the_bytes_it_is_for() {
        let tool = ToolName::parse("a_b").unwrap();
        let target = Target::new(tool, "a".parse().unwrap(), Digest::of(b"bytes"), Effects::default());
        let permit = judge(&Principal::local("me"), Some(&target)).unwrap();
        assert_eq!((permit.target(), permit.rule()), (&target, "local-principal-may-call-what-is-served"));
        assert_eq!(permit.principal().to_string(), "local:me");
    }

    #[test]
    fn nothing_is_permitted_that_is_not_there() {
        assert_eq!(judge(&Principal::local("me"), None), Err(DeniedError::Unknown));
    }
}
