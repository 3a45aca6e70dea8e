//! The sockets of the system that are open for a call, and the only code that uses them: each use is asked for, noted and counted, then
//! made, for a guest in this process and for one in a worker. A socket is closed when its guest, or its call, has let go of it.

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

/// A socket that was asked for; what it is once it is open.
#[derive(Default)]
pub(crate) struct OpenSocket {
    open: OnceLock<Open>,
    /// The worker wants nothing more of it.
    pub(crate) closed: CancellationToken,
}

enum Open {
    Tcp(Connection),
    Udp(UdpEndpoint),
}

/// A connection, or what may become one.
struct Connection {
    socket: Mutex<Socket>,
    /// Its two directions, once they are used and until they are ended.
    out: Mutex<Option<Half>>,
    back: Mutex<Option<Half>>,
}

type Answer<T> = Result<T, ErrorCode>;

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The call has met a limit, which is told beside this.
fn met(_: StopError) -> ErrorCode {
    ErrorCode::AccessDenied
}

impl SocketBroker {
    /// Does something with a socket, until that is closed. What was said before it was closed leaves, as far as it can at once.
    ///
    /// # Errors
    /// [`SocketFault`].
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

    /// Does what is asked for, as far as it may be done. `held`: what it is about, unless it is about a name.
    ///
    /// # Errors
    /// [`SocketFault`].
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
            // A socket that is refused is used up like one that failed.
            (connecting, self.reach(Protocol::Tcp, address).map_err(|why| socket.failed(why))?)
        };
        let ended = connecting.connect(pass.address()).await.map_err(to_error_code);
        lock(&connection.socket).connected(ended)?;
        Ok(SocketResponse::Done)
    }

    /// Counted before it leaves, so that what is over the limit stays here.
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

    /// Ends one direction for good, whether or not it was used.
    fn shut(&self, direction: Direction) {
        let (used, half) = match direction {
            Direction::Out => (self.out(), &self.out),
            Direction::Back => (self.back(), &self.back),
        };
        drop(used);
        *lock(half) = None;
    }
}

/// One direction, which is given out once.
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
