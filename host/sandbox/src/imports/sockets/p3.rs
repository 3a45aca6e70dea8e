//! Sockets for WASI 0.3: addresses, errors, names, and what TCP and UDP share.

mod stream;
mod tcp;
mod udp;

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use wasmtime::component::{Accessor, Linker};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::{self, ErrorCode as NotFound};
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress;

use super::{Sockets, View, view};
use crate::bindings::sockets::p3::types::{
    self as t, ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use crate::imports::Ctx;
use crate::protocol::sockets::SocketFault;

pub(in crate::imports) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    t::add_to_linker::<Ctx, Sockets>(linker, view)?;
    ip_name_lookup::add_to_linker::<Ctx, Sockets>(linker, view)
}

type Store = Accessor<Ctx, Sockets>;

/// Outside, what ends the call; inside, the guest's answer.
type Answer<T> = wasmtime::Result<Result<T, ErrorCode>>;

fn answer<T>(result: Result<T, SocketFault>) -> Answer<T> {
    Ok(result.map_err(ErrorCode::from))
}

impl t::Host for View<'_> {}

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

impl ip_name_lookup::Host for View<'_> {}

impl ip_name_lookup::HostWithStore<Ctx> for Sockets {
    async fn resolve_addresses(
        store: &Store,
        name: String,
    ) -> wasmtime::Result<Result<Vec<IpAddress>, NotFound>> {
        let looking = store.with(|mut access| access.get().look_up(name))?;
        let found = looking.await;
        // The response may have reached a limit that ends the call.
        store.with(|mut access| access.get().goes_on())?;
        Ok(found.map(|addresses| addresses.into_iter().map(IpAddress::from).collect()).map_err(
            |why| match why {
                SocketFault::InvalidArgument => NotFound::InvalidArgument,
                SocketFault::AccessDenied => NotFound::AccessDenied,
                _ => NotFound::NameUnresolvable,
            },
        ))
    }
}
