//! Conversions of addresses and errors between the system, the protocol and both generations of WASI.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wasmtime_wasi::p2::bindings::sockets::network;
use wasmtime_wasi::p3::bindings::sockets::types::{ErrorCode, IpAddressFamily};

use crate::bindings::sockets::p3::types as p3;
use crate::protocol::sockets::{SocketFault, SocketKind};

/// The fault for an error of the system.
pub(super) fn to_fault(error: impl Into<io::Error>) -> SocketFault {
    let error = error.into();
    match error.kind() {
        io::ErrorKind::BrokenPipe => SocketFault::ConnectionBroken,
        _ => ErrorCode::from(error).into(),
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

impl SocketKind {
    pub(super) const fn family(self) -> IpAddressFamily {
        if self.v6 { IpAddressFamily::Ipv6 } else { IpAddressFamily::Ipv4 }
    }
}

/// Conversions of faults that all have the same name.
macro_rules! faults {
    ($($fault:ident)*) => {
        impl From<ErrorCode> for SocketFault {
            fn from(code: ErrorCode) -> Self {
                match code {
                    $(ErrorCode::$fault => Self::$fault,)*
                    ErrorCode::ConnectionBroken => Self::ConnectionBroken,
                    ErrorCode::Other(_) => Self::Other,
                }
            }
        }

        impl From<SocketFault> for network::ErrorCode {
            fn from(fault: SocketFault) -> Self {
                match fault {
                    $(SocketFault::$fault => Self::$fault,)*
                    SocketFault::NameUnresolvable => Self::NameUnresolvable,
                    SocketFault::ConnectionBroken | SocketFault::Other => Self::Unknown,
                }
            }
        }

        impl From<SocketFault> for p3::ErrorCode {
            fn from(fault: SocketFault) -> Self {
                match fault {
                    $(SocketFault::$fault => Self::$fault,)*
                    SocketFault::ConnectionBroken => Self::ConnectionBroken,
                    SocketFault::NameUnresolvable | SocketFault::Other => Self::Other(None),
                }
            }
        }
    };
}

faults! {
    AccessDenied NotSupported InvalidArgument OutOfMemory Timeout InvalidState AddressNotBindable AddressInUse
    RemoteUnreachable ConnectionRefused ConnectionReset ConnectionAborted DatagramTooLarge
}
