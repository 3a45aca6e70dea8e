//! The caller: kind, issuer, subject, client, tenant, and what was found out about it. Tokens and credentials never get
//! here.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use crate::redact::printable;
use crate::{Digest, InvalidValueError};

/// Owner of data and plugins: `[a-z][a-z0-9-]{0,31}`, so that it is safe as the name of a folder. Each principal has
/// exactly one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Arc<str>);

/// Origin of a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalKind {
    /// A local peer without credentials: over stdio the parent process, over HTTP any client on the loopback interface
    /// of a server without `[auth]`.
    Local,
    /// The host itself, when it queries a plugin's tools during loading.
    Host,
    /// A person, by a token of an issuer.
    User,
    /// A program in its own name: client credentials, or an API key.
    Service,
}

/// Whether a credential speaks for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentityKind {
    /// A person.
    User,
    /// A program in its own name.
    Service,
}

/// Issuer name of API keys. No `[[auth.issuer]]` may have it.
pub const API_KEY_ISSUER: &str = "apikey";

/// Claims of a credential about its holder, after it was verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallerIdentity {
    /// Whether it speaks for a person.
    pub kind: IdentityKind,
    /// `id` of the issuer in the configuration, or [`API_KEY_ISSUER`].
    pub issuer: String,
    /// `sub`, or the name of an API key; unique within issuer, kind and tenant.
    pub subject: String,
    /// The OAuth client, or the id of an API key.
    pub client: Option<String>,
    /// The tenant it acts for.
    pub tenant: Tenant,
    /// Groups, each as `issuer/name`, so that those of two issuers never meet.
    pub groups: BTreeSet<String>,
    /// Scopes that were granted to the client.
    pub scopes: BTreeSet<String>,
    /// Actors for the subject (RFC 8693 §4.1), the present one first. They give no rights.
    pub actors: Vec<String>,
    /// Tools to which the credential is limited, by name; `None` for all that rules allow.
    pub tools: Option<BTreeSet<String>>,
}

/// The party on whose behalf a tool is called. Made by authentication only: `host/clippy.toml` lists the places that
/// may call its constructors. Cheap to clone.
#[derive(Clone)]
pub struct Principal(Arc<Known>);

/// Facts, and their digest once somebody asked for it.
struct Known {
    facts: Facts,
    digest: OnceLock<Digest>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Facts {
    Local { user: String, tenant: Tenant },
    Host { tenant: Tenant },
    Identified(CallerIdentity),
}

impl Principal {
    /// The principal of a connection that needs no credentials because only this machine's user can reach it.
    pub fn local(user: impl Into<String>) -> Self {
        Self::of(Facts::Local { user: user.into(), tenant: Tenant::default() })
    }

    /// The host itself.
    pub fn host() -> Self {
        Self::of(Facts::Host { tenant: Tenant::default() })
    }

    /// The holder of a credential that was verified.
    pub fn identified(identity: CallerIdentity) -> Self {
        Self::of(Facts::Identified(identity))
    }

    fn of(facts: Facts) -> Self {
        Self(Arc::new(Known { facts, digest: OnceLock::new() }))
    }

    /// The same caller as if it had these scopes as well. For questions of what would be permitted, never for a call.
    pub(crate) fn with_scopes(&self, more: &BTreeSet<String>) -> Self {
        match &self.0.facts {
            Facts::Identified(identity) if !more.is_subset(&identity.scopes) => {
                let scopes = identity.scopes.union(more).cloned().collect();
                Self::of(Facts::Identified(CallerIdentity { scopes, ..identity.clone() }))
            }
            _ => self.clone(),
        }
    }

    /// Origin of the principal.
    pub fn kind(&self) -> PrincipalKind {
        match &self.0.facts {
            Facts::Local { .. } => PrincipalKind::Local,
            Facts::Host { .. } => PrincipalKind::Host,
            Facts::Identified(identity) => match identity.kind {
                IdentityKind::User => PrincipalKind::User,
                IdentityKind::Service => PrincipalKind::Service,
            },
        }
    }

    /// The name, unique within its kind, issuer and tenant.
    pub fn name(&self) -> &str {
        match &self.0.facts {
            Facts::Local { user, .. } => user,
            Facts::Host { .. } => "toolgate",
            Facts::Identified(identity) => &identity.subject,
        }
    }

    /// The tenant it acts for.
    pub fn tenant(&self) -> &Tenant {
        match &self.0.facts {
            Facts::Local { tenant, .. } | Facts::Host { tenant } => tenant,
            Facts::Identified(identity) => &identity.tenant,
        }
    }

    /// Claims of its credential; `None` for those that have none.
    pub fn identity(&self) -> Option<&CallerIdentity> {
        match &self.0.facts {
            Facts::Local { .. } | Facts::Host { .. } => None,
            Facts::Identified(identity) => Some(identity),
        }
    }

    /// Whether this is the same party, perhaps with another token: kind, issuer, subject, client and tenant are equal.
    /// The API keys of one name are one party, so that a key can be replaced.
    pub fn is_same_party(&self, other: &Self) -> bool {
        match (&self.0.facts, &other.0.facts) {
            (Facts::Identified(one), Facts::Identified(other)) => {
                let is_key = one.issuer == API_KEY_ISSUER;
                one.kind == other.kind
                    && one.issuer == other.issuer
                    && one.subject == other.subject
                    && one.tenant == other.tenant
                    && (is_key || one.client == other.client)
            }
            (one, other) => one == other,
        }
    }

    /// Digest of everything that a rule may ask about it: principals with equal digests get equal verdicts.
    pub fn digest(&self) -> Digest {
        *self.0.digest.get_or_init(|| Digest::of(format!("{:?}", self.0.facts).as_bytes()))
    }
}

impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.facts == other.0.facts
    }
}

impl Eq for Principal {}

impl Hash for Principal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.facts.hash(state);
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.facts.fmt(f)
    }
}

impl Tenant {
    /// Most characters of a name.
    const CHARS_MAX: usize = 32;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tenant {
    type Err = InvalidValueError;

    fn from_str(name: &str) -> Result<Self, InvalidValueError> {
        let is_first = name.starts_with(|first: char| first.is_ascii_lowercase());
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if is_first && name.len() <= Self::CHARS_MAX && name.bytes().all(fits) {
            return Ok(Self(name.into()));
        }
        Err(InvalidValueError::new(format!(
            "`{}` is no tenant: a small letter, then at most 31 small letters, digits and hyphens",
            printable(name, 40)
        )))
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self("default".into())
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind() {
            PrincipalKind::Local => "local",
            PrincipalKind::Host => "host",
            PrincipalKind::User => "user",
            PrincipalKind::Service => "service",
        };
        match self.identity() {
            Some(identity) => write!(f, "{kind}:{}/{}", identity.issuer, identity.subject),
            None => write!(f, "{kind}:{}", self.name()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "callers are made up here")]
mod tests {
    use super::*;

    fn alice() -> CallerIdentity {
        CallerIdentity {
            kind: IdentityKind::User,
            issuer: "corp".to_owned(),
            subject: "alice".to_owned(),
            client: Some("editor".to_owned()),
            tenant: Tenant::default(),
            groups: BTreeSet::new(),
            scopes: BTreeSet::new(),
            actors: Vec::new(),
            tools: None,
        }
    }

    #[test]
    fn a_tenant_is_a_name_that_cannot_climb_out_of_a_folder() {
        for name in ["a", "acme", "a-1", "default", &"a".repeat(32)] {
            assert_eq!(name.parse::<Tenant>().unwrap().as_str(), name);
        }
        for name in ["", "A", "1a", "-a", "..", "a/b", "acme/..", "a.b", "ä", "a_b", "a\0", &"a".repeat(33)]
        {
            assert!(name.parse::<Tenant>().is_err(), "{name}");
        }
    }

    #[test]
    fn another_token_of_the_same_party_is_the_same_party_and_nothing_else_is() {
        let alice = Principal::identified(alice());
        let with = |change: fn(&mut CallerIdentity)| {
            let mut identity = self::alice();
            change(&mut identity);
            Principal::identified(identity)
        };
        let refreshed = with(|token| token.scopes = BTreeSet::from(["tools:write".to_owned()]));
        assert!(alice.is_same_party(&refreshed));
        let others: [fn(&mut CallerIdentity); 5] = [
            |other| other.kind = IdentityKind::Service,
            |other| other.issuer = "other".to_owned(),
            |other| other.subject = "Alice".to_owned(),
            |other| other.client = None,
            |other| other.tenant = "acme".parse().unwrap(),
        ];
        for change in others {
            assert!(!alice.is_same_party(&with(change)));
        }
        assert!(!alice.is_same_party(&Principal::local("corp/alice")));
    }

    #[test]
    fn two_api_keys_of_one_name_are_one_party() {
        let key = |id: &str| {
            let issuer = API_KEY_ISSUER.to_owned();
            let kind = IdentityKind::Service;
            Principal::identified(CallerIdentity { kind, issuer, client: Some(id.to_owned()), ..alice() })
        };
        assert!(key("a2345678").is_same_party(&key("b2345678")));
    }

    #[test]
    fn a_principal_is_shown_with_its_kind_and_its_issuer() {
        assert_eq!(Principal::identified(alice()).to_string(), "user:corp/alice");
        assert_eq!(Principal::local("uid-1").to_string(), "local:uid-1");
    }
}
