//! Fetches by the host, of components that its operator named. Reachable hosts, redirects and credentials are decided
//! here; egress sends the requests.
//!
//! Credentials of a registry go to its own origin (scheme, host and port) and to the token service that its operator
//! named. Any other token service that a registry names is asked anonymously.

use crate::address::Reach;
use crate::limits::load::REDIRECTS_MAX;
use crate::request::{PathError, RequestTarget, Scheme};

/// Permit to send one request. Made only here, from the operator's URL and the redirects from it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct FetchPermit {
    home: Home,
    target: RequestTarget,
    redirects: usize,
    credentials: bool,
}

/// Token service on another host, as the operator named it. It gets the registry's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenService {
    realm: RequestTarget,
    service: Option<String>,
}

/// Public registries that document a token service on another host: registry, realm, service.
const PUBLIC_SERVICES: [(&str, &str, &str); 3] = [
    ("https://registry-1.docker.io", "https://auth.docker.io/token", "registry.docker.io"),
    ("https://index.docker.io", "https://auth.docker.io/token", "registry.docker.io"),
    ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", "container_registry"),
];

/// Origin that the operator wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Home {
    root: RequestTarget,
    private: bool,
}

/// Redirects that an answer may cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// None.
    Never,
    /// To other paths of the same scheme, host and port.
    Home,
    /// To other hosts as well, without credentials: the content is verified by its digest.
    Elsewhere,
}

/// Reason why a request is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchPermitError {
    /// Not a URL.
    #[error("use {0}: {1}")]
    Malformed(String, PathError),
    /// Unencrypted over the network.
    #[error("use {0}: plain http goes to this machine only; write https")]
    Plain(String),
    /// A redirect to another host.
    #[error("follow a redirect to {0}: it is another host; if that is meant, write it as the source")]
    Elsewhere(String),
    /// A redirect where none is allowed.
    #[error("follow a redirect to {0}: what gives tokens has to answer itself")]
    Led(String),
    /// Too many redirects.
    #[error("follow a redirect to {0}: there were {REDIRECTS_MAX} before it")]
    TooMany(String),
    /// A query in a token service's URL, which could carry a scope.
    #[error("ask for a token at {0}: it has a query; what is asked for is not for a registry to say")]
    Query(String),
    /// A token service would be asked for another registry's token.
    #[error(
        "ask for a token at {realm}: the registry says that it is the service `{named}` there; if that is meant, write \
         source_service = \"{named}\" or `--service {named}`"
    )]
    Service {
        /// URL of the token service.
        realm: String,
        /// Service name that the registry gave.
        named: String,
    },
}

impl FetchPermit {
    /// A request to the operator's URL. With `private` it and its redirects may reach private networks; otherwise only
    /// a loopback host written by the operator may.
    pub fn new(method: &str, url: &str, private: bool) -> Result<Self, FetchPermitError> {
        let target = parse(method, url)?;
        Ok(Self { home: Home::of(&target, private), target, redirects: 0, credentials: true })
    }

    /// Another request to the same host.
    pub fn at(&self, method: &str, path_and_query: &str) -> Result<Self, FetchPermitError> {
        Self::new(method, &format!("{}{path_and_query}", base(&self.home.root)), self.home.private)
    }

    /// The request for a redirect's `Location`: a URL, or a path of the same host. Another host never gets credentials,
    /// and must be outside private networks unless the operator allowed them.
    pub fn led_to(&self, method: &str, location: &str, follow: Follow) -> Result<Self, FetchPermitError> {
        let target = match location.starts_with('/') && !location.starts_with("//") {
            true => parse(method, &format!("{}{location}", base(&self.target)))?,
            false => parse(method, location)?,
        };
        if self.redirects >= REDIRECTS_MAX {
            return Err(FetchPermitError::TooMany(target.url()));
        }
        if follow == Follow::Never {
            return Err(FetchPermitError::Led(target.url()));
        }
        let at_home = self.home.is(&target);
        if !at_home && follow == Follow::Home {
            return Err(FetchPermitError::Elsewhere(target.url()));
        }
        // A chain that left the origin never regains credentials: another host chose the path.
        let credentials = at_home && self.credentials;
        Ok(Self { home: self.home.clone(), target, redirects: self.redirects + 1, credentials })
    }

    /// The request for the next page of a list, on the same host. Not a redirect; the caller bounds the pages.
    pub fn next_page(&self, location: &str) -> Result<Self, FetchPermitError> {
        Self { redirects: 0, ..self.clone() }.led_to("GET", location, Follow::Home)
    }

    /// The request for a token for `scope`, to the `realm` that this host named. Credentials go with it only if the
    /// realm is the host's own origin, or `named`. Of the registry's answer only `service` is used. With credentials to
    /// `named`, it must be the configured name, or the host.
    pub fn for_token(
        &self,
        realm: &str,
        service: Option<&str>,
        named: Option<&TokenService>,
        scope: &str,
    ) -> Result<Self, FetchPermitError> {
        let realm = TokenService::new(realm, None)?.realm;
        let public = TokenService::public(&self.home);
        let named = named.or(public.as_ref()).filter(|named| named.realm == realm);
        let (home, credentials) = match named {
            _ if self.home.is(&realm) => (self.home.clone(), true),
            // The operator wrote this realm, so it may be on this machine.
            Some(_) => (Home::of(&realm, self.home.private), true),
            None => (self.home.clone(), false),
        };
        let elsewhere = named.filter(|_| !self.home.is(&realm));
        if let (Some(named), Some(said)) = (elsewhere, service) {
            let ours = self.home.root.authority();
            if said != named.service.as_deref().unwrap_or(&ours) {
                let said = crate::redact::printable(said, 100);
                return Err(FetchPermitError::Service { realm: realm.url(), named: said });
            }
        }
        let service = elsewhere.and_then(|named| named.service.as_deref()).or(service);
        let service = service.map(|service| format!("&service={}", percent(service))).unwrap_or_default();
        let url = format!("{}?scope={}{service}", realm.url(), percent(scope));
        Ok(Self { home, target: parse("GET", &url)?, redirects: 0, credentials })
    }

    /// The request.
    pub fn target(&self) -> &RequestTarget {
        &self.target
    }

    /// Addresses it may connect to.
    pub fn reach(&self) -> Reach {
        match self.home.private || (self.home.is(&self.target) && self.home.root.host().is_loopback()) {
            true => Reach::Private,
            false => Reach::Global,
        }
    }

    /// Whether the credentials of the operator's host may go with it.
    pub fn takes_credentials(&self) -> bool {
        self.credentials
    }
}

impl TokenService {
    /// Reads what an operator wrote: the URL, and the registry's name at the service if it is not its host.
    pub fn new(realm: &str, service: Option<String>) -> Result<Self, FetchPermitError> {
        let realm = parse("GET", realm)?;
        match realm.path_and_query() == realm.path() {
            true => Ok(Self { realm, service }),
            false => Err(FetchPermitError::Query(realm.url())),
        }
    }

    fn public(registry: &Home) -> Option<Self> {
        let of = |url: &str| parse("GET", url).is_ok_and(|known| registry.is(&known));
        let (_, realm, service) = PUBLIC_SERVICES.iter().find(|(url, ..)| of(url))?;
        Self::new(realm, Some((*service).to_owned())).ok()
    }
}

impl Home {
    fn of(target: &RequestTarget, private: bool) -> Self {
        Self { root: target.for_method("GET").at_root(), private }
    }

    fn is(&self, target: &RequestTarget) -> bool {
        self.root == target.for_method("GET").at_root()
    }
}

fn base(target: &RequestTarget) -> String {
    format!("{}://{}", target.scheme(), target.authority())
}

fn parse(method: &str, url: &str) -> Result<RequestTarget, FetchPermitError> {
    let shown = || crate::redact::url(url, 300);
    let target =
        RequestTarget::from_url(method, url).map_err(|why| FetchPermitError::Malformed(shown(), why))?;
    match target.scheme() {
        Scheme::Http if !target.host().is_loopback() => Err(FetchPermitError::Plain(target.url())),
        Scheme::Http | Scheme::Https => Ok(target),
    }
}

/// Percent-encoding (RFC 3986 §2.1) of everything but unreserved characters.
fn percent(text: &str) -> String {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes()
        .map(|b| if unreserved(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
