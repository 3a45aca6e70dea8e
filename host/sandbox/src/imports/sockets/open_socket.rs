//! System sockets that are open for a call, and the only code that uses them. Each use is checked, noted and counted,
//! then executed, for guests in this process and in a worker. A socket is closed when its guest or call drops it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use toolgate_base::meter::StopError;
use toolgate_net::socket::acknowledge;
use toolgate_policy::capability::sockets::Protocol;
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use wasmtime_wasi::p3::bindings::sockets::types::ErrorCode;

use super::broker::{NoAddress, SocketBroker};
use super::connection::{Half, Socket};
use super::convert::to_error_code;
use super::datagram::UdpEndpoint;
use super::request::{
    Direction, SocketFault, SocketKind, SocketOp, SocketOption, SocketRequest, SocketResponse,
};
use crate::imports::blob::ByteBlob;

/// Requested socket, set once it is open.
#[derive(Default)]
pub(crate) struct OpenSocket {
    open: OnceLock<Open>,
    /// Cancelled when the guest closes the socket.
    pub(crate) closed: CancellationToken,
}

enum Open {
    Tcp(Connection),
    Udp(UdpEndpoint),
}

/// TCP socket, connected or not yet.
struct Connection {
    socket: Mutex<Socket>,
    /// The two directions, from first use to shutdown.
    out: Mutex<Option<Half>>,
    back: Mutex<Option<Half>>,
}

type Answer<T> = Result<T, ErrorCode>;

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Error for an exceeded limit, which the meter reports separately.
fn met(_: StopError) -> ErrorCode {
    ErrorCode::AccessDenied
}

impl SocketBroker {
    /// Executes an operation until the socket is closed. Even then it is polled first, so that it can complete at once.
    pub(super) async fn until_closed(
        &self,
        wanted: SocketOp,
        held: &OpenSocket,
    ) -> Result<SocketResponse, SocketFault> {
        tokio::select! {
            biased;
            came = self.act(SocketRequest::Of(0, wanted), Some(held)) => came,
            () = held.closed.cancelled() => Err(SocketFault::Other),
        }
    }

    /// Executes a request as far as it is granted. `held` is its socket; `None` for a lookup.
    pub(crate) async fn act(
        &self,
        act: SocketRequest,
        held: Option<&OpenSocket>,
    ) -> Result<SocketResponse, SocketFault> {
        match (act, held) {
            (SocketRequest::LookUp(name), _) => {
                self.count_one().map_err(met)?;
                Ok(SocketResponse::Addresses(self.look_up(&name).await?))
            }
            (SocketRequest::Open(kind), Some(held)) => Ok(self.open(kind, held)?),
            (SocketRequest::Of(_, wanted), Some(held)) => match held.open.get() {
                Some(Open::Tcp(connection)) => Ok(self.of_connection(wanted, connection).await?),
                Some(Open::Udp(datagrams)) => Ok(self.of_datagrams(wanted, datagrams).await?),
                None => Err(SocketFault::InvalidState),
            },
            (SocketRequest::Open(_) | SocketRequest::Of(..), None) => Err(SocketFault::InvalidState),
        }
    }

    fn open(&self, kind: SocketKind, held: &OpenSocket) -> Answer<SocketResponse> {
        self.count_one().map_err(met)?;
        let protocol = if kind.datagrams { Protocol::Udp } else { Protocol::Tcp };
        if !self.grant().opens(protocol) {
            return Err(ErrorCode::AccessDenied);
        }
        let open = match protocol {
            Protocol::Tcp => Open::Tcp(Connection {
                socket: Mutex::new(Socket::open(kind.family())?),
                out: Mutex::default(),
                back: Mutex::default(),
            }),
            Protocol::Udp => Open::Udp(UdpEndpoint::open(kind.family())?),
        };
        held.open.set(open).map_err(|_| ErrorCode::InvalidState)?;
        Ok(SocketResponse::Done)
    }

    async fn of_connection(&self, wanted: SocketOp, connection: &Connection) -> Answer<SocketResponse> {
        let socket = || lock(&connection.socket);
        match wanted {
            SocketOp::Bind(address) => {
                self.bind(address)?;
                socket().bind(address)?;
                Ok(SocketResponse::Done)
            }
            SocketOp::Connect(address) => self.connect(connection, address).await,
            SocketOp::Listen => {
                self.refuse_listening();
                Err(ErrorCode::AccessDenied)
            }
            SocketOp::Local => Ok(SocketResponse::Address(socket().local()?)),
            SocketOp::Remote => Ok(SocketResponse::Address(socket().remote()?)),
            SocketOp::Get(knob) => {
                let socket = socket();
                Ok(SocketResponse::Number(knob.get(socket.fd()?, socket.family)?))
            }
            SocketOp::Set(knob, value) => {
                let socket = socket();
                knob.set(socket.fd()?, socket.family, value)?;
                Ok(SocketResponse::Done)
            }
            SocketOp::Send(ByteBlob(bytes)) => {
                let stream = connection.out()?;
                self.send(&stream, &bytes).await
            }
            SocketOp::Await => {
                connection.back()?.readable().await.map_err(to_error_code)?;
                Ok(SocketResponse::Done)
            }
            SocketOp::Receive(bytes) => {
                let stream = connection.back()?;
                self.receive(&stream, bytes).await
            }
            SocketOp::Shut(direction) => {
                connection.shut(direction);
                Ok(SocketResponse::Done)
            }
            SocketOp::Close => Ok(SocketResponse::Done),
            SocketOp::Disconnect | SocketOp::SendTo(..) | SocketOp::ReceiveFrom => {
                Err(ErrorCode::NotSupported)
            }
        }
    }

    async fn connect(&self, connection: &Connection, address: SocketAddr) -> Answer<SocketResponse> {
        let (connecting, pass) = {
            let mut socket = lock(&connection.socket);
            let connecting = socket.connecting(address)?;
            // A refused socket cannot be reused, like one that failed.
            (connecting, self.reach(Protocol::Tcp, address).map_err(|why| socket.failed(why))?)
        };
        let ended = connecting.connect(pass.address()).await.map_err(to_error_code);
        lock(&connection.socket).connected(ended)?;
        Ok(SocketResponse::Done)
    }

    /// Sends bytes, counted first, so that none over the limit are sent.
    async fn send(&self, stream: &TcpStream, mut bytes: &[u8]) -> Answer<SocketResponse> {
        self.meter().socket_bytes(bytes.len() as u64).map_err(met)?;
        while !bytes.is_empty() {
            stream.writable().await.map_err(to_error_code)?;
            match stream.try_write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(to_error_code(error)),
            }
        }
        Ok(SocketResponse::Done)
    }

    async fn receive(&self, stream: &TcpStream, bytes: u32) -> Answer<SocketResponse> {
        loop {
            stream.readable().await.map_err(to_error_code)?;
            let mut room = vec![0; u64::from(bytes).clamp(1, STREAM_BYTES_MAX) as usize];
            match stream.try_read(&mut room) {
                Ok(0) => return Ok(SocketResponse::End),
                Ok(count) => {
                    acknowledge(stream);
                    self.meter().socket_bytes(count as u64).map_err(met)?;
                    room.truncate(count);
                    return Ok(SocketResponse::Bytes(ByteBlob(room)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(to_error_code(error)),
            }
        }
    }

    async fn of_datagrams(&self, wanted: SocketOp, datagrams: &UdpEndpoint) -> Answer<SocketResponse> {
        let done = |()| SocketResponse::Done;
        match wanted {
            SocketOp::Bind(address) => datagrams.bind(self, address).map(done),
            SocketOp::Connect(address) => datagrams.connect(self, address).map(done),
            SocketOp::Disconnect => datagrams.disconnect().map(done),
            SocketOp::Local => datagrams.local().map(SocketResponse::Address),
            SocketOp::Remote => datagrams.remote().map(SocketResponse::Address),
            SocketOp::Get(knob) if of_datagrams(knob) => {
                knob.get(datagrams.fd(), datagrams.family).map(SocketResponse::Number)
            }
            SocketOp::Set(knob, value) if of_datagrams(knob) => {
                knob.set(datagrams.fd(), datagrams.family, value).map(done)
            }
            SocketOp::SendTo(ByteBlob(data), to) => datagrams.send(self, &data, to).await.map(done),
            SocketOp::ReceiveFrom => {
                let (data, from) = datagrams.receive(self).await?;
                Ok(SocketResponse::Datagram(ByteBlob(data), from))
            }
            SocketOp::Close => Ok(SocketResponse::Done),
            SocketOp::Listen
            | SocketOp::Get(_)
            | SocketOp::Set(..)
            | SocketOp::Send(_)
            | SocketOp::Await
            | SocketOp::Receive(_)
            | SocketOp::Shut(_) => Err(ErrorCode::NotSupported),
        }
    }
}

/// Whether a UDP socket has this option.
fn of_datagrams(knob: SocketOption) -> bool {
    match knob {
        SocketOption::HopLimit | SocketOption::ReceiveBuffer | SocketOption::SendBuffer => true,
        SocketOption::KeepAlive
        | SocketOption::KeepAliveIdle
        | SocketOption::KeepAliveInterval
        | SocketOption::KeepAliveCount => false,
    }
}

impl Connection {
    fn out(&self) -> Answer<Arc<TcpStream>> {
        used(&mut lock(&self.out), || lock(&self.socket).sending())
    }

    fn back(&self) -> Answer<Arc<TcpStream>> {
        used(&mut lock(&self.back), || lock(&self.socket).receiving())
    }

    /// Shuts down one direction for good, whether or not it was used.
    fn shut(&self, direction: Direction) {
        let (used, half) = match direction {
            Direction::Out => (self.out(), &self.out),
            Direction::Back => (self.back(), &self.back),
        };
        drop(used);
        *lock(half) = None;
    }
}

/// Takes one direction, which is given out on first use.
fn used(half: &mut Option<Half>, give: impl FnOnce() -> Answer<Half>) -> Answer<Arc<TcpStream>> {
    if half.is_none() {
        *half = Some(give()?);
    }
    half.as_ref().map(Half::stream).ok_or(ErrorCode::InvalidState)
}

impl From<NoAddress> for SocketFault {
    fn from(why: NoAddress) -> Self {
        match why {
            NoAddress::Malformed => Self::InvalidArgument,
            NoAddress::Denied => Self::AccessDenied,
            NoAddress::Unknown => Self::NameUnresolvable,
        }
    }
}

impl From<SocketFault> for NoAddress {
    fn from(refused: SocketFault) -> Self {
        match refused {
            SocketFault::InvalidArgument => Self::Malformed,
            SocketFault::AccessDenied => Self::Denied,
            _ => Self::Unknown,
        }
    }
}
