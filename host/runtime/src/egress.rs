//! Outbound HTTP, only with a pass: resolve once, connect to an address that was checked, put the secret in, bound every
//! byte and the time of it all, scrub the secret from what comes back. Follows no redirect, reads no proxy variable.
//! Whether a request may be sent is not decided here. Names for sockets are looked up here too, by the same rules. What the
//! host fetches for its operator goes the same way, with an errand for a pass.

mod connect;
pub(crate) mod errand;
mod exchange;
mod idle;
mod resolve;
mod scrub;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::time::Instant;
use toolgate_policy::capability::http::{Pass, Rule};
use toolgate_policy::capability::sockets::Lookup;

use crate::meter::Meter;
use crate::secret::SecretSpec;
use connect::{Roots, Trust};
use exchange::{Lease, Live, Unanswered};
use idle::Idle;
use resolve::{NoAddress, Resolver};

/// The way out, shared by all plugins.
pub(crate) struct Egress {
    resolver: Resolver,
    roots: Roots,
}

/// What one rule of a plugin's grant brings: whom to trust there, the secret, and the connections that wait. Nothing of it
/// is shared with another rule or another plugin.
pub(crate) struct Link {
    trust: Trust,
    secret: Option<Arc<SecretSpec>>,
    idle: Arc<Idle<Live>>,
}

/// Shorter times than the call's own that the guest asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timeouts {
    /// Until the connection stands.
    pub(crate) connect: Option<Duration>,
    /// Until the response's head is there.
    pub(crate) first_byte: Option<Duration>,
}

/// The body of a response.
pub(crate) type Arriving = UnsyncBoxBody<Bytes, Failure>;

/// Why a request came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Failure {
    /// The guest set what only the host may set, or a limit of the call was met.
    #[error("the request was refused")]
    Refused,
    /// The request cannot be put into words.
    #[error("the request is malformed")]
    Malformed,
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
    /// It is no HTTP, or ended midway.
    #[error("the exchange broke")]
    Protocol,
}

/// Why a rule's link cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLink {
    /// The certificates it names cannot be used.
    #[error("read the certificates in {0}: {1}")]
    Certificates(String, String),
    /// The secret it names is not there.
    #[error("find the secret `{0}`")]
    Secret(String),
    /// The cryptographic library does not work.
    #[error("set up TLS: {0}")]
    Tls(String),
}

impl Egress {
    /// A way out that asks these name servers, or the system's if there are none. Nothing is resolved, read or opened yet.
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Arc<Self> {
        Arc::new(Self { resolver: Resolver::new(servers), roots: Roots::default() })
    }

    /// Names are looked up by tasks there, whoever asks.
    pub(crate) fn look_up_on(&self, runtime: Handle) {
        self.resolver.run_on(runtime);
    }

    /// Prepares what a rule needs.
    ///
    /// # Errors
    /// [`NoLink`].
    pub(crate) fn link(&self, rule: &Rule, secret: Option<Arc<SecretSpec>>) -> Result<Arc<Link>, NoLink> {
        if let (Some(name), None) = (&rule.secret, &secret) {
            return Err(NoLink::Secret(name.clone()));
        }
        Ok(Arc::new(Link { trust: self.roots.trust(rule)?, secret, idle: Arc::default() }))
    }

    /// Looks up a name for a socket: the addresses that its grant reaches; never none.
    ///
    /// # Errors
    /// [`Failure::Name`], [`Failure::Prohibited`].
    pub(crate) async fn look_up(&self, lookup: &Lookup) -> Result<Vec<IpAddr>, Failure> {
        let found = self.resolver.resolve(lookup.host(), lookup.reach()).await;
        found.map_err(|error| error.failure())
    }

    /// The addresses that a request which was allowed may connect to.
    ///
    /// # Errors
    /// [`NoAddress`].
    pub(crate) async fn resolve(&self, pass: &Pass) -> Result<Vec<SocketAddr>, NoAddress> {
        let target = pass.target();
        let found = self.resolver.resolve(target.host(), pass.rule().reach).await?;
        Ok(found.into_iter().map(|ip| SocketAddr::new(ip, target.port())).collect())
    }

    /// Sends a request that was allowed. The deadline of the call, and shorter ones that the guest asks for, hold over
    /// resolving, connecting, TLS, headers and body together.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn send<B>(
        &self,
        pass: Pass,
        link: Arc<Link>,
        request: Request<B>,
        timeouts: Timeouts,
        meter: Meter,
    ) -> Result<Response<Arriving>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let deadline = meter.deadline();
        let mut request = exchange::prepare(&pass, &link, request, &meter)?;
        let by = |timeout: Option<Duration>| {
            timeout.map_or(deadline, |limit| deadline.min(Instant::now() + limit))
        };
        let host = pass.target().host();
        if let Some(lease) = Lease::take(&link.idle, host).await {
            match exchange::run(lease, request, &link, by(timeouts.first_byte), &meter).await {
                // It was closed at the other end while it waited, and nothing of the request was written: a new one, once.
                Err(Unanswered::Unsent(back)) => request = *back,
                Err(Unanswered::Failed(failure)) => return Err(failure),
                Ok(response) => return Ok(response),
            }
        }
        let connecting = async {
            let addresses = self.resolve(&pass).await.map_err(|error| error.failure())?;
            let stream = connect::connect(host, &link.trust, &addresses).await?;
            Lease::open(&link.idle, host, stream).await
        };
        let lease = match tokio::time::timeout_at(by(timeouts.connect), connecting).await {
            Ok(lease) => lease?,
            Err(_) => return Err(Failure::ConnectTimeout),
        };
        exchange::run(lease, request, &link, by(timeouts.first_byte), &meter).await.map_err(|why| match why {
            Unanswered::Unsent(_) => Failure::Protocol,
            Unanswered::Failed(failure) => failure,
        })
    }
}
