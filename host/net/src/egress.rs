//! Outbound HTTP, only with a pass: resolve once, connect to an address that was checked, put the secret in, bound every
//! byte and the time of it all, scrub the secret from what comes back. Follows no redirect, reads no proxy variable.
//! Whether a request may be sent is not decided here. Names for sockets are looked up here too, by the same rules. What the
//! host fetches for its operator goes the same way, with a permit instead of a pass.

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

/// The way out, shared by all plugins.
pub struct Egress {
    resolver: Resolver,
    roots: Roots,
    /// Where connections are driven. Where the first is used, if nothing is said.
    threads: OnceLock<Handle>,
}

/// What one rule of a plugin's grant brings: whom to trust there, the secret, and the connections that wait. Nothing of it
/// is shared with another rule or another plugin.
pub struct RuleClient {
    rule: Rule,
    trust: TlsTrust,
    secret: Option<Arc<SecretSpec>>,
    scrub: Option<Scrub>,
    idle: Arc<Idle<Live>>,
}

/// Shorter times than the call's own that the guest asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Option<Duration>,
    /// Until the response's head is there.
    pub first_byte: Option<Duration>,
}

/// The body of a response.
pub type ResponseBody = UnsyncBoxBody<Bytes, EgressError>;

/// Why a request came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum EgressError {
    /// The guest set what only the host may set, or a limit of the call was met.
    #[error("the request was refused")]
    Refused,
    /// The request cannot be put into words.
    #[error("the request is malformed")]
    Malformed,
    /// It has a header field that its rule does not let through.
    #[error("a header of the request is forbidden")]
    Header,
    /// Its body is not as long as it says, or it has one by a method that has none.
    #[error("the body of the request is not as long as it says, or its method has none")]
    RequestBody,
    /// It has trailers.
    #[error("trailers of requests are not sent")]
    RequestTrailers,
    /// The name has no address, or the resolver does not answer.
    #[error("the name could not be resolved")]
    Name,
    /// Every address of the host is out of bounds.
    #[error("no address of the host may be reached")]
    Prohibited,
    /// Nobody listens there.
    #[error("the connection was refused")]
    ConnectionRefused,
    /// There is no way there.
    #[error("the host could not be reached")]
    Unreachable,
    /// The other end is not who it should be, or speaks no TLS.
    #[error("TLS could not be set up")]
    Tls,
    /// It took too long to connect.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// It took too long to answer.
    #[error("the answer took too long")]
    Timeout,
    /// Head or body is larger than allowed.
    #[error("a message is larger than allowed")]
    Size,
    /// The answer is packed, so that a secret could not be looked for in it.
    #[error("the answer has a coding that was not asked for")]
    Coding,
    /// It is no HTTP, or ended midway.
    #[error("the exchange broke")]
    Protocol,
}

/// Why a rule's link cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RuleClientError {
    /// The certificates it names cannot be used.
    #[error("read the certificates in {0}: {1}")]
    Certificates(String, String),
    /// The secret it names is not there.
    #[error("find the secret `{0}`")]
    Secret(String),
    /// It names the header of the secret as one that a plugin may set.
    #[error("let a plugin set the header `{0}`: the secret goes into it; take it out of `headers`")]
    SecretHeader(String),
    /// The cryptographic library does not work.
    #[error("set up TLS: {0}")]
    Tls(String),
}

impl RuleClient {
    /// A text without the secret of its rule.
    pub fn without_secret(&self, text: String) -> String {
        let clean = self.scrub.as_ref().and_then(|scrub| scrub.text(text.as_bytes()));
        clean.map_or(text, |clean| String::from_utf8_lossy(&clean).into_owned())
    }

    /// The header fields of a request that may not be sent under its rule. How long its body is, a guest may say.
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
    /// A way out that asks these name servers, or the system's if there are none. Nothing is resolved, read or opened yet.
    pub fn new(servers: Vec<SocketAddr>) -> Arc<Self> {
        let (resolver, roots) = (Resolver::new(servers), Roots::default());
        Arc::new(Self { resolver, roots, threads: OnceLock::new() })
    }

    /// Names are looked up by tasks of `names`, and connections driven by those of `connections`, whoever asks.
    pub fn run_on(&self, names: Handle, connections: Handle) {
        self.resolver.run_on(names);
        self.threads.get_or_init(|| connections);
    }

    /// Prepares what a rule needs.
    ///
    /// # Errors
    /// [`RuleClientError`].
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
            trust: self.roots.trust(rule)?,
            secret,
            scrub,
            idle: Arc::default(),
        }))
    }

    /// The addresses of this machine's interfaces; nothing if the system does not tell.
    pub fn own_addresses(&self) -> Option<Arc<[IpAddr]>> {
        self.resolver.interfaces().addresses()
    }

    /// Looks up a name for a socket: the addresses that its grant reaches; never none.
    ///
    /// # Errors
    /// [`EgressError::Name`], [`EgressError::Prohibited`].
    pub async fn look_up(&self, lookup: &Lookup) -> Result<Vec<IpAddr>, EgressError> {
        let found = self.resolver.resolve(lookup.host(), lookup.reach()).await;
        found.map_err(|error| error.failure())
    }

    /// The addresses that a request which was allowed may connect to.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn resolve(&self, pass: &Pass) -> Result<Vec<SocketAddr>, ResolveError> {
        let target = pass.target();
        let found = self.resolver.resolve(target.host(), pass.rule().reach).await?;
        Ok(found.into_iter().map(|ip| SocketAddr::new(ip, target.port())).collect())
    }

    /// Sends a request that was allowed, its headers too. The deadline of the call, and shorter ones that the guest asks for,
    /// hold over resolving, connecting, TLS, headers and body together.
    ///
    /// # Errors
    /// [`EgressError`].
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
            // With it would go another host's secret.
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
            timeout.map_or(deadline, |limit| deadline.min(Instant::now() + limit))
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
                // It was given up at the other end while it waited: a new one, once.
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
