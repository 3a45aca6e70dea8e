//! Addresses of this machine's interfaces. Services there may assume that only this machine reaches them, so these
//! addresses are treated as private.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use toolgate_policy::limits::http::OWN_ADDRESSES_AGE_MS;

/// List of addresses, refreshed when it is too old.
#[derive(Default)]
pub(super) struct OwnInterfaces(Mutex<Option<(Instant, Arc<[IpAddr]>)>>);

impl OwnInterfaces {
    /// Fixed addresses, for tests.
    #[cfg(test)]
    pub(super) fn of(addresses: &[IpAddr]) -> Self {
        Self(Mutex::new(Some((Instant::now() + Duration::from_secs(3_600), addresses.into()))))
    }

    /// Addresses; `None` if the system cannot list them, so that no public address is known not to be one of them.
    pub(super) fn addresses(&self) -> Option<Arc<[IpAddr]>> {
        let now = Instant::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, addresses)) = &*known
            && now.duration_since(*asked) < Duration::from_millis(OWN_ADDRESSES_AGE_MS)
        {
            return Some(Arc::clone(addresses));
        }
        match ask() {
            Ok(addresses) => {
                *known = Some((now, Arc::clone(&addresses)));
                Some(addresses)
            }
            Err(error) => {
                tracing::warn!(%error, "the addresses of this machine cannot be listed; only what is granted with `private` is reached");
                None
            }
        }
    }
}

fn ask() -> nix::Result<Arc<[IpAddr]>> {
    let of = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
    };
    Ok(nix::ifaddrs::getifaddrs()?.filter_map(of).collect())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_loopback_interface_is_one_of_this_machine() {
        let interfaces = OwnInterfaces::default();
        let addresses = interfaces.addresses().unwrap();
        assert!(addresses.contains(&Ipv4Addr::LOCALHOST.into()), "{addresses:?}");
        assert!(Arc::ptr_eq(&addresses, &interfaces.addresses().unwrap()), "asked again at once");
    }
}
