//! TCP by WASI 0.2: opening is counted, bytes are counted both ways, and listening is refused. The rest is the library's.

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::{tcp, tcp_create_socket};
use wasmtime_wasi::p2::pipe::{ClosedInputStream, ClosedOutputStream};
use wasmtime_wasi::p2::{SocketError, SocketResult, TcpSocket};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable};
use wasmtime_wasi_io::streams::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, StreamError, StreamResult,
};

use super::View;
use crate::meter::Meter;

type Socket = Resource<TcpSocket>;

impl tcp_create_socket::Host for View<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Socket> {
        self.gate.count_one().map_err(SocketError::trap)?;
        self.inner().create_tcp_socket(family)
    }
}

impl tcp::Host for View<'_> {}

impl tcp::HostTcpSocket for View<'_> {
    async fn start_bind(
        &mut self,
        socket: Socket,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        tcp::HostTcpSocket::start_bind(&mut self.inner(), socket, network, address).await
    }

    fn finish_bind(&mut self, socket: Socket) -> SocketResult<()> {
        tcp::HostTcpSocket::finish_bind(&mut self.inner(), socket)
    }

    fn start_connect(
        &mut self,
        socket: Socket,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.inner().start_connect(socket, network, address)
    }

    fn finish_connect(
        &mut self,
        socket: Socket,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let (input, output) = self.inner().finish_connect(socket)?;
        let meter = &self.gate.meter;
        let stream = self.table.get_mut(&input)?;
        let inner = std::mem::replace(stream, Box::new(ClosedInputStream));
        *stream = Box::new(Counted { inner, meter: meter.clone() });
        let stream = self.table.get_mut(&output)?;
        let inner = std::mem::replace(stream, Box::new(ClosedOutputStream));
        *stream = Box::new(Counted { inner, meter: meter.clone() });
        Ok((input, output))
    }

    async fn start_listen(&mut self, socket: Socket) -> SocketResult<()> {
        self.table.get(&socket)?;
        self.gate.refuse_listening();
        Err(ErrorCode::AccessDenied.into())
    }

    fn finish_listen(&mut self, socket: Socket) -> SocketResult<()> {
        self.table.get(&socket)?;
        Err(ErrorCode::NotInProgress.into())
    }

    fn accept(
        &mut self,
        socket: Socket,
    ) -> SocketResult<(Socket, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        self.table.get(&socket)?;
        Err(ErrorCode::InvalidState.into())
    }

    fn local_address(&mut self, socket: Socket) -> SocketResult<IpSocketAddress> {
        tcp::HostTcpSocket::local_address(&mut self.inner(), socket)
    }

    fn remote_address(&mut self, socket: Socket) -> SocketResult<IpSocketAddress> {
        tcp::HostTcpSocket::remote_address(&mut self.inner(), socket)
    }

    fn is_listening(&mut self, socket: Socket) -> wasmtime::Result<bool> {
        self.inner().is_listening(socket)
    }

    fn address_family(&mut self, socket: Socket) -> wasmtime::Result<IpAddressFamily> {
        tcp::HostTcpSocket::address_family(&mut self.inner(), socket)
    }

    fn set_listen_backlog_size(&mut self, socket: Socket, value: u64) -> SocketResult<()> {
        tcp::HostTcpSocket::set_listen_backlog_size(&mut self.inner(), socket, value)
    }

    fn keep_alive_enabled(&mut self, socket: Socket) -> SocketResult<bool> {
        self.inner().keep_alive_enabled(socket)
    }

    fn set_keep_alive_enabled(&mut self, socket: Socket, value: bool) -> SocketResult<()> {
        tcp::HostTcpSocket::set_keep_alive_enabled(&mut self.inner(), socket, value)
    }

    fn keep_alive_idle_time(&mut self, socket: Socket) -> SocketResult<u64> {
        self.inner().keep_alive_idle_time(socket)
    }

    fn set_keep_alive_idle_time(&mut self, socket: Socket, value: u64) -> SocketResult<()> {
        tcp::HostTcpSocket::set_keep_alive_idle_time(&mut self.inner(), socket, value)
    }

    fn keep_alive_interval(&mut self, socket: Socket) -> SocketResult<u64> {
        self.inner().keep_alive_interval(socket)
    }

    fn set_keep_alive_interval(&mut self, socket: Socket, value: u64) -> SocketResult<()> {
        tcp::HostTcpSocket::set_keep_alive_interval(&mut self.inner(), socket, value)
    }

    fn keep_alive_count(&mut self, socket: Socket) -> SocketResult<u32> {
        self.inner().keep_alive_count(socket)
    }

    fn set_keep_alive_count(&mut self, socket: Socket, value: u32) -> SocketResult<()> {
        tcp::HostTcpSocket::set_keep_alive_count(&mut self.inner(), socket, value)
    }

    fn hop_limit(&mut self, socket: Socket) -> SocketResult<u8> {
        self.inner().hop_limit(socket)
    }

    fn set_hop_limit(&mut self, socket: Socket, value: u8) -> SocketResult<()> {
        tcp::HostTcpSocket::set_hop_limit(&mut self.inner(), socket, value)
    }

    fn receive_buffer_size(&mut self, socket: Socket) -> SocketResult<u64> {
        tcp::HostTcpSocket::receive_buffer_size(&mut self.inner(), socket)
    }

    fn set_receive_buffer_size(&mut self, socket: Socket, value: u64) -> SocketResult<()> {
        tcp::HostTcpSocket::set_receive_buffer_size(&mut self.inner(), socket, value)
    }

    fn send_buffer_size(&mut self, socket: Socket) -> SocketResult<u64> {
        tcp::HostTcpSocket::send_buffer_size(&mut self.inner(), socket)
    }

    fn set_send_buffer_size(&mut self, socket: Socket, value: u64) -> SocketResult<()> {
        tcp::HostTcpSocket::set_send_buffer_size(&mut self.inner(), socket, value)
    }

    fn subscribe(&mut self, socket: Socket) -> wasmtime::Result<Resource<DynPollable>> {
        tcp::HostTcpSocket::subscribe(&mut self.inner(), socket)
    }

    fn shutdown(&mut self, socket: Socket, how: tcp::ShutdownType) -> SocketResult<()> {
        self.inner().shutdown(socket, how)
    }

    fn drop(&mut self, socket: Socket) -> wasmtime::Result<()> {
        tcp::HostTcpSocket::drop(&mut self.inner(), socket)
    }
}

/// A stream of a connection that counts on the call it belongs to.
struct Counted<S> {
    inner: S,
    meter: Meter,
}

impl<S> Counted<S> {
    fn count(&self, bytes: usize) -> StreamResult<()> {
        self.meter.socket_bytes(bytes as u64).map_err(|stop| StreamError::Trap(stop.into()))
    }
}

#[async_trait]
impl<S: Pollable> Pollable for Counted<S> {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[async_trait]
impl InputStream for Counted<DynInputStream> {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = self.inner.read(size)?;
        self.count(bytes.len())?;
        Ok(bytes)
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[async_trait]
impl OutputStream for Counted<DynOutputStream> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.count(bytes.len())?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}
