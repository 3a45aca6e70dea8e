//! TCP by WASI 0.3: opening is counted, the gate is asked before anything is bound or connected, and listening is refused.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpSocket as Connecting;
use toolgate_policy::capability::sockets::{Pass, Protocol};
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

    /// What connects, and the pass for where to. A socket that is refused is used up like one that failed.
    fn connecting(&mut self, handle: &Handle, address: SocketAddr) -> SocketResult<(Connecting, Pass)> {
        let gate = Arc::clone(self.gate);
        let socket = self.tcp(handle)?;
        let connecting = socket.connecting(address)?;
        match gate.ask_out(Protocol::Tcp, address) {
            Some(pass) => Ok((connecting, pass)),
            None => Err(socket.failed(ErrorCode::AccessDenied).into()),
        }
    }

    /// Reads or sets an option of the system's socket.
    fn option<T>(
        &mut self,
        handle: &Handle,
        option: impl FnOnce(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> SocketResult<T> {
        Ok(option(self.tcp(handle)?.fd()?).map_err(told)?)
    }
}

/// By the standard no option is set to nothing.
fn some<T: PartialEq + From<u8>>(value: T) -> SocketResult<T> {
    if value == T::from(0) { Err(ErrorCode::InvalidArgument.into()) } else { Ok(value) }
}

/// What the system takes for a time between looks at a silent connection: whole seconds, so many at the most.
fn between(value: u64) -> SocketResult<Duration> {
    const SECONDS_MAX: u64 = i16::MAX as u64;
    let seconds = Duration::from_nanos(some(value)?).as_secs();
    Ok(Duration::from_secs(seconds.clamp(1, SECONDS_MAX)))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What the system takes for a buffer. It takes it for a wish.
fn buffer(value: u64) -> SocketResult<usize> {
    Ok(usize::try_from(some(value)?).unwrap_or(usize::MAX).min(i32::MAX as usize))
}

/// A buffer of a connection as the guest may have asked for it: Linux adds as much again for its own books.
fn asked(bytes: usize) -> u64 {
    bytes as u64 / 2
}

impl HostTcpSocketWithStore<Ctx> for Sockets {
    async fn connect(store: &Store, handle: Handle, address: IpSocketAddress) -> SocketResult<()> {
        let address = SocketAddr::from(address);
        let (connecting, pass) = store.with(|mut access| access.get().connecting(&handle, address))?;
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
        some(value).map(drop)
    }

    fn get_keep_alive_enabled(&mut self, handle: Handle) -> SocketResult<bool> {
        self.option(&handle, |fd| sockopt::socket_keepalive(fd))
    }

    fn set_keep_alive_enabled(&mut self, handle: Handle, value: bool) -> SocketResult<()> {
        self.option(&handle, |fd| sockopt::set_socket_keepalive(fd, value))
    }

    fn get_keep_alive_idle_time(&mut self, handle: Handle) -> SocketResult<u64> {
        self.option(&handle, |fd| sockopt::tcp_keepidle(fd)).map(nanoseconds)
    }

    fn set_keep_alive_idle_time(&mut self, handle: Handle, value: u64) -> SocketResult<()> {
        let value = between(value)?;
        self.option(&handle, |fd| sockopt::set_tcp_keepidle(fd, value))
    }

    fn get_keep_alive_interval(&mut self, handle: Handle) -> SocketResult<u64> {
        self.option(&handle, |fd| sockopt::tcp_keepintvl(fd)).map(nanoseconds)
    }

    fn set_keep_alive_interval(&mut self, handle: Handle, value: u64) -> SocketResult<()> {
        let value = between(value)?;
        self.option(&handle, |fd| sockopt::set_tcp_keepintvl(fd, value))
    }

    fn get_keep_alive_count(&mut self, handle: Handle) -> SocketResult<u32> {
        self.option(&handle, |fd| sockopt::tcp_keepcnt(fd))
    }

    fn set_keep_alive_count(&mut self, handle: Handle, value: u32) -> SocketResult<()> {
        let value = some(value)?.min(i8::MAX as u32);
        self.option(&handle, |fd| sockopt::set_tcp_keepcnt(fd, value))
    }

    fn get_hop_limit(&mut self, handle: Handle) -> SocketResult<u8> {
        match self.tcp(&handle)?.family {
            IpAddressFamily::Ipv4 => {
                let limit = self.option(&handle, |fd| sockopt::ip_ttl(fd))?;
                u8::try_from(limit).map_err(|_| ErrorCode::NotSupported.into())
            }
            IpAddressFamily::Ipv6 => self.option(&handle, |fd| sockopt::ipv6_unicast_hops(fd)),
        }
    }

    fn set_hop_limit(&mut self, handle: Handle, value: u8) -> SocketResult<()> {
        let value = some(value)?;
        let family = self.tcp(&handle)?.family;
        self.option(&handle, |fd| match family {
            IpAddressFamily::Ipv4 => sockopt::set_ip_ttl(fd, value.into()),
            IpAddressFamily::Ipv6 => sockopt::set_ipv6_unicast_hops(fd, Some(value)),
        })
    }

    fn get_receive_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        self.option(&handle, |fd| sockopt::socket_recv_buffer_size(fd)).map(asked)
    }

    fn set_receive_buffer_size(&mut self, handle: Handle, value: u64) -> SocketResult<()> {
        let value = buffer(value)?;
        self.option(&handle, |fd| sockopt::set_socket_recv_buffer_size(fd, value))
    }

    fn get_send_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        self.option(&handle, |fd| sockopt::socket_send_buffer_size(fd)).map(asked)
    }

    fn set_send_buffer_size(&mut self, handle: Handle, value: u64) -> SocketResult<()> {
        let value = buffer(value)?;
        self.option(&handle, |fd| sockopt::set_socket_send_buffer_size(fd, value))
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Socket>::new_own(handle.rep()))?;
        Ok(())
    }
}
