//! Principals without credentials: the parent process over stdio, and any peer that can connect to the configured
//! listen address.

use std::net::IpAddr;

use toolgate_policy::Principal;

/// Parent of this process, over stdio or the command line.
#[expect(clippy::disallowed_methods, reason = "only they can write to it")]
pub(crate) fn parent() -> Principal {
    Principal::local(format!("uid-{}", rustix::process::getuid().as_raw()))
}

/// Peer connected from this address.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever can connect to an address that asks for no credentials"
)]
pub(crate) fn peer(address: IpAddr) -> Principal {
    Principal::local(format!("http@{address}"))
}
