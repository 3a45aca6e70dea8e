//! UDP for WASI 0.3.

use std::sync::Arc;

use tokio::sync::Mutex;
use wasmtime::component::Resource;

use super::{Answer, Sockets, Store, View, answer, family, is_v6};
use crate::bindings::sockets::p3::types::{
    ErrorCode, HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily, IpSocketAddress, UdpSocket,
};
use crate::imports::Ctx;
use crate::imports::sockets::handle::{SocketFuture, SocketHandle, value};
use crate::imports::sockets::option::common;
use crate::imports::sockets::ours;
use crate::protocol::blob::ByteBlob;
use crate::protocol::sockets::{SocketKind, SocketOp, SocketOption, SocketResponse};

struct Udp {
    inner: Arc<SocketHandle>,
    /// The next datagram, once it was asked for. Whoever waits first has it.
    next: Arc<Mutex<Option<SocketFuture>>>,
}

type Handle = Resource<UdpSocket>;

impl View<'_> {
    fn udp_p3(&mut self, handle: &Handle) -> wasmtime::Result<&mut Udp> {
        Ok(self.table.get_mut(&ours(handle))?)
    }
}

impl HostUdpSocketWithStore<Ctx> for Sockets {
    async fn send(store: &Store, handle: Handle, data: Vec<u8>, to: Option<IpSocketAddress>) -> Answer<()> {
        if data.len() > usize::from(u16::MAX) {
            return Ok(Err(ErrorCode::DatagramTooLarge));
        }
        let inner =
            store.with(|mut access| wasmtime::error::Ok(Arc::clone(&access.get().udp_p3(&handle)?.inner)))?;
        let sent = inner.done(SocketOp::SendTo(ByteBlob(data), to.map(Into::into))).await;
        inner.goes_on()?;
        Ok(sent.map_err(ErrorCode::from))
    }

    async fn receive(store: &Store, handle: Handle) -> Answer<(Vec<u8>, IpSocketAddress)> {
        let (inner, next) = store.with(|mut access| {
            let mut view = access.get();
            let socket = view.udp_p3(&handle)?;
            wasmtime::error::Ok((Arc::clone(&socket.inner), Arc::clone(&socket.next)))
        })?;
        let mut next = next.lock().await;
        let response = next.get_or_insert_with(|| inner.begin(SocketOp::ReceiveFrom, None)).await;
        *next = None;
        inner.goes_on()?;
        let datagram =
            value!(response, SocketResponse::Datagram(ByteBlob(data), from) => (data, from.into()));
        Ok(datagram.map_err(ErrorCode::from))
    }
}

impl HostUdpSocket for View<'_> {
    async fn create(&mut self, family: IpAddressFamily) -> Answer<Handle> {
        match SocketHandle::open(self.outside, SocketKind { datagrams: true, v6: is_v6(family) }).await {
            Ok(inner) => {
                let socket = self.table.push(Udp { inner, next: Arc::default() })?;
                Ok(Ok(Resource::new_own(socket.rep())))
            }
            Err(refused) => Ok(Err(refused.into())),
        }
    }

    async fn bind(&mut self, handle: Handle, address: IpSocketAddress) -> Answer<()> {
        answer(self.udp_p3(&handle)?.inner.done(SocketOp::Bind(address.into())).await)
    }

    async fn connect(&mut self, handle: Handle, address: IpSocketAddress) -> Answer<()> {
        answer(self.udp_p3(&handle)?.inner.done(SocketOp::Connect(address.into())).await)
    }

    async fn disconnect(&mut self, handle: Handle) -> Answer<()> {
        answer(self.udp_p3(&handle)?.inner.done(SocketOp::Disconnect).await)
    }

    async fn get_address_family(&mut self, handle: Handle) -> wasmtime::Result<IpAddressFamily> {
        Ok(family(self.udp_p3(&handle)?.inner.kind.v6))
    }

    common! { Udp udp_p3 answer Answer: get_local_address get_remote_address;
        get_unicast_hop_limit set_unicast_hop_limit HopLimit u8;
        get_receive_buffer_size set_receive_buffer_size ReceiveBuffer u64;
        get_send_buffer_size set_send_buffer_size SendBuffer u64;
    }
}
