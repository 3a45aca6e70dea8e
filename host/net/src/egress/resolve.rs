//! Name resolution, once per use: the addresses found are checked here and are those connected to, so that a second DNS
//! response cannot redirect the connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, OnceLock, PoisonError};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use toolgate_policy::address::{BlockedAddressError, Host, Reach, is_metadata_name, may_connect};
use toolgate_policy::limits::http::NAME_ADDRESSES_MAX;

use super::EgressError;
use super::authorities::{Stamp, stamp};
use super::interfaces::OwnInterfaces;

/// Resolver with the operator's name servers, or else the system's, whose configuration is read at the first request
/// and again when it changed. Responses are not cached.
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    made: Mutex<Option<(Stamps, TokioResolver)>>,
    /// Runtime of its tasks, shared since it keeps connections; by default that of the first request.
    runtime: OnceLock<Handle>,
    pub(super) interfaces: OwnInterfaces,
}

/// Identity of the system's resolver files.
type Stamps = [Stamp; 2];

/// Reason that there is no address to connect to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name is that of a metadata service.
    #[error("{0} is a metadata service; no grant reaches it")]
    Metadata(String),
    /// The name has no address, or the resolver does not respond.
    #[error("{0} could not be resolved")]
    Name(String),
    /// Every address is denied; a few of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Blocked(Vec<BlockedAddressError>),
    /// The addresses of this machine are unknown.
    #[error(
        "the addresses of this machine cannot be listed, so that {0} is reached with `private = true` only"
    )]
    OwnUnknown(String),
}

impl ResolveError {
    /// Converts to the error of a request.
    pub(super) fn failure(&self) -> EgressError {
        match self {
            Self::Metadata(_) | Self::Blocked(_) | Self::OwnUnknown(_) => EgressError::Prohibited,
            Self::Name(_) => EgressError::Name,
        }
    }
}

impl Resolver {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        let (made, runtime, interfaces) = (Mutex::default(), OnceLock::new(), OwnInterfaces::default());
        Self { servers, made, runtime, interfaces }
    }

    pub(super) fn run_on(&self, runtime: Handle) {
        self.runtime.get_or_init(|| runtime);
    }

    /// Returns the resolver, rebuilt if its configuration files changed.
    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let now = ["/etc/hosts", "/etc/resolv.conf"].map(stamp);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, resolver)) = &*made
            && *then == now
        {
            return Ok(resolver.clone());
        }
        let resolver = self.make()?;
        *made = Some((now, resolver.clone()));
        Ok(resolver)
    }

    fn make(&self) -> Result<TokioResolver, NetError> {
        let mut builder = if self.servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let named = |server: &SocketAddr| {
                let mut named = NameServerConfig::udp_and_tcp(server.ip());
                named.connections.iter_mut().for_each(|connection| connection.port = server.port());
                named
            };
            let servers = self.servers.iter().map(named).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        // A name may have new addresses.
        builder.options_mut().cache_size = 0;
        builder.build()
    }

    /// Addresses of `host` that may be connected to; never empty, and at most a few.
    pub(super) async fn resolve(&self, host: &Host, reach: Reach) -> Result<Vec<IpAddr>, ResolveError> {
        let found: Vec<IpAddr> = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) if is_metadata_name(name) => return Err(ResolveError::Metadata(name.clone())),
            Host::Name(name) => self.lookup(name).await?,
        };
        let own = match reach {
            Reach::Private => None,
            Reach::Global => {
                let own = self.interfaces.addresses();
                Some(own.ok_or_else(|| ResolveError::OwnUnknown(host.to_string()))?)
            }
        };
        let (mut allowed, mut blocked) = (Vec::new(), Vec::new());
        for ip in found {
            match may_connect(ip, reach, own.as_deref().unwrap_or_default()) {
                Ok(()) => allowed.push(ip),
                Err(reason) => blocked.push(reason),
            }
        }
        let more = blocked.len().saturating_sub(NAME_ADDRESSES_MAX);
        blocked.truncate(NAME_ADDRESSES_MAX);
        for reason in &blocked {
            tracing::info!(%host, %reason, more, "an outbound address was left out");
        }
        if allowed.is_empty() {
            return Err(ResolveError::Blocked(blocked));
        }
        Ok(a_few(&allowed))
    }

    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let unknown = || ResolveError::Name(name.to_owned());
        let resolver = self.resolver().map_err(|error| {
            tracing::warn!(%error, "the configuration of name servers cannot be used");
            unknown()
        })?;
        let runtime = self.runtime.get_or_init(Handle::current);
        // The final dot disables search domains.
        let full = format!("{name}.");
        let asking =
            runtime.spawn(async move { resolver.lookup_ip(full).await.map_err(|error| error.to_string()) });
        let answer = AbortOnDropHandle::new(asking).await.unwrap_or_else(|error| Err(error.to_string()));
        let answer = answer.map_err(|error| {
            tracing::debug!(%error, name, "a name could not be resolved");
            unknown()
        })?;
        Ok(answer.iter().collect())
    }
}

/// The first few addresses, with some of each family if there are both: one family may have no route from this machine.
fn a_few(found: &[IpAddr]) -> Vec<IpAddr> {
    if found.len() <= NAME_ADDRESSES_MAX {
        return found.to_vec();
    }
    let (v4, v6): (Vec<_>, Vec<_>) = found.iter().copied().partition(IpAddr::is_ipv4);
    let half = NAME_ADDRESSES_MAX / 2;
    let of_v6 = v6.len().min(NAME_ADDRESSES_MAX.saturating_sub(v4.len()).max(half));
    let of_v4 = NAME_ADDRESSES_MAX.saturating_sub(of_v6);
    v4.into_iter().take(of_v4).chain(v6.into_iter().take(of_v6)).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[tokio::test]
    async fn an_address_of_this_machine_is_out_of_reach_without_private() {
        let own: IpAddr = "93.184.216.34".parse().unwrap();
        let resolver = Resolver { interfaces: OwnInterfaces::of(&[own]), ..Resolver::new(Vec::new()) };
        let (here, there) = (Host::Address(own), Host::Address("93.184.216.35".parse().unwrap()));
        let blocked = Err(ResolveError::Blocked(vec![BlockedAddressError::Own(own)]));
        assert_eq!(resolver.resolve(&here, Reach::Global).await, blocked);
        assert_eq!(resolver.resolve(&here, Reach::Private).await, Ok(vec![own]));
        assert!(resolver.resolve(&there, Reach::Global).await.is_ok());
    }

    #[test]
    fn of_many_addresses_a_few_are_used_and_of_each_kind_some() {
        let v4 = |n: u32| (0..n).map(|n| IpAddr::from(Ipv4Addr::from_bits(n)));
        let v6 = |n: u128| (0..n).map(|n| IpAddr::from(Ipv6Addr::from_bits(n)));
        for (of_v4, of_v6, used_v4, used_v6) in [
            (3, 2, 3, 2),
            (2_400, 0, 8, 0),
            (0, 2_400, 0, 8),
            (2_400, 2_400, 4, 4),
            (2_400, 1, 7, 1),
            (1, 2_400, 1, 7),
        ] {
            let used = a_few(&v4(of_v4).chain(v6(of_v6)).collect::<Vec<_>>());
            let count = used.iter().filter(|ip| ip.is_ipv4()).count();
            assert_eq!((count, used.len() - count), (used_v4, used_v6), "{of_v4} {of_v6}");
        }
    }
}
