//! A TCP socket: created, connected once, then two directions and options. It never listens. `broker` controls access.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use rustix::net::{Shutdown, shutdown, sockopt};
use tokio::net::{TcpSocket, TcpStream};
use wasmtime_wasi::p3::bindings::sockets::types::IpAddressFamily;

use super::convert::{of_family, to_fault};
use crate::protocol::sockets::{Direction, SocketFault};

/// Socket for one connection attempt: after a failure the guest must open, and count, another.
pub(super) struct Socket {
    pub(super) family: IpAddressFamily,
    state: State,
}

enum State {
    Fresh(TcpSocket),
    Connecting,
    Connected {
        stream: Arc<TcpStream>,
        /// Directions that are shut down for good.
        shut: Vec<Direction>,
    },
    Failed(SocketFault),
}

type Answer<T> = Result<T, SocketFault>;

impl Socket {
    pub(super) fn open(family: IpAddressFamily) -> Answer<Self> {
        #[expect(clippy::disallowed_methods, reason = "it reaches what its gate allows")]
        let socket = match family {
            IpAddressFamily::Ipv4 => TcpSocket::new_v4(),
            IpAddressFamily::Ipv6 => TcpSocket::new_v6(),
        };
        let socket = socket.map_err(to_fault)?;
        if let IpAddressFamily::Ipv6 = family {
            // By the standard: an address of IPv4 is not reached by its name in IPv6.
            sockopt::set_ipv6_v6only(&socket, true).map_err(to_fault)?;
        }
        Ok(Self { family, state: State::Fresh(socket) })
    }

    pub(super) fn bind(&self, address: SocketAddr) -> Answer<()> {
        self.check(address)?;
        match &self.state {
            State::Fresh(socket) if bound(socket).is_none() => socket.bind(address).map_err(to_fault),
            State::Failed(why) => Err(*why),
            State::Fresh(_) | State::Connecting | State::Connected { .. } => Err(SocketFault::InvalidState),
        }
    }

    /// Takes the socket to connect it; until [`Socket::connected`], every other operation fails.
    pub(super) fn connecting(&mut self, address: SocketAddr) -> Answer<TcpSocket> {
        self.check(address)?;
        match std::mem::replace(&mut self.state, State::Connecting) {
            State::Fresh(socket) => Ok(socket),
            other => {
                self.state = other;
                Err(self.unfit())
            }
        }
    }

    /// Stores the result of connecting.
    pub(super) fn connected(&mut self, ended: Answer<TcpStream>) -> Answer<()> {
        let stream = ended.map_err(|why| self.failed(why))?;
        // A guest that writes head and body apart does not wait for the head to be acknowledged. WASI has no option for it.
        stream.set_nodelay(true).map_err(|error| self.failed(to_fault(error)))?;
        self.state = State::Connected { stream: Arc::new(stream), shut: Vec::new() };
        Ok(())
    }

    /// Nothing more comes of this socket.
    pub(super) fn failed(&mut self, why: SocketFault) -> SocketFault {
        self.state = State::Failed(why);
        why
    }

    /// The connection, to use it in one direction.
    pub(super) fn stream(&self, direction: Direction) -> Answer<Arc<TcpStream>> {
        match &self.state {
            State::Connected { stream, shut } if !shut.contains(&direction) => Ok(Arc::clone(stream)),
            _ => Err(self.unfit()),
        }
    }

    /// Shuts down one direction for good, whether or not it was used.
    pub(super) fn shut(&mut self, direction: Direction) {
        if let State::Connected { stream, shut } = &mut self.state
            && !shut.contains(&direction)
        {
            shut.push(direction);
            let how = match direction {
                Direction::Send => Shutdown::Write,
                Direction::Receive => Shutdown::Read,
            };
            // Fails if the peer has ended the connection already.
            shutdown(&**stream, how).unwrap_or_default();
        }
    }

    pub(super) fn local(&self) -> Answer<SocketAddr> {
        match &self.state {
            State::Fresh(socket) => bound(socket).ok_or(SocketFault::InvalidState),
            State::Connected { stream, .. } => stream.local_addr().map_err(to_fault),
            State::Connecting | State::Failed(_) => Err(self.unfit()),
        }
    }

    pub(super) fn remote(&self) -> Answer<SocketAddr> {
        match &self.state {
            State::Connected { stream, .. } => stream.peer_addr().map_err(to_fault),
            State::Fresh(_) | State::Connecting | State::Failed(_) => Err(self.unfit()),
        }
    }

    /// File descriptor, for socket options.
    pub(super) fn fd(&self) -> Answer<BorrowedFd<'_>> {
        match &self.state {
            State::Fresh(socket) => Ok(socket.as_fd()),
            State::Connected { stream, .. } => Ok(stream.as_fd()),
            State::Connecting | State::Failed(_) => Err(self.unfit()),
        }
    }

    fn unfit(&self) -> SocketFault {
        match &self.state {
            State::Failed(why) => *why,
            State::Fresh(_) | State::Connecting | State::Connected { .. } => SocketFault::InvalidState,
        }
    }

    fn check(&self, address: SocketAddr) -> Answer<()> {
        let fits = of_family(self.family, address);
        if fits { Ok(()) } else { Err(SocketFault::InvalidArgument) }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.shut(Direction::Send);
        self.shut(Direction::Receive);
    }
}

/// Local address, if bound.
fn bound(socket: &TcpSocket) -> Option<SocketAddr> {
    socket.local_addr().ok().filter(|address| address.port() != 0)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_a_plugin_sends_over_a_socket_does_not_wait_for_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut socket = Socket::open(IpAddressFamily::Ipv4).unwrap();
        let connecting = socket.connecting(address).unwrap();
        socket.connected(connecting.connect(address).await.map_err(to_fault)).unwrap();
        assert!(sockopt::tcp_nodelay(socket.fd().unwrap()).unwrap());
    }
}
