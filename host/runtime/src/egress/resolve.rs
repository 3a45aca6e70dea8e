//! Names to addresses, once for each request: the addresses that are found here are checked here and are the ones that are
//! connected to, so that a second answer cannot lead elsewhere.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use tokio::sync::OnceCell;
use toolgate_policy::address::{Host, is_metadata_name, may_connect};
use toolgate_policy::capability::http::Pass;

use super::Failure;

/// The system's resolver configuration, read at the first request.
#[derive(Default)]
pub(super) struct Resolver(OnceCell<TokioResolver>);

impl Resolver {
    /// The addresses that this request may connect to; never empty.
    pub(super) async fn resolve(&self, pass: &Pass) -> Result<Vec<SocketAddr>, Failure> {
        let found: Vec<IpAddr> = match pass.target().host() {
            Host::Address(address) => vec![*address],
            Host::Name(name) if is_metadata_name(name) => return Err(Failure::Prohibited),
            Host::Name(name) => self.lookup(name).await?,
        };
        let reach = pass.rule().reach;
        let (allowed, blocked): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|ip| may_connect(*ip, reach).is_ok());
        for reason in blocked.into_iter().filter_map(|ip| may_connect(ip, reach).err()) {
            tracing::info!(host = %pass.target().host(), %reason, "an outbound address was left out");
        }
        if allowed.is_empty() {
            return Err(Failure::Prohibited);
        }
        Ok(allowed.into_iter().map(|ip| SocketAddr::new(ip, pass.target().port())).collect())
    }

    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        let resolver = self.0.get_or_try_init(|| async { TokioResolver::builder_tokio()?.build() }).await;
        let resolver = resolver.map_err(|error| {
            tracing::warn!(%error, "the system's resolver configuration cannot be used");
            Failure::Name
        })?;
        // The final dot keeps search domains out of it.
        let answer = resolver.lookup_ip(format!("{name}.")).await.map_err(|error| {
            tracing::debug!(%error, name, "a name could not be resolved");
            Failure::Name
        })?;
        Ok(answer.iter().collect())
    }
}
