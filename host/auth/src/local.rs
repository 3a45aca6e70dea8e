//! Principals without credentials: the parent process over stdio, and any peer that can connect to a server that asks for
//! none.

use std::net::IpAddr;

use toolgate_policy::Principal;

/// Parent of this process, which runs as this user: over stdio or the command line.
#[expect(clippy::disallowed_methods, reason = "only they can write to it")]
pub fn parent(uid: u32) -> Principal {
    Principal::local(format!("uid-{uid}"))
}

/// Peer connected from this address to a server without `[auth]`.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever can connect to an address that asks for no credentials"
)]
pub fn peer(address: IpAddr) -> Principal {
    Principal::local(format!("http@{address}"))
}
