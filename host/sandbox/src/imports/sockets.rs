//! `sockets`: TCP and UDP to granted places, by both generations of WASI. Guests have handles; their calls are translated into
//! `SocketOp` and performed by the process that has the sockets, which asks the grant before each use of an address. Nothing listens.

mod broker;
mod connection;
mod convert;
mod datagram;
mod handle;
mod lookup;
pub(crate) mod open_socket;
mod option;
mod p3;
mod stream;
mod tcp;
mod udp;

use std::net::IpAddr;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use toolgate_base::meter::{Meter, StopError};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::sockets::{instance_network, ip_name_lookup, network};
use wasmtime_wasi::p2::{Network, SocketError, SocketResult};
use wasmtime_wasi::sockets::{WasiSocketsCtx, WasiSocketsCtxView};

use super::Ctx;
use super::host_calls::HostCalls;
use crate::bindings::sockets::{tcp as tcp2, tcp_create_socket, udp as udp2, udp_create_socket};
use crate::protocol::sockets::SocketFault;

/// The library's part of one call, which opens nothing.
#[derive(Default)]
pub(crate) struct SocketsCtx(WasiSocketsCtx);

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let options = network::LinkOptions::default();
    network::add_to_linker::<Ctx, Sockets>(linker, &options, view)?;
    instance_network::add_to_linker::<Ctx, Sockets>(linker, view)?;
    ip_name_lookup::add_to_linker::<Ctx, Sockets>(linker, view)?;
    tcp2::add_to_linker::<Ctx, Sockets>(linker, view)?;
    tcp_create_socket::add_to_linker::<Ctx, Sockets>(linker, view)?;
    udp2::add_to_linker::<Ctx, Sockets>(linker, view)?;
    udp_create_socket::add_to_linker::<Ctx, Sockets>(linker, view)
}

pub(super) use p3::link as link_p3;

struct Sockets;

impl HasData for Sockets {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    ctx: &'a mut WasiSocketsCtx,
    table: &'a mut ResourceTable,
    outside: &'a HostCalls,
    meter: &'a Meter,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    View { ctx: &mut ctx.sockets.0, table: &mut ctx.table, outside: &ctx.outside, meter: &ctx.meter }
}

/// Handle of our type for one of WASI's, which cannot be built here. The table checks the entry's type.
fn ours<T: 'static, U: 'static>(handle: &Resource<T>) -> Resource<U> {
    Resource::new_borrow(handle.rep())
}

fn to_socket_error(refused: SocketFault) -> SocketError {
    network::ErrorCode::from(refused).into()
}

fn answer<T>(result: Result<T, SocketFault>) -> SocketResult<T> {
    result.map_err(to_socket_error)
}

impl View<'_> {
    fn inner(&mut self) -> WasiSocketsCtxView<'_> {
        WasiSocketsCtxView { ctx: self.ctx, table: self.table }
    }

    /// Begins to look a name up.
    fn look_up(
        &self,
        name: String,
    ) -> Result<BoxFuture<'static, Result<Vec<IpAddr>, SocketFault>>, StopError> {
        match self.outside {
            HostCalls::Local(broker) => {
                broker.count_one()?;
                let broker = Arc::clone(broker);
                Ok(async move { broker.look_up(&name).await }.boxed())
            }
            HostCalls::Remote(client) => Ok(handle::look_up(Arc::clone(client), name).boxed()),
        }
    }

    /// Returns an error if the call must stop.
    fn goes_on(&self) -> Result<(), StopError> {
        self.meter.crossed(false, u64::MAX)
    }
}

impl network::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<network::ErrorCode> {
        network::Host::convert_error_code(&mut self.inner(), error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<network::ErrorCode>> {
        network::Host::network_error_code(&mut self.inner(), error)
    }
}

impl network::HostNetwork for View<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.inner(), network)
    }
}

impl instance_network::Host for View<'_> {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<Network>> {
        self.inner().instance_network()
    }
}
