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

impl From<ErrorCode> for SocketFault {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::AccessDenied => Self::AccessDenied,
            ErrorCode::NotSupported => Self::NotSupported,
            ErrorCode::InvalidArgument => Self::InvalidArgument,
            ErrorCode::OutOfMemory => Self::OutOfMemory,
            ErrorCode::Timeout => Self::Timeout,
            ErrorCode::InvalidState => Self::InvalidState,
            ErrorCode::AddressNotBindable => Self::AddressNotBindable,
            ErrorCode::AddressInUse => Self::AddressInUse,
            ErrorCode::RemoteUnreachable => Self::RemoteUnreachable,
            ErrorCode::ConnectionRefused => Self::ConnectionRefused,
            ErrorCode::ConnectionBroken => Self::ConnectionBroken,
            ErrorCode::ConnectionReset => Self::ConnectionReset,
            ErrorCode::ConnectionAborted => Self::ConnectionAborted,
            ErrorCode::DatagramTooLarge => Self::DatagramTooLarge,
            ErrorCode::Other(_) => Self::Other,
        }
    }
}

impl From<SocketFault> for network::ErrorCode {
    fn from(fault: SocketFault) -> Self {
        match fault {
            SocketFault::AccessDenied => Self::AccessDenied,
            SocketFault::NotSupported => Self::NotSupported,
            SocketFault::InvalidArgument => Self::InvalidArgument,
            SocketFault::OutOfMemory => Self::OutOfMemory,
            SocketFault::Timeout => Self::Timeout,
            SocketFault::InvalidState => Self::InvalidState,
            SocketFault::AddressNotBindable => Self::AddressNotBindable,
            SocketFault::AddressInUse => Self::AddressInUse,
            SocketFault::RemoteUnreachable => Self::RemoteUnreachable,
            SocketFault::ConnectionRefused => Self::ConnectionRefused,
            SocketFault::ConnectionReset => Self::ConnectionReset,
            SocketFault::ConnectionAborted => Self::ConnectionAborted,
            SocketFault::DatagramTooLarge => Self::DatagramTooLarge,
            SocketFault::NameUnresolvable => Self::NameUnresolvable,
            SocketFault::ConnectionBroken | SocketFault::Other => Self::Unknown,
        }
    }
}

impl From<SocketFault> for p3::ErrorCode {
    fn from(fault: SocketFault) -> Self {
        match fault {
            SocketFault::AccessDenied => Self::AccessDenied,
            SocketFault::NotSupported => Self::NotSupported,
            SocketFault::InvalidArgument => Self::InvalidArgument,
            SocketFault::OutOfMemory => Self::OutOfMemory,
            SocketFault::Timeout => Self::Timeout,
            SocketFault::InvalidState => Self::InvalidState,
            SocketFault::AddressNotBindable => Self::AddressNotBindable,
            SocketFault::AddressInUse => Self::AddressInUse,
            SocketFault::RemoteUnreachable => Self::RemoteUnreachable,
            SocketFault::ConnectionRefused => Self::ConnectionRefused,
            SocketFault::ConnectionBroken => Self::ConnectionBroken,
            SocketFault::ConnectionReset => Self::ConnectionReset,
            SocketFault::ConnectionAborted => Self::ConnectionAborted,
            SocketFault::DatagramTooLarge => Self::DatagramTooLarge,
            SocketFault::NameUnresolvable | SocketFault::Other => Self::Other(None),
        }
    }
}
