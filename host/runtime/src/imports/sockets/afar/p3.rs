//! The same by WASI 0.3.

mod stream;
mod tcp;
mod udp;

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use wasmtime::component::{Accessor, Linker};

use super::{Plugs, Refused, View, view};
use crate::bindings::sockets::p3::types::{
    self as t, ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use crate::imports::Ctx;

pub(in crate::imports::sockets) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    t::add_to_linker::<Ctx, Plugs>(linker, view)
}

type Store = Accessor<Ctx, Plugs>;

/// Outside, what ends the call; inside, what the guest is told.
type Told<T> = wasmtime::Result<Result<T, ErrorCode>>;

impl t::Host for View<'_> {}

impl From<Refused> for ErrorCode {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::AccessDenied => Self::AccessDenied,
            Refused::NotSupported => Self::NotSupported,
            Refused::InvalidArgument => Self::InvalidArgument,
            Refused::OutOfMemory => Self::OutOfMemory,
            Refused::Timeout => Self::Timeout,
            Refused::InvalidState => Self::InvalidState,
            Refused::AddressNotBindable => Self::AddressNotBindable,
            Refused::AddressInUse => Self::AddressInUse,
            Refused::RemoteUnreachable => Self::RemoteUnreachable,
            Refused::ConnectionRefused => Self::ConnectionRefused,
            Refused::ConnectionBroken => Self::ConnectionBroken,
            Refused::ConnectionReset => Self::ConnectionReset,
            Refused::ConnectionAborted => Self::ConnectionAborted,
            Refused::DatagramTooLarge => Self::DatagramTooLarge,
            Refused::NameUnresolvable | Refused::Other => Self::Other(None),
        }
    }
}

impl From<IpSocketAddress> for SocketAddr {
    fn from(address: IpSocketAddress) -> Self {
        match address {
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) }) => {
                SocketAddrV4::new([a, b, c, d].into(), port).into()
            }
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info, address, scope_id }) => {
                let (a, b, c, d, e, f, g, h) = address;
                SocketAddrV6::new([a, b, c, d, e, f, g, h].into(), port, flow_info, scope_id).into()
            }
        }
    }
}

impl From<SocketAddr> for IpSocketAddress {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => {
                let [a, b, c, d] = v4.ip().octets();
                Self::Ipv4(Ipv4SocketAddress { port: v4.port(), address: (a, b, c, d) })
            }
            SocketAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h] = v6.ip().segments();
                Self::Ipv6(Ipv6SocketAddress {
                    port: v6.port(),
                    flow_info: v6.flowinfo(),
                    address: (a, b, c, d, e, f, g, h),
                    scope_id: v6.scope_id(),
                })
            }
        }
    }
}

fn is_v6(family: IpAddressFamily) -> bool {
    match family {
        IpAddressFamily::Ipv4 => false,
        IpAddressFamily::Ipv6 => true,
    }
}

fn family(is_v6: bool) -> IpAddressFamily {
    if is_v6 { IpAddressFamily::Ipv6 } else { IpAddressFamily::Ipv4 }
}
