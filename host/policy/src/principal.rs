//! Who calls: kind, name, tenant. Tokens and credentials never come this far.

use std::fmt;

/// Whose data and plugins are meant. There is always exactly one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(String);

/// How a principal came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalKind {
    /// Whoever may talk to this process: over stdio its parent, over HTTP anyone on this machine's loopback.
    Local,
    /// The host itself, which asks a plugin for its tools while it loads it.
    Host,
}

/// Somebody on whose behalf a tool is called. Made by authentication only: clippy's list (`host/clippy.toml`) holds who may
/// call its constructors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    kind: PrincipalKind,
    name: String,
    tenant: Tenant,
}

impl Principal {
    /// The principal of a connection that needs no credentials because only this machine's user can reach it.
    pub fn local(user: impl Into<String>) -> Self {
        Self { kind: PrincipalKind::Local, name: user.into(), tenant: Tenant::default() }
    }

    /// The host itself.
    pub fn host() -> Self {
        Self { kind: PrincipalKind::Host, name: "toolgate".to_owned(), tenant: Tenant::default() }
    }

    /// How it came to be known.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// The name, unique within its kind and tenant.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tenant it acts for.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            PrincipalKind::Local => "local",
            PrincipalKind::Host => "host",
        };
        write!(f, "{kind}:{}", self.name)
    }
}
