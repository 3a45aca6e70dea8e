//! Names to addresses, once for each use: the addresses that are found here are checked here and are the ones that are
//! connected to, so that a second answer cannot lead elsewhere.

use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use tokio::sync::OnceCell;
use toolgate_policy::address::{Host, Reach, is_metadata_name, may_connect};

use super::Failure;

/// The system's resolver configuration, read at the first request.
#[derive(Default)]
pub(super) struct Resolver(OnceCell<TokioResolver>);

impl Resolver {
    /// The addresses of `host` that may be connected to; never empty.
    pub(super) async fn resolve(&self, host: &Host, reach: Reach) -> Result<Vec<IpAddr>, Failure> {
        let found: Vec<IpAddr> = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) if is_metadata_name(name) => return Err(Failure::Prohibited),
            Host::Name(name) => self.lookup(name).await?,
        };
        let (allowed, blocked): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|ip| may_connect(*ip, reach).is_ok());
        for reason in blocked.into_iter().filter_map(|ip| may_connect(ip, reach).err()) {
            tracing::info!(%host, %reason, "an outbound address was left out");
        }
        if allowed.is_empty() {
            return Err(Failure::Prohibited);
        }
        Ok(allowed)
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
