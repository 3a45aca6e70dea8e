//! The caller: kind, name, tenant. Tokens and credentials never get here.

use std::fmt;

/// Owner of data and plugins. There is always exactly one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(String);

/// Origin of a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalKind {
    /// Any local peer: over stdio the parent process, over HTTP any client on the loopback interface.
    Local,
    /// The host itself, when it queries a plugin's tools during loading.
    Host,
}

/// The party on whose behalf a tool is called. Made by authentication only: `host/clippy.toml` lists the places that
/// may call its constructors.
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

    /// Origin of the principal.
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
