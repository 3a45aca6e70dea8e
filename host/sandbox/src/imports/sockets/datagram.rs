//! A UDP socket. The broker is asked before each send; datagrams from addresses that are not granted are dropped.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, connect_unspec, socket_with};
use tokio::net::UdpSocket;
use toolgate_policy::capability::sockets::Protocol;
use wasmtime_wasi::p3::bindings::sockets::types::IpAddressFamily;

use super::convert::{fits, leads, to_fault};
use crate::imports::host_calls::Broker;
use crate::protocol::sockets::SocketFault;

/// Largest datagram in bytes.
const DATAGRAM_BYTES_MAX: usize = u16::MAX as usize;

type Answer<T> = Result<T, SocketFault>;

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
        let socket = socket.map_err(to_fault)?;
        if let IpAddressFamily::Ipv6 = family {
            // By the standard: an address of IPv4 is not reached by its name in IPv6.
            sockopt::set_ipv6_v6only(&socket, true).map_err(to_fault)?;
        }
        let socket = UdpSocket::from_std(socket.into()).map_err(to_fault)?;
        Ok(Self { family, socket, place: Mutex::default() })
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bind(&self, broker: &Broker, address: SocketAddr) -> Answer<()> {
        let mut place = self.place();
        if place.bound {
            return Err(SocketFault::InvalidState);
        }
        if !self.fits(address) {
            return Err(SocketFault::InvalidArgument);
        }
        broker.ask_bind(address)?;
        bind(&self.socket, &address).map_err(to_fault)?;
        place.bound = true;
        Ok(())
    }

    /// From now on it sends to this address and hears no other.
    pub(super) fn connect(&self, broker: &Broker, address: SocketAddr) -> Answer<()> {
        let mut place = self.place();
        if !self.leads(address) {
            return Err(SocketFault::InvalidArgument);
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
        connected.map_err(to_fault)
    }

    pub(super) fn disconnect(&self) -> Answer<()> {
        self.place().remote.take().ok_or(SocketFault::InvalidState)?;
        connect_unspec(&self.socket).map_err(to_fault)
    }

    pub(super) async fn send(&self, broker: &Broker, data: &[u8], to: Option<SocketAddr>) -> Answer<()> {
        broker.count_datagram(data).map_err(|_| SocketFault::AccessDenied)?;
        if data.len() > DATAGRAM_BYTES_MAX {
            return Err(SocketFault::DatagramTooLarge);
        }
        let connected = self.place().remote;
        let to = match (to, connected) {
            (Some(to), Some(connected)) if to != connected => return Err(SocketFault::InvalidArgument),
            (Some(to), _) | (None, Some(to)) => to,
            (None, None) => return Err(SocketFault::InvalidArgument),
        };
        if !self.leads(to) {
            return Err(SocketFault::InvalidArgument);
        }
        let pass = broker.reach(Protocol::Udp, to)?;
        let sent = match connected {
            Some(connected) if connected == pass.address() => self.socket.send(data).await,
            Some(_) => return Err(SocketFault::AccessDenied),
            None => self.socket.send_to(data, pass.address()).await,
        };
        self.place().bound = true;
        sent.map(drop).map_err(to_fault)
    }

    /// The next that is not a stranger's.
    pub(super) async fn receive(&self, broker: &Broker) -> Answer<(Vec<u8>, SocketAddr)> {
        if !self.place().bound {
            return Err(SocketFault::InvalidState);
        }
        loop {
            // Memory for it is taken when there is one.
            self.socket.readable().await.map_err(to_fault)?;
            let mut data = vec![0; DATAGRAM_BYTES_MAX];
            let (bytes, from) = match self.socket.try_recv_from(&mut data) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(to_fault(error)),
            };
            let elsewhere = self.place().remote.is_some_and(|connected| connected != from);
            let Some(pass) = broker.may_receive(from).filter(|pass| !elsewhere && pass.address() == from)
            else {
                continue;
            };
            data.truncate(bytes);
            broker.count_datagram(&data).map_err(|_| SocketFault::AccessDenied)?;
            return Ok((data, pass.address()));
        }
    }

    pub(super) fn local(&self) -> Answer<SocketAddr> {
        if !self.place().bound {
            return Err(SocketFault::InvalidState);
        }
        self.socket.local_addr().map_err(to_fault)
    }

    pub(super) fn remote(&self) -> Answer<SocketAddr> {
        self.place().remote.ok_or(SocketFault::InvalidState)
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
