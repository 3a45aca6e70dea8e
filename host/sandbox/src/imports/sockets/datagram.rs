//! A UDP socket. The broker is asked before each send; datagrams from addresses that are not granted are dropped.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, connect_unspec, socket_with};
use tokio::net::UdpSocket;
use toolgate_policy::capability::sockets::Protocol;
use wasmtime_wasi::p3::bindings::sockets::types::{ErrorCode, IpAddressFamily};

use super::broker::SocketBroker;
use super::convert::{fits, leads, to_error_code};

/// Largest datagram in bytes.
const DATAGRAM_BYTES_MAX: usize = u16::MAX as usize;

type Answer<T> = Result<T, ErrorCode>;

pub(super) struct UdpEndpoint {
    pub(super) family: IpAddressFamily,
    socket: UdpSocket,
    place: Mutex<Place>,
}

/// Whether it is bound, and its remote address if connected.
#[derive(Default)]
struct Place {
    bound: bool,
    remote: Option<SocketAddr>,
}

impl UdpEndpoint {
    pub(super) fn open(family: IpAddressFamily) -> Answer<Self> {
        let of = match family {
            IpAddressFamily::Ipv4 => AddressFamily::INET,
            IpAddressFamily::Ipv6 => AddressFamily::INET6,
        };
        #[expect(clippy::disallowed_methods, reason = "it reaches what its gate allows")]
        let socket = socket_with(of, SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None);
        let socket = socket.map_err(to_error_code)?;
        if let IpAddressFamily::Ipv6 = family {
            // Required by WASI: no IPv4-mapped addresses on IPv6 sockets.
            sockopt::set_ipv6_v6only(&socket, true).map_err(to_error_code)?;
        }
        let socket = UdpSocket::from_std(socket.into()).map_err(to_error_code)?;
        Ok(Self { family, socket, place: Mutex::default() })
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bind(&self, broker: &SocketBroker, address: SocketAddr) -> Answer<()> {
        let mut place = self.place();
        if place.bound {
            return Err(ErrorCode::InvalidState);
        }
        if !self.fits(address) {
            return Err(ErrorCode::InvalidArgument);
        }
        broker.bind(address)?;
        bind(&self.socket, &address).map_err(to_error_code)?;
        place.bound = true;
        Ok(())
    }

    /// Connects: it then sends only to this address and receives only from it.
    pub(super) fn connect(&self, broker: &SocketBroker, address: SocketAddr) -> Answer<()> {
        let mut place = self.place();
        if !self.leads(address) {
            return Err(ErrorCode::InvalidArgument);
        }
        let pass = broker.reach(Protocol::Udp, address)?;
        let address = pass.address();
        // If the new route differs, the kernel reconnects only a socket without a remote address.
        let connected = connect(&self.socket, &address).or_else(|_| {
            connect_unspec(&self.socket)?;
            connect(&self.socket, &address)
        });
        let remote = connected.is_ok().then_some(address);
        *place = Place { bound: place.bound || remote.is_some(), remote };
        connected.map_err(to_error_code)
    }

    pub(super) fn disconnect(&self) -> Answer<()> {
        self.place().remote.take().ok_or(ErrorCode::InvalidState)?;
        connect_unspec(&self.socket).map_err(to_error_code)
    }

    pub(super) async fn send(
        &self,
        broker: &SocketBroker,
        data: &[u8],
        to: Option<SocketAddr>,
    ) -> Answer<()> {
        broker.count_datagram(data).map_err(|_| ErrorCode::AccessDenied)?;
        if data.len() > DATAGRAM_BYTES_MAX {
            return Err(ErrorCode::DatagramTooLarge);
        }
        let connected = self.place().remote;
        let to = match (to, connected) {
            (Some(to), Some(connected)) if to != connected => return Err(ErrorCode::InvalidArgument),
            (Some(to), _) | (None, Some(to)) => to,
            (None, None) => return Err(ErrorCode::InvalidArgument),
        };
        if !self.leads(to) {
            return Err(ErrorCode::InvalidArgument);
        }
        let pass = broker.reach(Protocol::Udp, to)?;
        let sent = match connected {
            Some(_) => self.socket.send(data).await,
            None => self.socket.send_to(data, pass.address()).await,
        };
        self.place().bound = true;
        sent.map(drop).map_err(to_error_code)
    }

    /// Receives the next datagram from an address that is granted.
    pub(super) async fn receive(&self, broker: &SocketBroker) -> Answer<(Vec<u8>, SocketAddr)> {
        if !self.place().bound {
            return Err(ErrorCode::InvalidState);
        }
        loop {
            // The buffer is allocated only once a datagram is there.
            self.socket.readable().await.map_err(to_error_code)?;
            let mut data = vec![0; DATAGRAM_BYTES_MAX];
            let (bytes, from) = match self.socket.try_recv_from(&mut data) {
                Ok(came) => came,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(to_error_code(error)),
            };
            let elsewhere = self.place().remote.is_some_and(|connected| connected != from);
            if elsewhere || !broker.hears(from) {
                continue;
            }
            data.truncate(bytes);
            broker.count_datagram(&data).map_err(|_| ErrorCode::AccessDenied)?;
            return Ok((data, from));
        }
    }

    pub(super) fn local(&self) -> Answer<SocketAddr> {
        if !self.place().bound {
            return Err(ErrorCode::InvalidState);
        }
        self.socket.local_addr().map_err(to_error_code)
    }

    pub(super) fn remote(&self) -> Answer<SocketAddr> {
        self.place().remote.ok_or(ErrorCode::InvalidState)
    }

    /// File descriptor, for socket options.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether an address is of this socket's family; IPv4-mapped IPv6 addresses are of neither.
    fn fits(&self, address: SocketAddr) -> bool {
        fits(self.family, address)
    }

    fn leads(&self, address: SocketAddr) -> bool {
        self.fits(address) && leads(address)
    }
}
