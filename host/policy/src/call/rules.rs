//! All rules about calls as one value, replaced as a whole together with the tools.

use std::fmt;
use std::sync::Arc;

use super::target::Target;
use crate::capability::Effects;
use crate::principal::{Principal, PrincipalKind};
use crate::{Digest, InvalidValueError};

/// Name of a rule, as the operator gave it; it appears in records and messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(Arc<str>);

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    digest: Digest,
}

/// Answer of the rules about a principal and a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// Rules that permit it.
    pub(super) permits: Vec<RuleId>,
}

impl Rules {
    /// Digest of everything in the rules.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Asks them about this use.
    pub(super) fn decide(&self, principal: &Principal, target: &Target) -> Decision {
        let built_in = match principal.kind() {
            PrincipalKind::Local => Some("local-principal-may-call-what-is-served"),
            // The host's own question to a plugin carries no grant, so it has no effects.
            PrincipalKind::Host if target.effects() == Effects::default() => {
                Some("host-may-ask-without-effects")
            }
            PrincipalKind::Host | PrincipalKind::User | PrincipalKind::Service => None,
        };
        Decision { permits: built_in.map(|id| RuleId(id.into())).into_iter().collect() }
    }
}

impl Default for Rules {
    /// The rules of a server without `[auth]` and without rules of its own.
    fn default() -> Self {
        Self { digest: Digest::of(b"") }
    }
}

impl RuleId {
    /// Most characters of a name.
    const CHARS_MAX: usize = 64;

    /// A name of 1 to 64 letters, digits, hyphens and underscores.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(name: &str) -> Result<Self, InvalidValueError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=Self::CHARS_MAX).contains(&name.len()) && name.bytes().all(fits) {
            return Ok(Self(name.into()));
        }
        let why = "a rule's id has 1 to 64 letters, digits, hyphens and underscores";
        Err(InvalidValueError::new(why))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
