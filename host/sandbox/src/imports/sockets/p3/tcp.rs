//! TCP for WASI 0.3.

use std::sync::Arc;

use wasmtime::component::{Access, FutureReader, Resource, StreamReader};

use super::stream::{Incoming, Outgoing};
use super::{Answer, Sockets, Store, View, answer, family, is_v6};
use crate::bindings::sockets::p3::types::{
    ErrorCode, HostTcpSocket, HostTcpSocketWithStore, IpAddressFamily, IpSocketAddress, TcpSocket,
};
use crate::imports::Ctx;
use crate::imports::sockets::convert::of_family;
use crate::imports::sockets::handle::SocketHandle;
use crate::imports::sockets::option::common;
use crate::imports::sockets::ours;
use crate::protocol::sockets::{SocketFault, SocketKind, SocketOp, SocketOption};

/// Socket, with the state that WASI exposes.
struct Tcp {
    inner: Arc<SocketHandle>,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Fresh,
    Connecting,
    Connected {
        /// Whether the sending stream has been given out.
        sends: bool,
        /// Whether the receiving stream has been given out.
        receives: bool,
    },
    Failed(SocketFault),
}

type Handle = Resource<TcpSocket>;
type Ended = FutureReader<Result<(), ErrorCode>>;

impl View<'_> {
    fn tcp_p3(&mut self, handle: &Handle) -> wasmtime::Result<&mut Tcp> {
        Ok(self.table.get_mut(&ours(handle))?)
    }
}

impl Tcp {
    fn unfit(&self) -> SocketFault {
        match self.state {
            State::Failed(why) => why,
            State::Fresh | State::Connecting | State::Connected { .. } => SocketFault::InvalidState,
        }
    }

    /// Gives out the sending stream, once.
    fn sending(&mut self) -> Result<Arc<SocketHandle>, SocketFault> {
        match &mut self.state {
            State::Connected { sends, .. } if !*sends => *sends = true,
            _ => return Err(self.unfit()),
        }
        Ok(Arc::clone(&self.inner))
    }

    /// Gives out the receiving stream, once.
    fn receiving(&mut self) -> Result<Arc<SocketHandle>, SocketFault> {
        match &mut self.state {
            State::Connected { receives, .. } if !*receives => *receives = true,
            _ => return Err(self.unfit()),
        }
        Ok(Arc::clone(&self.inner))
    }
}

impl HostTcpSocketWithStore<Ctx> for Sockets {
    async fn connect(store: &Store, handle: Handle, address: IpSocketAddress) -> Answer<()> {
        let address = address.into();
        let begun = store.with(|mut access| -> wasmtime::Result<_> {
            let mut view = access.get();
            let socket = view.tcp_p3(&handle)?;
            if !of_family(socket.inner.kind.family(), address) {
                return Ok(Err(SocketFault::InvalidArgument));
            }
            let State::Fresh = socket.state else { return Ok(Err(socket.unfit())) };
            socket.state = State::Connecting;
            Ok(Ok(Arc::clone(&socket.inner)))
        })?;
        let inner = match begun {
            Ok(inner) => inner,
            Err(refused) => return Ok(Err(refused.into())),
        };
        let connected = inner.done(SocketOp::Connect(address)).await;
        inner.goes_on()?;
        store.with(|mut access| {
            access.get().tcp_p3(&handle)?.state = match connected {
                Ok(()) => State::Connected { sends: false, receives: false },
                Err(refused) => State::Failed(refused),
            };
            Ok(connected.map_err(ErrorCode::from))
        })
    }

    fn send(
        mut store: Access<'_, Ctx, Self>,
        handle: Handle,
        mut data: StreamReader<u8>,
    ) -> wasmtime::Result<Ended> {
        match store.get().tcp_p3(&handle)?.sending() {
            Ok(inner) => {
                let (outgoing, ended) = Outgoing::new(inner);
                data.pipe(&mut store, outgoing)?;
                FutureReader::new(&mut store, ended)
            }
            Err(why) => {
                data.close(&mut store)?;
                FutureReader::new(&mut store, async move { wasmtime::error::Ok(Err(why.into())) })
            }
        }
    }

    fn receive(
        mut store: Access<'_, Ctx, Self>,
        handle: Handle,
    ) -> wasmtime::Result<(StreamReader<u8>, Ended)> {
        match store.get().tcp_p3(&handle)?.receiving() {
            Ok(inner) => {
                let (incoming, ended) = Incoming::new(inner);
                Ok((StreamReader::new(&mut store, incoming)?, FutureReader::new(&mut store, ended)?))
            }
            Err(why) => {
                let nothing = StreamReader::new(&mut store, std::iter::empty())?;
                let ended = async move { wasmtime::error::Ok(Err(why.into())) };
                Ok((nothing, FutureReader::new(&mut store, ended)?))
            }
        }
    }
}

impl HostTcpSocket for View<'_> {
    async fn create(&mut self, family: IpAddressFamily) -> Answer<Handle> {
        match SocketHandle::open(self.outside, SocketKind { datagrams: false, v6: is_v6(family) }).await {
            Ok(inner) => {
                let socket = self.table.push(Tcp { inner, state: State::Fresh })?;
                Ok(Ok(Resource::new_own(socket.rep())))
            }
            Err(refused) => Ok(Err(refused.into())),
        }
    }

    async fn bind(&mut self, handle: Handle, address: IpSocketAddress) -> Answer<()> {
        Ok(self.tcp_p3(&handle)?.inner.done(SocketOp::Bind(address.into())).await.map_err(ErrorCode::from))
    }

    async fn listen(&mut self, handle: Handle) -> Answer<StreamReader<Resource<TcpSocket>>> {
        let refused = self.tcp_p3(&handle)?.inner.done(SocketOp::Listen).await.err();
        Ok(Err(refused.unwrap_or(SocketFault::AccessDenied).into()))
    }

    async fn get_is_listening(&mut self, handle: Handle) -> wasmtime::Result<bool> {
        self.tcp_p3(&handle)?;
        Ok(false)
    }

    async fn get_address_family(&mut self, handle: Handle) -> wasmtime::Result<IpAddressFamily> {
        Ok(family(self.tcp_p3(&handle)?.inner.kind.v6))
    }

    async fn set_listen_backlog_size(&mut self, handle: Handle, value: u64) -> Answer<()> {
        self.tcp_p3(&handle)?;
        Ok(if value == 0 { Err(ErrorCode::InvalidArgument) } else { Ok(()) })
    }

    async fn get_keep_alive_enabled(&mut self, handle: Handle) -> Answer<bool> {
        answer(self.tcp_p3(&handle)?.inner.get::<u64>(SocketOption::KeepAlive).await.map(|value| value != 0))
    }

    async fn set_keep_alive_enabled(&mut self, handle: Handle, value: bool) -> Answer<()> {
        answer(self.tcp_p3(&handle)?.inner.set(SocketOption::KeepAlive, value).await)
    }

    common! { Tcp tcp_p3 answer Answer: get_local_address get_remote_address;
        get_keep_alive_idle_time set_keep_alive_idle_time KeepAliveIdle u64;
        get_keep_alive_interval set_keep_alive_interval KeepAliveInterval u64;
        get_keep_alive_count set_keep_alive_count KeepAliveCount u32;
        get_hop_limit set_hop_limit HopLimit u8;
        get_receive_buffer_size set_receive_buffer_size ReceiveBuffer u64;
        get_send_buffer_size set_send_buffer_size SendBuffer u64;
    }
}
