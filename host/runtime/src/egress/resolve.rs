//! Names to addresses, once for each use: the addresses that are found here are checked here and are the ones that are
//! connected to, so that a second answer cannot lead elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio_util::task::AbortOnDropHandle;
use toolgate_policy::address::{Blocked, Host, Reach, is_metadata_name, may_connect};

use super::Failure;

/// Asks the operator's name servers, or where there are none those of the system, whose configuration is read at the first
/// request.
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    made: OnceCell<TokioResolver>,
    /// Where its tasks run, which all that ask share: it keeps connections. Where it is first asked, if nothing is said.
    runtime: OnceLock<Handle>,
}

/// Why there is nowhere to connect to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAddress {
    /// The name of a metadata service.
    #[error("{0} is a metadata service; no grant reaches it")]
    Metadata(String),
    /// The name has no address, or the resolver does not answer.
    #[error("{0} could not be resolved")]
    Name(String),
    /// Every address is out of bounds.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Blocked(Vec<Blocked>),
}

impl NoAddress {
    /// What becomes of a request.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Metadata(_) | Self::Blocked(_) => Failure::Prohibited,
            Self::Name(_) => Failure::Name,
        }
    }
}

impl Resolver {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers, made: OnceCell::new(), runtime: OnceLock::new() }
    }

    pub(super) fn run_on(&self, runtime: Handle) {
        self.runtime.get_or_init(|| runtime);
    }

    fn make(&self) -> Result<TokioResolver, NetError> {
        if self.servers.is_empty() {
            return TokioResolver::builder_tokio()?.build();
        }
        let at = |mut connection: ConnectionConfig, port| {
            connection.port = port;
            connection
        };
        let servers = self.servers.iter().map(|server| {
            let port = server.port();
            let connections = vec![at(ConnectionConfig::udp(), port), at(ConnectionConfig::tcp(), port)];
            NameServerConfig::new(server.ip(), true, connections)
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build()
    }

    /// The addresses of `host` that may be connected to; never empty.
    pub(super) async fn resolve(&self, host: &Host, reach: Reach) -> Result<Vec<IpAddr>, NoAddress> {
        let found: Vec<IpAddr> = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) if is_metadata_name(name) => return Err(NoAddress::Metadata(name.clone())),
            Host::Name(name) => self.lookup(name).await?,
        };
        let (allowed, blocked): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|ip| may_connect(*ip, reach).is_ok());
        let blocked: Vec<Blocked> =
            blocked.into_iter().filter_map(|ip| may_connect(ip, reach).err()).collect();
        for reason in &blocked {
            tracing::info!(%host, %reason, "an outbound address was left out");
        }
        if allowed.is_empty() {
            return Err(NoAddress::Blocked(blocked));
        }
        Ok(allowed)
    }

    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, NoAddress> {
        let unknown = || NoAddress::Name(name.to_owned());
        let resolver = self.made.get_or_try_init(|| async { self.make() }).await;
        let resolver = resolver.map_err(|error| {
            tracing::warn!(%error, "the configuration of name servers cannot be used");
            unknown()
        })?;
        let runtime = self.runtime.get_or_init(Handle::current);
        // The final dot keeps search domains out of it.
        let (resolver, full) = (resolver.clone(), format!("{name}."));
        let asking = AbortOnDropHandle::new(runtime.spawn(async move { resolver.lookup_ip(full).await }));
        let answer = asking.await.map_err(|error| error.to_string());
        let answer =
            answer.and_then(|answer| answer.map_err(|error| error.to_string())).map_err(|error| {
                tracing::debug!(%error, name, "a name could not be resolved");
                unknown()
            })?;
        Ok(answer.iter().collect())
    }
}
