//! TCP for WASI 0.2.

use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::SocketResult;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::convert::{fits, leads};
use super::handle::{AwaitedResponse, SocketHandle, value};
use super::option::common;
use super::stream::{SocketReader, SocketWriter};
use super::{View, answer, ours, to_socket_error};
use crate::bindings::sockets::tcp::{self, ShutdownType, TcpSocket};
use crate::bindings::sockets::tcp_create_socket;
use crate::protocol::sockets::{SocketKind, SocketOp, SocketOption, SocketResponse};

/// Socket, with the state that WASI exposes.
struct Tcp {
    inner: Arc<SocketHandle>,
    state: State,
    streams: Option<(SocketReader, SocketWriter)>,
}

enum State {
    Fresh,
    Binding,
    Connecting(AwaitedResponse),
    /// It was used, for better or worse.
    Used,
}

type Handle = Resource<TcpSocket>;

impl View<'_> {
    fn tcp(&mut self, handle: &Handle) -> SocketResult<&mut Tcp> {
        Ok(self.table.get_mut(&ours(handle))?)
    }
}

impl tcp_create_socket::Host for View<'_> {
    async fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Handle> {
        let kind = SocketKind { datagrams: false, v6: matches!(family, IpAddressFamily::Ipv6) };
        let inner = SocketHandle::open(self.outside, kind).await.map_err(to_socket_error)?;
        let socket = self.table.push(Tcp { inner, state: State::Fresh, streams: None })?;
        Ok(Resource::new_own(socket.rep()))
    }
}

impl tcp::Host for View<'_> {}

impl tcp::HostTcpSocket for View<'_> {
    async fn start_bind(
        &mut self,
        handle: Handle,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let socket = self.tcp(&handle)?;
        socket.idle()?;
        socket.inner.done(SocketOp::Bind(address.into())).await.map_err(to_socket_error)?;
        socket.state = State::Binding;
        Ok(())
    }

    async fn finish_bind(&mut self, handle: Handle) -> SocketResult<()> {
        let socket = self.tcp(&handle)?;
        let State::Binding = socket.state else { return Err(ErrorCode::NotInProgress.into()) };
        socket.state = State::Fresh;
        Ok(())
    }

    async fn start_connect(
        &mut self,
        handle: Handle,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let address = SocketAddr::from(address);
        let socket = self.tcp(&handle)?;
        socket.idle()?;
        let State::Fresh = socket.state else { return Err(ErrorCode::InvalidState.into()) };
        if !(fits(socket.inner.kind.family(), address) && leads(address) && is_one(address)) {
            return Err(ErrorCode::InvalidArgument.into());
        }
        let sending = socket.inner.send(SocketOp::Connect(address)).ok_or(ErrorCode::ConcurrencyConflict)?;
        socket.state = State::Connecting(AwaitedResponse::new(sending));
        Ok(())
    }

    async fn finish_connect(
        &mut self,
        handle: Handle,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let socket = self.tcp(&handle)?;
        let connecting = match std::mem::replace(&mut socket.state, State::Used) {
            State::Connecting(connecting) => connecting,
            other => {
                socket.state = other;
                return Err(ErrorCode::NotInProgress.into());
            }
        };
        match connecting.take() {
            Err(connecting) => {
                socket.state = State::Connecting(connecting);
                return Err(ErrorCode::WouldBlock.into());
            }
            Ok(connected) => value!(connected, SocketResponse::Done => ()).map_err(to_socket_error)?,
        }
        let (reader, writer) = (SocketReader::new(&socket.inner), SocketWriter::new(&socket.inner));
        socket.streams = Some((reader.clone(), writer.clone()));
        let (input, output): (DynInputStream, DynOutputStream) = (Box::new(reader), Box::new(writer));
        let this = ours::<_, Tcp>(&handle);
        Ok((self.table.push_child(input, &this)?, self.table.push_child(output, &this)?))
    }

    async fn start_listen(&mut self, handle: Handle) -> SocketResult<()> {
        answer(self.tcp(&handle)?.inner.done(SocketOp::Listen).await)
    }

    async fn finish_listen(&mut self, handle: Handle) -> SocketResult<()> {
        self.tcp(&handle)?;
        Err(ErrorCode::NotInProgress.into())
    }

    async fn accept(
        &mut self,
        handle: Handle,
    ) -> SocketResult<(Handle, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        self.tcp(&handle)?;
        Err(ErrorCode::InvalidState.into())
    }

    async fn is_listening(&mut self, handle: Handle) -> wasmtime::Result<bool> {
        self.table.get::<Tcp>(&ours(&handle))?;
        Ok(false)
    }

    async fn address_family(&mut self, handle: Handle) -> wasmtime::Result<IpAddressFamily> {
        let socket = self.table.get::<Tcp>(&ours(&handle))?;
        Ok(if socket.inner.kind.v6 { IpAddressFamily::Ipv6 } else { IpAddressFamily::Ipv4 })
    }

    async fn set_listen_backlog_size(&mut self, handle: Handle, value: u64) -> SocketResult<()> {
        let socket = self.tcp(&handle)?;
        match socket.state {
            _ if value == 0 => Err(ErrorCode::InvalidArgument.into()),
            State::Fresh | State::Binding => Ok(()),
            State::Connecting(_) | State::Used => Err(ErrorCode::InvalidState.into()),
        }
    }

    async fn keep_alive_enabled(&mut self, handle: Handle) -> SocketResult<bool> {
        answer(self.tcp(&handle)?.inner.get::<u64>(SocketOption::KeepAlive).await.map(|value| value != 0))
    }

    async fn set_keep_alive_enabled(&mut self, handle: Handle, value: bool) -> SocketResult<()> {
        answer(self.tcp(&handle)?.inner.set(SocketOption::KeepAlive, value).await)
    }

    common! { Tcp tcp answer SocketResult: local_address remote_address;
        keep_alive_idle_time set_keep_alive_idle_time KeepAliveIdle u64;
        keep_alive_interval set_keep_alive_interval KeepAliveInterval u64;
        keep_alive_count set_keep_alive_count KeepAliveCount u32;
        hop_limit set_hop_limit HopLimit u8;
        receive_buffer_size set_receive_buffer_size ReceiveBuffer u64;
        send_buffer_size set_send_buffer_size SendBuffer u64;
    }

    async fn subscribe(&mut self, handle: Handle) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours::<_, Tcp>(&handle))
    }

    async fn shutdown(&mut self, handle: Handle, how: ShutdownType) -> SocketResult<()> {
        let socket = self.tcp(&handle)?;
        let (reader, writer) = socket.streams.as_ref().ok_or(ErrorCode::InvalidState)?;
        if matches!(how, ShutdownType::Receive | ShutdownType::Both) {
            reader.shut();
        }
        if matches!(how, ShutdownType::Send | ShutdownType::Both) {
            writer.shut();
        }
        Ok(())
    }
}

/// Whether an address is unicast.
fn is_one(address: SocketAddr) -> bool {
    match address.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast(),
        std::net::IpAddr::V6(ip) => !ip.is_multicast(),
    }
}

impl Tcp {
    fn idle(&self) -> SocketResult<()> {
        match self.state {
            State::Binding | State::Connecting(_) => Err(ErrorCode::ConcurrencyConflict.into()),
            State::Fresh | State::Used => Ok(()),
        }
    }
}

#[async_trait]
impl Pollable for Tcp {
    async fn ready(&mut self) {
        if let State::Connecting(connecting) = &mut self.state {
            std::future::poll_fn(|cx| connecting.poll_ready(cx)).await;
        }
    }
}
