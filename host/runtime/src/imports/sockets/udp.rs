//! UDP by WASI 0.2: opening and datagrams are counted. The rest is the library's, which asks before each datagram that
//! leaves and drops those of strangers.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::udp::{
    self, IncomingDatagram, IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream,
};
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket;
use wasmtime_wasi::p2::{SocketError, SocketResult, UdpSocket};
use wasmtime_wasi_io::poll::DynPollable;

use super::View;

type Socket = Resource<UdpSocket>;

impl udp_create_socket::Host for View<'_> {
    async fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Socket> {
        self.gate.count_one().map_err(SocketError::trap)?;
        self.inner().create_udp_socket(family).await
    }
}

impl udp::Host for View<'_> {}

impl udp::HostUdpSocket for View<'_> {
    async fn start_bind(
        &mut self,
        socket: Socket,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        udp::HostUdpSocket::start_bind(&mut self.inner(), socket, network, address).await
    }

    fn finish_bind(&mut self, socket: Socket) -> SocketResult<()> {
        udp::HostUdpSocket::finish_bind(&mut self.inner(), socket)
    }

    async fn stream(
        &mut self,
        socket: Socket,
        remote: Option<IpSocketAddress>,
    ) -> SocketResult<(Resource<IncomingDatagramStream>, Resource<OutgoingDatagramStream>)> {
        self.inner().stream(socket, remote).await
    }

    fn local_address(&mut self, socket: Socket) -> SocketResult<IpSocketAddress> {
        udp::HostUdpSocket::local_address(&mut self.inner(), socket)
    }

    fn remote_address(&mut self, socket: Socket) -> SocketResult<IpSocketAddress> {
        udp::HostUdpSocket::remote_address(&mut self.inner(), socket)
    }

    fn address_family(&mut self, socket: Socket) -> wasmtime::Result<IpAddressFamily> {
        udp::HostUdpSocket::address_family(&mut self.inner(), socket)
    }

    fn unicast_hop_limit(&mut self, socket: Socket) -> SocketResult<u8> {
        self.inner().unicast_hop_limit(socket)
    }

    fn set_unicast_hop_limit(&mut self, socket: Socket, value: u8) -> SocketResult<()> {
        udp::HostUdpSocket::set_unicast_hop_limit(&mut self.inner(), socket, value)
    }

    fn receive_buffer_size(&mut self, socket: Socket) -> SocketResult<u64> {
        udp::HostUdpSocket::receive_buffer_size(&mut self.inner(), socket)
    }

    fn set_receive_buffer_size(&mut self, socket: Socket, value: u64) -> SocketResult<()> {
        udp::HostUdpSocket::set_receive_buffer_size(&mut self.inner(), socket, value)
    }

    fn send_buffer_size(&mut self, socket: Socket) -> SocketResult<u64> {
        udp::HostUdpSocket::send_buffer_size(&mut self.inner(), socket)
    }

    fn set_send_buffer_size(&mut self, socket: Socket, value: u64) -> SocketResult<()> {
        udp::HostUdpSocket::set_send_buffer_size(&mut self.inner(), socket, value)
    }

    fn subscribe(&mut self, socket: Socket) -> wasmtime::Result<Resource<DynPollable>> {
        udp::HostUdpSocket::subscribe(&mut self.inner(), socket)
    }

    fn drop(&mut self, socket: Socket) -> wasmtime::Result<()> {
        udp::HostUdpSocket::drop(&mut self.inner(), socket)
    }
}

impl View<'_> {
    fn count<'a>(&self, mut datagrams: impl Iterator<Item = &'a Vec<u8>>) -> SocketResult<()> {
        datagrams.try_for_each(|data| self.gate.count_datagram(data)).map_err(SocketError::trap)
    }
}

impl udp::HostIncomingDatagramStream for View<'_> {
    fn receive(
        &mut self,
        stream: Resource<IncomingDatagramStream>,
        max: u64,
    ) -> SocketResult<Vec<IncomingDatagram>> {
        let datagrams = self.inner().receive(stream, max)?;
        self.count(datagrams.iter().map(|datagram| &datagram.data))?;
        Ok(datagrams)
    }

    fn subscribe(
        &mut self,
        stream: Resource<IncomingDatagramStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        udp::HostIncomingDatagramStream::subscribe(&mut self.inner(), stream)
    }

    fn drop(&mut self, stream: Resource<IncomingDatagramStream>) -> wasmtime::Result<()> {
        udp::HostIncomingDatagramStream::drop(&mut self.inner(), stream)
    }
}

impl udp::HostOutgoingDatagramStream for View<'_> {
    fn check_send(&mut self, stream: Resource<OutgoingDatagramStream>) -> SocketResult<u64> {
        self.inner().check_send(stream)
    }

    fn send(
        &mut self,
        stream: Resource<OutgoingDatagramStream>,
        mut datagrams: Vec<OutgoingDatagram>,
    ) -> SocketResult<u64> {
        // The interface lets a host send fewer than it is given. One at a time, what is counted is what is sent.
        datagrams.truncate(1);
        self.count(datagrams.iter().map(|datagram| &datagram.data))?;
        self.inner().send(stream, datagrams)
    }

    fn subscribe(
        &mut self,
        stream: Resource<OutgoingDatagramStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        udp::HostOutgoingDatagramStream::subscribe(&mut self.inner(), stream)
    }

    async fn drop(&mut self, stream: Resource<OutgoingDatagramStream>) -> wasmtime::Result<()> {
        udp::HostOutgoingDatagramStream::drop(&mut self.inner(), stream).await
    }
}
