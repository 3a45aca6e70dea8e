//! UDP by WASI 0.3: opening and datagrams are counted. The rest is the library's, which asks before each datagram that
//! leaves and drops those of strangers.

use toolgate_policy::capability::sockets::Protocol;
use wasmtime::component::{Accessor, Resource};
use wasmtime_wasi::p3::bindings::sockets::types::{
    HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily, IpSocketAddress, UdpSocket,
};
use wasmtime_wasi::p3::sockets::{SocketError, SocketResult};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtxView};

use super::{Sockets, Store, View, gate};
use crate::imports::Ctx;

type Handle = Resource<UdpSocket>;

/// What the engine's library works on.
fn inner(ctx: &mut Ctx) -> WasiSocketsCtxView<'_> {
    WasiSocketsCtxView { ctx: &mut ctx.sockets.ctx, table: &mut ctx.table }
}

fn library(store: &Store) -> Accessor<Ctx, WasiSockets> {
    store.with_getter::<WasiSockets>(inner)
}

impl HostUdpSocketWithStore<Ctx> for Sockets {
    async fn send(
        store: &Store,
        handle: Handle,
        data: Vec<u8>,
        to: Option<IpSocketAddress>,
    ) -> SocketResult<()> {
        gate(store).count_datagram(&data).map_err(SocketError::trap)?;
        <WasiSockets as HostUdpSocketWithStore<Ctx>>::send(&library(store), handle, data, to).await
    }

    async fn receive(store: &Store, handle: Handle) -> SocketResult<(Vec<u8>, IpSocketAddress)> {
        let gate = gate(store);
        // Waiting takes the host's memory for a whole datagram, and a guest can begin as often as it has handles.
        let _turn = gate.turns.acquire().await;
        let (data, from) =
            <WasiSockets as HostUdpSocketWithStore<Ctx>>::receive(&library(store), handle).await?;
        gate.count_datagram(&data).map_err(SocketError::trap)?;
        Ok((data, from))
    }
}

impl HostUdpSocket for View<'_> {
    async fn create(&mut self, family: IpAddressFamily) -> SocketResult<Handle> {
        self.ask_one(Protocol::Udp)?;
        HostUdpSocket::create(&mut self.inner(), family).await
    }

    async fn bind(&mut self, handle: Handle, address: IpSocketAddress) -> SocketResult<()> {
        HostUdpSocket::bind(&mut self.inner(), handle, address).await
    }

    async fn connect(&mut self, handle: Handle, address: IpSocketAddress) -> SocketResult<()> {
        HostUdpSocket::connect(&mut self.inner(), handle, address).await
    }

    fn disconnect(&mut self, handle: Handle) -> SocketResult<()> {
        HostUdpSocket::disconnect(&mut self.inner(), handle)
    }

    fn get_local_address(&mut self, handle: Handle) -> SocketResult<IpSocketAddress> {
        HostUdpSocket::get_local_address(&mut self.inner(), handle)
    }

    fn get_remote_address(&mut self, handle: Handle) -> SocketResult<IpSocketAddress> {
        HostUdpSocket::get_remote_address(&mut self.inner(), handle)
    }

    fn get_address_family(&mut self, handle: Handle) -> wasmtime::Result<IpAddressFamily> {
        HostUdpSocket::get_address_family(&mut self.inner(), handle)
    }

    fn get_unicast_hop_limit(&mut self, handle: Handle) -> SocketResult<u8> {
        HostUdpSocket::get_unicast_hop_limit(&mut self.inner(), handle)
    }

    fn set_unicast_hop_limit(&mut self, handle: Handle, value: u8) -> SocketResult<()> {
        HostUdpSocket::set_unicast_hop_limit(&mut self.inner(), handle, value)
    }

    fn get_receive_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        HostUdpSocket::get_receive_buffer_size(&mut self.inner(), handle)
    }

    fn set_receive_buffer_size(&mut self, handle: Handle, value: u64) -> SocketResult<()> {
        HostUdpSocket::set_receive_buffer_size(&mut self.inner(), handle, value)
    }

    fn get_send_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        HostUdpSocket::get_send_buffer_size(&mut self.inner(), handle)
    }

    fn set_send_buffer_size(&mut self, handle: Handle, value: u64) -> SocketResult<()> {
        HostUdpSocket::set_send_buffer_size(&mut self.inner(), handle, value)
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        HostUdpSocket::drop(&mut self.inner(), handle)
    }
}
