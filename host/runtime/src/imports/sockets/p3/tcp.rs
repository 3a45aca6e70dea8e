//! TCP by WASI 0.3: opening is counted, the gate is asked before anything is bound or connected, and listening is refused.

use std::net::SocketAddr;
use std::sync::Arc;

use toolgate_policy::capability::sockets::Protocol;
use wasmtime::component::{Access, FutureReader, Resource, StreamReader};
use wasmtime_wasi::p3::bindings::sockets::types::{
    ErrorCode, HostTcpSocket, HostTcpSocketWithStore, IpAddressFamily, IpSocketAddress, TcpSocket,
};
use wasmtime_wasi::p3::sockets::{SocketError, SocketResult};
use wasmtime_wasi::sockets::SocketAddrUse;

use super::connection::Socket;
use super::stream::{Incoming, Outgoing};
use super::{Sockets, Store, View, told};
use crate::imports::Ctx;
use crate::imports::sockets::knob::Knob;

type Handle = Resource<TcpSocket>;
type Ended = FutureReader<Result<(), ErrorCode>>;

/// The library's own type cannot be looked into, so its handles stand for ours; the table looks at the type behind each.
fn ours(handle: &Handle) -> Resource<Socket> {
    Resource::new_borrow(handle.rep())
}

impl View<'_> {
    fn tcp(&mut self, handle: &Handle) -> SocketResult<&mut Socket> {
        self.table.get_mut(&ours(handle)).map_err(SocketError::trap)
    }

    fn get(&mut self, handle: &Handle, knob: Knob) -> SocketResult<u64> {
        let socket = self.tcp(handle)?;
        Ok(knob.get(socket.fd()?, socket.family)?)
    }

    fn set(&mut self, handle: &Handle, knob: Knob, value: impl Into<u64>) -> SocketResult<()> {
        let socket = self.tcp(handle)?;
        Ok(knob.set(socket.fd()?, socket.family, value.into())?)
    }
}

/// What was set within a narrower type is told within it.
fn narrow<T: TryFrom<u64>>(value: u64) -> SocketResult<T> {
    T::try_from(value).map_err(|_| ErrorCode::NotSupported.into())
}

impl HostTcpSocketWithStore<Ctx> for Sockets {
    async fn connect(store: &Store, handle: Handle, address: IpSocketAddress) -> SocketResult<()> {
        let address = SocketAddr::from(address);
        let (connecting, pass) = store.with(|mut access| -> SocketResult<_> {
            let mut view = access.get();
            let gate = Arc::clone(view.gate);
            Ok(gate.connecting(view.tcp(&handle)?, address)?)
        })?;
        let ended = connecting.connect(pass.address()).await.map_err(told);
        store.with(|mut access| Ok(access.get().tcp(&handle)?.connected(ended)?))
    }

    async fn listen(
        mut store: Access<'_, Ctx, Self>,
        handle: Handle,
    ) -> SocketResult<StreamReader<Resource<TcpSocket>>> {
        let mut view = store.get();
        view.tcp(&handle)?;
        view.gate.refuse_listening();
        Err(ErrorCode::AccessDenied.into())
    }

    fn send(
        mut store: Access<'_, Ctx, Self>,
        handle: Handle,
        mut data: StreamReader<u8>,
    ) -> wasmtime::Result<Ended> {
        let view = store.get();
        let meter = view.gate.meter.clone();
        match view.table.get_mut(&ours(&handle))?.sending() {
            Ok(half) => {
                let (outgoing, ended) = Outgoing::new(half, meter);
                data.pipe(&mut store, outgoing)?;
                FutureReader::new(&mut store, ended)
            }
            Err(why) => {
                data.close(&mut store)?;
                FutureReader::new(&mut store, async move { wasmtime::error::Ok(Err(why)) })
            }
        }
    }

    fn receive(
        mut store: Access<'_, Ctx, Self>,
        handle: Handle,
    ) -> wasmtime::Result<(StreamReader<u8>, Ended)> {
        let view = store.get();
        let meter = view.gate.meter.clone();
        match view.table.get_mut(&ours(&handle))?.receiving() {
            Ok(half) => {
                let (incoming, ended) = Incoming::new(half, meter);
                Ok((StreamReader::new(&mut store, incoming)?, FutureReader::new(&mut store, ended)?))
            }
            Err(why) => {
                let nothing = StreamReader::new(&mut store, std::iter::empty())?;
                let ended = FutureReader::new(&mut store, async move { wasmtime::error::Ok(Err(why)) })?;
                Ok((nothing, ended))
            }
        }
    }
}

impl HostTcpSocket for View<'_> {
    fn create(&mut self, family: IpAddressFamily) -> SocketResult<Handle> {
        self.ask_one(Protocol::Tcp)?;
        let socket = self.table.push(Socket::open(family)?).map_err(SocketError::trap)?;
        Ok(Resource::new_own(socket.rep()))
    }

    async fn bind(&mut self, handle: Handle, address: IpSocketAddress) -> SocketResult<()> {
        let address = SocketAddr::from(address);
        let gate = Arc::clone(self.gate);
        let socket = self.tcp(&handle)?;
        if !gate.ask(address, SocketAddrUse::TcpBind) {
            return Err(ErrorCode::AccessDenied.into());
        }
        Ok(socket.bind(address)?)
    }

    fn get_local_address(&mut self, handle: Handle) -> SocketResult<IpSocketAddress> {
        Ok(self.tcp(&handle)?.local()?.into())
    }

    fn get_remote_address(&mut self, handle: Handle) -> SocketResult<IpSocketAddress> {
        Ok(self.tcp(&handle)?.remote()?.into())
    }

    fn get_is_listening(&mut self, handle: Handle) -> wasmtime::Result<bool> {
        self.table.get(&ours(&handle))?;
        Ok(false)
    }

    fn get_address_family(&mut self, handle: Handle) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&ours(&handle))?.family)
    }

    fn set_listen_backlog_size(&mut self, handle: Handle, value: u64) -> SocketResult<()> {
        self.tcp(&handle)?;
        if value == 0 { Err(ErrorCode::InvalidArgument.into()) } else { Ok(()) }
    }

    fn get_keep_alive_enabled(&mut self, handle: Handle) -> SocketResult<bool> {
        Ok(self.get(&handle, Knob::KeepAlive)? != 0)
    }

    fn set_keep_alive_enabled(&mut self, handle: Handle, value: bool) -> SocketResult<()> {
        self.set(&handle, Knob::KeepAlive, value)
    }

    fn get_keep_alive_idle_time(&mut self, handle: Handle) -> SocketResult<u64> {
        self.get(&handle, Knob::KeepAliveIdle)
    }

    fn set_keep_alive_idle_time(&mut self, handle: Handle, value: u64) -> SocketResult<()> {
        self.set(&handle, Knob::KeepAliveIdle, value)
    }

    fn get_keep_alive_interval(&mut self, handle: Handle) -> SocketResult<u64> {
        self.get(&handle, Knob::KeepAliveInterval)
    }

    fn set_keep_alive_interval(&mut self, handle: Handle, value: u64) -> SocketResult<()> {
        self.set(&handle, Knob::KeepAliveInterval, value)
    }

    fn get_keep_alive_count(&mut self, handle: Handle) -> SocketResult<u32> {
        self.get(&handle, Knob::KeepAliveCount).and_then(narrow)
    }

    fn set_keep_alive_count(&mut self, handle: Handle, value: u32) -> SocketResult<()> {
        self.set(&handle, Knob::KeepAliveCount, value)
    }

    fn get_hop_limit(&mut self, handle: Handle) -> SocketResult<u8> {
        self.get(&handle, Knob::Hops).and_then(narrow)
    }

    fn set_hop_limit(&mut self, handle: Handle, value: u8) -> SocketResult<()> {
        self.set(&handle, Knob::Hops, value)
    }

    fn get_receive_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        self.get(&handle, Knob::ReceiveBuffer)
    }

    fn set_receive_buffer_size(&mut self, handle: Handle, value: u64) -> SocketResult<()> {
        self.set(&handle, Knob::ReceiveBuffer, value)
    }

    fn get_send_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        self.get(&handle, Knob::SendBuffer)
    }

    fn set_send_buffer_size(&mut self, handle: Handle, value: u64) -> SocketResult<()> {
        self.set(&handle, Knob::SendBuffer, value)
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Socket>::new_own(handle.rep()))?;
        Ok(())
    }
}
