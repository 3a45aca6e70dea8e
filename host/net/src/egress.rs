//! Outbound HTTP, only with a pass: resolves once, connects to a checked address, adds the secret, bounds bytes and
//! time, and scrubs the secret from the response. Follows no redirects and ignores proxy variables. Whether a request
//! is allowed is not decided here. Name lookups for sockets follow the same rules. The host's own fetches use a permit.

mod authorities;
mod connect;
mod exchange;
pub(crate) mod fetch;
mod framing;
mod idle;
mod interfaces;
mod lease;
mod resolve;
mod scrub;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::time::Instant;
use toolgate_base::meter::Meter;
use toolgate_base::secret::SecretSpec;
use toolgate_policy::capability::http::{Pass, Rule};
use toolgate_policy::capability::sockets::Lookup;
use toolgate_policy::header::ForbiddenHeaderError;

use authorities::{Roots, TlsTrust};
use exchange::{ResponseWait, Scrub, Unanswered};
use idle::Idle;
use lease::{ConnectionSpec, Lease, Live};
use resolve::{ResolveError, Resolver};

/// Outbound HTTP client shared by all plugins.
pub struct Egress {
    resolver: Resolver,
    roots: Roots,
    /// Runtime of connections; by default that of the first use.
    threads: OnceLock<Handle>,
}

/// Resources of one rule of a plugin's grant, shared with no other: TLS trust, secret, and idle connections.
pub struct RuleClient {
    rule: Rule,
    trust: TlsTrust,
    secret: Option<Arc<SecretSpec>>,
    scrub: Option<Scrub>,
    idle: Arc<Idle<Live>>,
}

/// Timeouts that the guest requests, which can only shorten the call's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timeouts {
    /// Time to connect.
    pub connect: Option<Duration>,
    /// Time to the response's head.
    pub first_byte: Option<Duration>,
}

/// The body of a response.
pub type ResponseBody = UnsyncBoxBody<Bytes, EgressError>;

/// Reason that a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum EgressError {
    /// The guest set what only the host may set, or a limit of the call was reached.
    #[error("the request was refused")]
    Refused,
    /// The request cannot be serialised.
    #[error("the request is malformed")]
    Malformed,
    /// A header field is denied by its rule.
    #[error("a header of the request is forbidden")]
    Header,
    /// The body does not have its declared length, or its method allows none.
    #[error("the body of the request is not as long as it says, or its method has none")]
    RequestBody,
    /// The request has trailers.
    #[error("trailers of requests are not sent")]
    RequestTrailers,
    /// The name has no address, or the resolver does not respond.
    #[error("the name could not be resolved")]
    Name,
    /// Every address of the host is denied.
    #[error("no address of the host may be reached")]
    Prohibited,
    /// Connection refused.
    #[error("the connection was refused")]
    ConnectionRefused,
    /// No route to the host.
    #[error("the host could not be reached")]
    Unreachable,
    /// TLS handshake failed, or the certificate is not trusted.
    #[error("TLS could not be set up")]
    Tls,
    /// Timeout while connecting.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// Timeout of the response.
    #[error("the answer took too long")]
    Timeout,
    /// Head or body is too large.
    #[error("a message is larger than allowed")]
    Size,
    /// The response is compressed, so that it could not be searched for the secret.
    #[error("the answer has a coding that was not asked for")]
    Coding,
    /// The response is not HTTP, or ended early.
    #[error("the exchange broke")]
    Protocol,
}

/// Reason that a rule's client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum RuleClientError {
    /// Its certificates cannot be used.
    #[error("read the certificates in {0}: {1}")]
    Certificates(String, String),
    /// Its secret is missing.
    #[error("find the secret `{0}`")]
    Secret(String),
    /// It allows plugins to set the header of the secret.
    #[error("let a plugin set the header `{0}`: the secret goes into it; take it out of `headers`")]
    SecretHeader(String),
    /// The cryptographic library failed.
    #[error("set up TLS: {0}")]
    Tls(String),
}

impl RuleClient {
    /// Removes the secret of its rule from a text.
    pub fn without_secret(&self, text: String) -> String {
        let clean = self.scrub.as_ref().and_then(|scrub| scrub.text(text.as_bytes()));
        clean.map_or(text, |clean| String::from_utf8_lossy(&clean).into_owned())
    }

    /// Header fields of a request that its rule denies. `Content-Length` is not checked: a guest may set it.
    pub fn forbidden<'a>(
        &self,
        pass: &Pass,
        headers: &'a HeaderMap,
    ) -> impl Iterator<Item = (&'a str, ForbiddenHeaderError)> {
        let secret = self.secret.as_ref().map(|secret| secret.header.as_str());
        let names = headers.keys().filter(|name| **name != CONTENT_LENGTH).map(|name| name.as_str());
        names.filter_map(move |name| Some((name, pass.rule().may_set(name, secret).err()?)))
    }
}

impl Egress {
    /// Creates a client with these name servers, or the system's if empty. Nothing is resolved, read or opened yet.
    pub fn new(servers: Vec<SocketAddr>) -> Arc<Self> {
        let (resolver, roots) = (Resolver::new(servers), Roots::default());
        Arc::new(Self { resolver, roots, threads: OnceLock::new() })
    }

    /// Sets the runtimes for name lookups and for connections.
    pub fn run_on(&self, names: Handle, connections: Handle) {
        self.resolver.run_on(names);
        self.threads.get_or_init(|| connections);
    }

    /// Prepares the client of a rule.
    pub fn link(
        &self,
        rule: &Rule,
        secret: Option<Arc<SecretSpec>>,
    ) -> Result<Arc<RuleClient>, RuleClientError> {
        if let (Some(name), None) = (&rule.secret, &secret) {
            return Err(RuleClientError::Secret(name.clone()));
        }
        if let Some(secret) = &secret
            && rule.headers.iter().any(|name| toolgate_policy::header::is_same(name, &secret.header))
        {
            return Err(RuleClientError::SecretHeader(secret.header.clone()));
        }
        let scrub = secret.as_deref().map(Scrub::new);
        Ok(Arc::new(RuleClient {
            rule: rule.clone(),
            trust: self.roots.trust(rule.scheme, rule.ca.as_deref())?,
            secret,
            scrub,
            idle: Arc::default(),
        }))
    }

    /// Addresses of this machine's interfaces; `None` if the system cannot list them.
    pub fn own_addresses(&self) -> Option<Arc<[IpAddr]>> {
        self.resolver.interfaces.addresses()
    }

    /// Resolves a name for a socket to the addresses that its grant allows; never empty.
    pub async fn look_up(&self, lookup: &Lookup) -> Result<Vec<IpAddr>, EgressError> {
        let found = self.resolver.resolve(lookup.host(), lookup.reach()).await;
        found.map_err(|error| error.failure())
    }

    /// Addresses that an allowed request may connect to.
    pub async fn resolve(&self, pass: &Pass) -> Result<Vec<SocketAddr>, ResolveError> {
        let target = pass.target();
        let found = self.resolver.resolve(target.host(), pass.rule().reach).await?;
        Ok(found.into_iter().map(|ip| SocketAddr::new(ip, target.port())).collect())
    }

    /// Sends an allowed request whose headers are allowed too. The call's deadline, and shorter ones of the guest,
    /// cover name resolution, connecting, TLS, headers and body together.
    pub async fn send<B>(
        &self,
        pass: Pass,
        link: Arc<RuleClient>,
        request: Request<B>,
        timeouts: Timeouts,
        meter: Meter,
        hand_over: &(dyn Fn() + Sync),
    ) -> Result<Response<ResponseBody>, EgressError>
    where
        B: Body<Data = Bytes, Error: Into<EgressError>> + Send + 'static,
    {
        if link.rule != *pass.rule() {
            // It would be sent with another host's secret.
            tracing::error!(
                "a request was allowed by another rule than the one whose connections it was to take"
            );
            return Err(EgressError::Refused);
        }
        let deadline = meter.deadline();
        let mut outbound = framing::frame(&pass, &link, request)?;
        if outbound.waits {
            outbound.unwanted.ended().await?;
        }
        let by = |timeout: Option<Duration>| {
            let by = timeout.and_then(|limit| Instant::now().checked_add(limit));
            by.map_or(deadline, |by| deadline.min(by))
        };
        let tls = link.trust.config().await?;
        let (host, threads) = (pass.target().host(), self.threads.get_or_init(Handle::current));
        let wanted = ConnectionSpec { link: &link, host, tls: &tls, threads, meter: &meter };
        let waiting = |shares| ResponseWait {
            link: &link,
            first_byte_by: by(timeouts.first_byte),
            meter: &meter,
            shares,
        };
        if outbound.shares
            && let Some(lease) = Lease::take(&wanted).await
        {
            let request = outbound.again();
            hand_over();
            match exchange::run(lease, request, &mut outbound.unwanted, &waiting(true)).await {
                // The server had closed the idle connection: retry once, on a new one.
                Err(Unanswered::Unsent) => {}
                Err(Unanswered::Failed(failure)) => return Err(failure),
                Ok(response) => return Ok(response),
            }
        }
        let connecting = async {
            let addresses = self.resolve(&pass).await.map_err(|error| error.failure())?;
            Lease::open(&wanted, addresses).await
        };
        let lease = match tokio::time::timeout_at(by(timeouts.connect), connecting).await {
            Ok(lease) => lease?,
            Err(_) => return Err(EgressError::ConnectTimeout),
        };
        let waiting = waiting(outbound.shares);
        hand_over();
        let answer = exchange::run(lease, outbound.request, &mut outbound.unwanted, &waiting).await;
        answer.map_err(|why| match why {
            Unanswered::Unsent => EgressError::Protocol,
            Unanswered::Failed(failure) => failure,
        })
    }
}

#[cfg(test)]
#[path = "egress/send_tests.rs"]
mod tests;
