//! The sockets of the system that are open for a call, and the only code that uses them: each use is asked for, recorded and counted,
//! then performed, for a guest in this process and for one in a worker. A socket is closed when its guest closes it, or its call ends.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use toolgate_base::meter::StopError;
use toolgate_net::socket::acknowledge;
use toolgate_policy::capability::sockets::Protocol;
use toolgate_policy::limits::call::STREAM_BYTES_MAX;

use super::connection::Socket;
use super::convert::to_fault;
use super::datagram::UdpEndpoint;
use crate::imports::host_calls::Broker;
use crate::protocol::blob::ByteBlob;
use crate::protocol::sockets::{Direction, SocketFault, SocketKind, SocketOp, SocketOption, SocketResponse};

/// A socket, once it is open.
#[derive(Default)]
pub(crate) struct OpenSocket {
    open: OnceLock<Open>,
    /// Its guest has closed it.
    pub(crate) closed: CancellationToken,
}

enum Open {
    /// Connected or not yet.
    Tcp(Mutex<Socket>),
    Udp(UdpEndpoint),
}

type Answer<T> = Result<T, SocketFault>;

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The call has met a limit, which is told beside this.
fn met(_: StopError) -> SocketFault {
    SocketFault::AccessDenied
}

impl Broker {
    /// Performs a use of a socket. Nothing if that is closed before. What was sent before it was closed leaves, as far as it can at once.
    pub(in crate::imports) async fn perform_socket(
        &self,
        op: SocketOp,
        socket: &OpenSocket,
    ) -> Option<Answer<SocketResponse>> {
        tokio::select! {
            biased;
            response = self.use_socket(op, socket) => Some(response),
            () = socket.closed.cancelled() => None,
        }
    }

    async fn use_socket(&self, op: SocketOp, socket: &OpenSocket) -> Answer<SocketResponse> {
        match socket.open.get() {
            Some(Open::Tcp(socket)) => self.use_connection(op, socket).await,
            Some(Open::Udp(datagrams)) => self.use_datagrams(op, datagrams).await,
            None => Err(SocketFault::InvalidState),
        }
    }

    /// Looks a name up for a worker.
    pub(in crate::imports) async fn look_up_counted(&self, name: &str) -> Answer<SocketResponse> {
        self.count_one().map_err(met)?;
        self.look_up(name).await.map(SocketResponse::Addresses)
    }

    /// Opens a socket.
    ///
    /// # Errors
    /// [`SocketFault`].
    pub(in crate::imports) fn open_socket(
        &self,
        kind: SocketKind,
        socket: &OpenSocket,
    ) -> Answer<SocketResponse> {
        self.count_one().map_err(met)?;
        let protocol = if kind.datagrams { Protocol::Udp } else { Protocol::Tcp };
        if !self.opens(protocol) {
            return Err(SocketFault::AccessDenied);
        }
        let open = match protocol {
            Protocol::Tcp => Open::Tcp(Mutex::new(Socket::open(kind.family())?)),
            Protocol::Udp => Open::Udp(UdpEndpoint::open(kind.family())?),
        };
        socket.open.set(open).map_err(|_| SocketFault::InvalidState)?;
        Ok(SocketResponse::Done)
    }

    async fn use_connection(&self, op: SocketOp, connection: &Mutex<Socket>) -> Answer<SocketResponse> {
        let socket = || lock(connection);
        let sending = || socket().stream(Direction::Send);
        let receiving = || socket().stream(Direction::Receive);
        match op {
            SocketOp::Bind(address) => {
                self.ask_bind(address)?;
                socket().bind(address)?;
                Ok(SocketResponse::Done)
            }
            SocketOp::Connect(address) => self.connect(connection, address).await,
            SocketOp::Listen => {
                self.refuse_listening();
                Err(SocketFault::AccessDenied)
            }
            SocketOp::Local => Ok(SocketResponse::Address(socket().local()?)),
            SocketOp::Remote => Ok(SocketResponse::Address(socket().remote()?)),
            SocketOp::Get(option) => {
                let socket = socket();
                Ok(SocketResponse::Number(option.get(socket.fd()?, socket.family)?))
            }
            SocketOp::Set(option, value) => {
                let socket = socket();
                option.set(socket.fd()?, socket.family, value)?;
                Ok(SocketResponse::Done)
            }
            SocketOp::Send(ByteBlob(bytes)) => {
                let stream = sending()?;
                self.send_bytes(&stream, &bytes).await
            }
            SocketOp::Await => {
                receiving()?.readable().await.map_err(to_fault)?;
                Ok(SocketResponse::Done)
            }
            SocketOp::Receive(bytes) => {
                let stream = receiving()?;
                self.receive_bytes(&stream, bytes).await
            }
            SocketOp::Shut(direction) => {
                socket().shut(direction);
                Ok(SocketResponse::Done)
            }
            SocketOp::Disconnect | SocketOp::SendTo(..) | SocketOp::ReceiveFrom => {
                Err(SocketFault::NotSupported)
            }
        }
    }

    async fn connect(&self, connection: &Mutex<Socket>, address: SocketAddr) -> Answer<SocketResponse> {
        let (connecting, pass) = {
            let mut socket = lock(connection);
            let connecting = socket.connecting(address)?;
            // A refused socket cannot be reused, like one that failed.
            (connecting, self.reach(Protocol::Tcp, address).map_err(|why| socket.failed(why))?)
        };
        let ended = connecting.connect(pass.address()).await.map_err(to_fault);
        lock(connection).connected(ended)?;
        Ok(SocketResponse::Done)
    }

    /// Counted before it leaves, so that what is over the limit stays here.
    async fn send_bytes(&self, stream: &TcpStream, mut bytes: &[u8]) -> Answer<SocketResponse> {
        self.meter.socket_bytes(bytes.len() as u64).map_err(met)?;
        while !bytes.is_empty() {
            stream.writable().await.map_err(to_fault)?;
            match stream.try_write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(to_fault(error)),
            }
        }
        Ok(SocketResponse::Done)
    }

    async fn receive_bytes(&self, stream: &TcpStream, bytes: u32) -> Answer<SocketResponse> {
        loop {
            stream.readable().await.map_err(to_fault)?;
            let mut room = vec![0; u64::from(bytes).clamp(1, STREAM_BYTES_MAX) as usize];
            match stream.try_read(&mut room) {
                Ok(0) => return Ok(SocketResponse::End),
                Ok(count) => {
                    acknowledge(stream);
                    self.meter.socket_bytes(count as u64).map_err(met)?;
                    room.truncate(count);
                    return Ok(SocketResponse::Bytes(ByteBlob(room)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(to_fault(error)),
            }
        }
    }

    async fn use_datagrams(&self, op: SocketOp, datagrams: &UdpEndpoint) -> Answer<SocketResponse> {
        let done = |()| SocketResponse::Done;
        match op {
            SocketOp::Bind(address) => datagrams.bind(self, address).map(done),
            SocketOp::Connect(address) => datagrams.connect(self, address).map(done),
            SocketOp::Disconnect => datagrams.disconnect().map(done),
            SocketOp::Local => datagrams.local().map(SocketResponse::Address),
            SocketOp::Remote => datagrams.remote().map(SocketResponse::Address),
            SocketOp::Get(option) if of_datagrams(option) => {
                option.get(datagrams.fd(), datagrams.family).map(SocketResponse::Number)
            }
            SocketOp::Set(option, value) if of_datagrams(option) => {
                option.set(datagrams.fd(), datagrams.family, value).map(done)
            }
            SocketOp::SendTo(ByteBlob(data), to) => datagrams.send(self, &data, to).await.map(done),
            SocketOp::ReceiveFrom => {
                let (data, from) = datagrams.receive(self).await?;
                Ok(SocketResponse::Datagram(ByteBlob(data), from))
            }
            SocketOp::Listen
            | SocketOp::Get(_)
            | SocketOp::Set(..)
            | SocketOp::Send(_)
            | SocketOp::Await
            | SocketOp::Receive(_)
            | SocketOp::Shut(_) => Err(SocketFault::NotSupported),
        }
    }
}

/// Whether a UDP socket has this option.
fn of_datagrams(option: SocketOption) -> bool {
    match option {
        SocketOption::HopLimit | SocketOption::ReceiveBuffer | SocketOption::SendBuffer => true,
        SocketOption::KeepAlive
        | SocketOption::KeepAliveIdle
        | SocketOption::KeepAliveInterval
        | SocketOption::KeepAliveCount => false,
    }
}
