//! Principals that need no credentials: the parent of this process over stdio, and whoever reaches the address that it was
//! told to listen on.

use std::net::IpAddr;

use toolgate_policy::Principal;

/// Whoever started this process and talks to it over stdio or the command line.
#[expect(clippy::disallowed_methods, reason = "only they can write to it")]
pub(crate) fn parent() -> Principal {
    Principal::local(format!("uid-{}", rustix::process::getuid().as_raw()))
}

/// Whoever connected from this address.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever can connect to an address that asks for no credentials"
)]
pub(crate) fn peer(address: IpAddr) -> Principal {
    Principal::local(format!("http@{address}"))
}
