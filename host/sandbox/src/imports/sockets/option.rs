//! Socket options that a guest may read and set. As WASI requires, none but keep-alive can be set to 0.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::net::sockopt;
use wasmtime_wasi::p3::bindings::sockets::types::IpAddressFamily;

use super::convert::to_fault;
use crate::protocol::sockets::{SocketFault, SocketOption};

/// Methods of a socket's handle that TCP and UDP have alike: those that read addresses and those that read and set
/// options, each as WASI names them, and the one that drops the handle.
macro_rules! common {
    ($type:ident $socket:ident $answer:ident $result:ident: $local:ident $remote:ident; $($getter:ident $setter:ident $option:ident $value:ty;)*) => {
        async fn $local(&mut self, handle: Handle) -> $result<IpSocketAddress> {
            $answer(self.$socket(&handle)?.inner.address(SocketOp::Local).await.map(Into::into))
        }

        async fn $remote(&mut self, handle: Handle) -> $result<IpSocketAddress> {
            $answer(self.$socket(&handle)?.inner.address(SocketOp::Remote).await.map(Into::into))
        }

        async fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
            self.table.delete(Resource::<$type>::new_own(handle.rep()))?;
            Ok(())
        }
        $(
        async fn $getter(&mut self, handle: Handle) -> $result<$value> {
            $answer(self.$socket(&handle)?.inner.get(SocketOption::$option).await)
        }

        async fn $setter(&mut self, handle: Handle, value: $value) -> $result<()> {
            $answer(self.$socket(&handle)?.inner.set(SocketOption::$option, value).await)
        }
    )* };
}
pub(super) use common;

impl SocketOption {
    /// Reads the option.
    pub(super) fn get(self, fd: BorrowedFd<'_>, family: IpAddressFamily) -> Result<u64, SocketFault> {
        match self {
            Self::KeepAlive => sockopt::socket_keepalive(fd).map(u64::from),
            Self::KeepAliveIdle => sockopt::tcp_keepidle(fd).map(nanoseconds),
            Self::KeepAliveInterval => sockopt::tcp_keepintvl(fd).map(nanoseconds),
            Self::KeepAliveCount => sockopt::tcp_keepcnt(fd).map(u64::from),
            Self::HopLimit => match family {
                IpAddressFamily::Ipv4 => sockopt::ip_ttl(fd).map(u64::from),
                IpAddressFamily::Ipv6 => sockopt::ipv6_unicast_hops(fd).map(u64::from),
            },
            Self::ReceiveBuffer => sockopt::socket_recv_buffer_size(fd).map(asked),
            Self::SendBuffer => sockopt::socket_send_buffer_size(fd).map(asked),
        }
        .map_err(to_fault)
    }

    /// Sets the option, clamped to what the system accepts.
    pub(super) fn set(
        self,
        fd: BorrowedFd<'_>,
        family: IpAddressFamily,
        value: u64,
    ) -> Result<(), SocketFault> {
        if value == 0 && !matches!(self, Self::KeepAlive) {
            return Err(SocketFault::InvalidArgument);
        }
        match self {
            Self::KeepAlive => sockopt::set_socket_keepalive(fd, value != 0),
            Self::KeepAliveIdle => sockopt::set_tcp_keepidle(fd, between(value)),
            Self::KeepAliveInterval => sockopt::set_tcp_keepintvl(fd, between(value)),
            Self::KeepAliveCount => sockopt::set_tcp_keepcnt(fd, number(value.min(i8::MAX as u64))),
            Self::HopLimit => match (family, u8::try_from(value).unwrap_or(u8::MAX)) {
                (IpAddressFamily::Ipv4, value) => sockopt::set_ip_ttl(fd, value.into()),
                (IpAddressFamily::Ipv6, value) => sockopt::set_ipv6_unicast_hops(fd, Some(value)),
            },
            Self::ReceiveBuffer => sockopt::set_socket_recv_buffer_size(fd, buffer(value)),
            Self::SendBuffer => sockopt::set_socket_send_buffer_size(fd, buffer(value)),
        }
        .map_err(to_fault)
    }
}

fn number(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Keep-alive time for the system: whole seconds, from 1 to `SECONDS_MAX`.
fn between(nanoseconds: u64) -> Duration {
    const SECONDS_MAX: u64 = i16::MAX as u64;
    Duration::from_secs(Duration::from_nanos(nanoseconds).as_secs().clamp(1, SECONDS_MAX))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Buffer size for the system, which takes it as a hint.
fn buffer(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX).min(i32::MAX as usize)
}

/// Buffer size as the guest may have set it: Linux doubles it for bookkeeping.
fn asked(bytes: usize) -> u64 {
    bytes as u64 / 2
}
