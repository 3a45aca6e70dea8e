//! Conversion of the system's addresses and errors to WASI's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wasmtime_wasi::p3::bindings::sockets::types::{ErrorCode, IpAddressFamily};

/// WASI error code for a system error.
pub(super) fn to_error_code(error: impl Into<io::Error>) -> ErrorCode {
    let error = error.into();
    match error.kind() {
        io::ErrorKind::BrokenPipe => ErrorCode::ConnectionBroken,
        _ => error.into(),
    }
}

/// Whether an address is of a family; IPv4-mapped IPv6 addresses count as IPv6.
pub(super) fn of_family(family: IpAddressFamily, address: SocketAddr) -> bool {
    match family {
        IpAddressFamily::Ipv4 => address.is_ipv4(),
        IpAddressFamily::Ipv6 => address.is_ipv6(),
    }
}

/// Like [`of_family`], but IPv4-mapped IPv6 addresses are of neither family.
pub(super) fn fits(family: IpAddressFamily, address: SocketAddr) -> bool {
    match (family, address.ip()) {
        (IpAddressFamily::Ipv4, IpAddr::V4(_)) => true,
        (IpAddressFamily::Ipv6, IpAddr::V6(ip)) => {
            let of_its_own = ip == Ipv6Addr::UNSPECIFIED || ip == Ipv6Addr::LOCALHOST;
            of_its_own || ip.to_ipv4().is_none()
        }
        (IpAddressFamily::Ipv4 | IpAddressFamily::Ipv6, _) => false,
    }
}

/// Whether an address can be a destination: neither the unspecified address nor port 0.
pub(super) fn leads(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    ip != IpAddr::V4(Ipv4Addr::UNSPECIFIED) && ip != IpAddr::V6(Ipv6Addr::UNSPECIFIED) && address.port() != 0
}
