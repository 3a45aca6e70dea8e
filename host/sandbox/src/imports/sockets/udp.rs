//! UDP for WASI 0.2.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::{SocketError, SocketResult};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::handle::{AwaitedResponse, SocketHandle, value};
use super::option::common;
use super::{View, answer, ours, to_socket_error};
use crate::bindings::sockets::udp::{
    self, IncomingDatagram, IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket,
};
use crate::bindings::sockets::udp_create_socket;
use crate::protocol::blob::ByteBlob;
use crate::protocol::sockets::{SocketFault, SocketKind, SocketOp, SocketOption, SocketResponse};

/// Socket, with the state that WASI exposes.
struct Udp {
    inner: Arc<SocketHandle>,
    binding: bool,
    bound: bool,
    connected: bool,
    next: Next,
}

/// The next datagram, once it was asked for. It outlives the stream that asked.
type Next = Arc<Mutex<Option<AwaitedResponse>>>;

struct Incoming {
    inner: Arc<SocketHandle>,
    next: Next,
}

struct Outgoing {
    inner: Arc<SocketHandle>,
    permit: usize,
}

/// Same limit as the engine's library.
const DATAGRAMS_MAX: usize = 16;

type Handle = Resource<UdpSocket>;

impl View<'_> {
    fn udp(&mut self, handle: &Handle) -> SocketResult<&mut Udp> {
        Ok(self.table.get_mut(&ours(handle))?)
    }
}

impl udp_create_socket::Host for View<'_> {
    async fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Handle> {
        let kind = SocketKind { datagrams: true, v6: matches!(family, IpAddressFamily::Ipv6) };
        let inner = SocketHandle::open(self.outside, kind).await.map_err(to_socket_error)?;
        let socket = Udp { inner, binding: false, bound: false, connected: false, next: Arc::default() };
        let socket = self.table.push(socket)?;
        Ok(Resource::new_own(socket.rep()))
    }
}

impl udp::Host for View<'_> {}

impl udp::HostUdpSocket for View<'_> {
    async fn start_bind(
        &mut self,
        handle: Handle,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let socket = self.udp(&handle)?;
        if socket.binding {
            return Err(ErrorCode::ConcurrencyConflict.into());
        }
        socket.inner.done(SocketOp::Bind(address.into())).await.map_err(to_socket_error)?;
        (socket.binding, socket.bound) = (true, true);
        Ok(())
    }

    async fn finish_bind(&mut self, handle: Handle) -> SocketResult<()> {
        let socket = self.udp(&handle)?;
        if std::mem::take(&mut socket.binding) { Ok(()) } else { Err(ErrorCode::NotInProgress.into()) }
    }

    async fn stream(
        &mut self,
        handle: Handle,
        remote: Option<IpSocketAddress>,
    ) -> SocketResult<(Resource<IncomingDatagramStream>, Resource<OutgoingDatagramStream>)> {
        let this = ours::<_, Udp>(&handle);
        if self.table.iter_children(&this)?.any(|child| child.is::<Incoming>() || child.is::<Outgoing>()) {
            return Err(SocketError::trap(wasmtime::format_err!("its streams before are not dropped yet")));
        }
        let socket = self.udp(&handle)?;
        if !socket.bound {
            return Err(ErrorCode::InvalidState.into());
        }
        if let Some(remote) = remote {
            socket.inner.done(SocketOp::Connect(remote.into())).await.map_err(to_socket_error)?;
            socket.connected = true;
        } else if std::mem::take(&mut socket.connected) {
            socket.inner.done(SocketOp::Disconnect).await.map_err(to_socket_error)?;
        }
        let incoming = Incoming { inner: Arc::clone(&socket.inner), next: Arc::clone(&socket.next) };
        let outgoing = Outgoing { inner: Arc::clone(&socket.inner), permit: 0 };
        let incoming = self.table.push_child(incoming, &this)?;
        let outgoing = self.table.push_child(outgoing, &this)?;
        Ok((Resource::new_own(incoming.rep()), Resource::new_own(outgoing.rep())))
    }

    async fn address_family(&mut self, handle: Handle) -> wasmtime::Result<IpAddressFamily> {
        let socket = self.table.get::<Udp>(&ours(&handle))?;
        Ok(if socket.inner.kind.v6 { IpAddressFamily::Ipv6 } else { IpAddressFamily::Ipv4 })
    }

    common! { Udp udp answer SocketResult: local_address remote_address;
        unicast_hop_limit set_unicast_hop_limit HopLimit u8;
        receive_buffer_size set_receive_buffer_size ReceiveBuffer u64;
        send_buffer_size set_send_buffer_size SendBuffer u64;
    }

    async fn subscribe(&mut self, handle: Handle) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours::<_, Udp>(&handle))
    }
}

#[async_trait]
impl Pollable for Udp {
    /// Ready at once: no operation takes time.
    async fn ready(&mut self) {}
}

impl Incoming {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.get_or_insert_with(|| AwaitedResponse::new(self.inner.begin(SocketOp::ReceiveFrom, None)))
            .poll_ready(cx)
    }

    /// The next datagram; `None` if there is none yet.
    fn receive(&self) -> Result<Option<(Vec<u8>, SocketAddr)>, SocketFault> {
        if self.poll_next(&mut Context::from_waker(Waker::noop())).is_pending() {
            return Ok(None);
        }
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Ok(response)) = next.map(AwaitedResponse::take) else { return Ok(None) };
        value!(response, SocketResponse::Datagram(ByteBlob(data), from) => Some((data, from)))
    }
}

#[async_trait]
impl Pollable for Incoming {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_next(cx)).await;
    }
}

#[async_trait]
impl Pollable for Outgoing {
    async fn ready(&mut self) {}
}

impl udp::HostIncomingDatagramStream for View<'_> {
    async fn receive(
        &mut self,
        stream: Resource<IncomingDatagramStream>,
        max: u64,
    ) -> SocketResult<Vec<IncomingDatagram>> {
        let stream = self.table.get::<Incoming>(&ours(&stream))?;
        if max == 0 {
            return Ok(Vec::new());
        }
        // One at a time, since received bytes count against the limit.
        let next = stream.receive().map_err(to_socket_error)?;
        let datagram =
            |(data, from): (Vec<u8>, SocketAddr)| IncomingDatagram { data, remote_address: from.into() };
        Ok(next.map(datagram).into_iter().collect())
    }

    async fn subscribe(
        &mut self,
        stream: Resource<IncomingDatagramStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours::<_, Incoming>(&stream))
    }

    async fn drop(&mut self, stream: Resource<IncomingDatagramStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Incoming>::new_own(stream.rep()))?;
        Ok(())
    }
}

impl udp::HostOutgoingDatagramStream for View<'_> {
    async fn check_send(&mut self, stream: Resource<OutgoingDatagramStream>) -> SocketResult<u64> {
        let stream = self.table.get_mut::<Outgoing>(&ours(&stream))?;
        stream.permit = DATAGRAMS_MAX;
        Ok(DATAGRAMS_MAX as u64)
    }

    async fn send(
        &mut self,
        stream: Resource<OutgoingDatagramStream>,
        datagrams: Vec<OutgoingDatagram>,
    ) -> SocketResult<u64> {
        let stream = self.table.get_mut::<Outgoing>(&ours(&stream))?;
        // The interface allows a host to send fewer than given: one at a time.
        let Some(OutgoingDatagram { data, remote_address }) = datagrams.into_iter().next() else {
            return Ok(0);
        };
        if std::mem::take(&mut stream.permit) == 0 {
            return Err(SocketError::trap(wasmtime::format_err!("more datagrams than check-send allows")));
        }
        if data.len() > usize::from(u16::MAX) {
            return Err(ErrorCode::DatagramTooLarge.into());
        }
        let to = remote_address.map(SocketAddr::from);
        stream.inner.done(SocketOp::SendTo(ByteBlob(data), to)).await.map_err(to_socket_error)?;
        Ok(1)
    }

    async fn subscribe(
        &mut self,
        stream: Resource<OutgoingDatagramStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours::<_, Outgoing>(&stream))
    }

    async fn drop(&mut self, stream: Resource<OutgoingDatagramStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Outgoing>::new_own(stream.rep()))?;
        Ok(())
    }
}
