//! The sockets that are held for a call in a worker. It names them by number; each use is asked for, noted and counted here, as
//! for a call in this process. A socket is closed when nobody has its number any more: the worker, or its call, has let go of it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use toolgate_policy::capability::sockets::Protocol;
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use wasmtime_wasi::p3::bindings::sockets::types::ErrorCode;
use wasmtime_wasi::sockets::SocketAddrUse;

use super::act::{Act, Came, Direction, Kind, Knob, Refused, Use};
use super::datagram::Datagrams;
use super::p3::connection::Socket;
use super::p3::stream::Half;
use super::p3::told;
use super::{Gate, NoAddress};
use crate::imports::outside::words::Blob;
use crate::meter::Stop;
use crate::socket::acknowledge;

/// A socket that was asked for; what it is once it is open.
#[derive(Default)]
pub(crate) struct Held {
    open: OnceLock<Open>,
    /// The worker wants nothing more of it.
    pub(crate) closed: CancellationToken,
}

enum Open {
    Tcp(Connection),
    Udp(Datagrams),
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
fn met(_: Stop) -> ErrorCode {
    ErrorCode::AccessDenied
}

impl Gate {
    /// Does what a worker asks for, as far as it may be done. `held`: what it is about, unless it is about a name.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) async fn act(&self, act: Act, held: Option<&Held>) -> Result<Came, Refused> {
        match (act, held) {
            (Act::LookUp(name), _) => {
                self.count_one().map_err(met)?;
                Ok(Came::Addresses(self.look_up(&name).await?))
            }
            (Act::Open(kind), Some(held)) => Ok(self.open(kind, held)?),
            (Act::Of(_, wanted), Some(held)) => match held.open.get() {
                Some(Open::Tcp(connection)) => Ok(self.of_connection(wanted, connection).await?),
                Some(Open::Udp(datagrams)) => Ok(self.of_datagrams(wanted, datagrams).await?),
                None => Err(Refused::InvalidState),
            },
            (Act::Open(_) | Act::Of(..), None) => Err(Refused::InvalidState),
        }
    }

    fn open(&self, kind: Kind, held: &Held) -> Answer<Came> {
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
            Protocol::Udp => Open::Udp(Datagrams::open(kind.family())?),
        };
        held.open.set(open).map_err(|_| ErrorCode::InvalidState)?;
        Ok(Came::Done)
    }

    async fn of_connection(&self, wanted: Use, connection: &Connection) -> Answer<Came> {
        let socket = || lock(&connection.socket);
        match wanted {
            Use::Bind(address) => {
                if !self.ask(address, SocketAddrUse::TcpBind) {
                    return Err(ErrorCode::AccessDenied);
                }
                socket().bind(address)?;
                Ok(Came::Done)
            }
            Use::Connect(address) => self.connect(connection, address).await,
            Use::Listen => {
                self.refuse_listening();
                Err(ErrorCode::AccessDenied)
            }
            Use::Local => Ok(Came::Address(socket().local()?)),
            Use::Remote => Ok(Came::Address(socket().remote()?)),
            Use::Get(knob) => {
                let socket = socket();
                Ok(Came::Number(knob.get(socket.fd()?, socket.family)?))
            }
            Use::Set(knob, value) => {
                let socket = socket();
                knob.set(socket.fd()?, socket.family, value)?;
                Ok(Came::Done)
            }
            Use::Send(Blob(bytes)) => {
                let stream = connection.out()?;
                self.send(&stream, &bytes).await
            }
            Use::Await => {
                connection.back()?.readable().await.map_err(told)?;
                Ok(Came::Done)
            }
            Use::Receive(bytes) => {
                let stream = connection.back()?;
                self.receive(&stream, bytes).await
            }
            Use::Shut(direction) => {
                connection.shut(direction);
                Ok(Came::Done)
            }
            Use::Close => Ok(Came::Done),
            Use::Disconnect | Use::SendTo(..) | Use::ReceiveFrom => Err(ErrorCode::NotSupported),
        }
    }

    async fn connect(&self, connection: &Connection, address: SocketAddr) -> Answer<Came> {
        let (connecting, pass) = self.connecting(&mut lock(&connection.socket), address)?;
        let ended = connecting.connect(pass.address()).await.map_err(told);
        lock(&connection.socket).connected(ended)?;
        Ok(Came::Done)
    }

    /// Counted before it leaves, so that what is over the limit stays here.
    async fn send(&self, stream: &TcpStream, mut bytes: &[u8]) -> Answer<Came> {
        self.meter.socket_bytes(bytes.len() as u64).map_err(met)?;
        while !bytes.is_empty() {
            stream.writable().await.map_err(told)?;
            match stream.try_write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(told(error)),
            }
        }
        Ok(Came::Done)
    }

    async fn receive(&self, stream: &TcpStream, bytes: u32) -> Answer<Came> {
        loop {
            stream.readable().await.map_err(told)?;
            let mut room = vec![0; u64::from(bytes).clamp(1, STREAM_BYTES_MAX) as usize];
            match stream.try_read(&mut room) {
                Ok(0) => return Ok(Came::End),
                Ok(count) => {
                    acknowledge(stream);
                    self.meter.socket_bytes(count as u64).map_err(met)?;
                    room.truncate(count);
                    return Ok(Came::Bytes(Blob(room)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(told(error)),
            }
        }
    }

    async fn of_datagrams(&self, wanted: Use, datagrams: &Datagrams) -> Answer<Came> {
        let done = |()| Came::Done;
        match wanted {
            Use::Bind(address) => datagrams.bind(self, address).map(done),
            Use::Connect(address) => datagrams.connect(self, address).map(done),
            Use::Disconnect => datagrams.disconnect().map(done),
            Use::Local => datagrams.local().map(Came::Address),
            Use::Remote => datagrams.remote().map(Came::Address),
            Use::Get(knob) if of_datagrams(knob) => {
                knob.get(datagrams.fd(), datagrams.family).map(Came::Number)
            }
            Use::Set(knob, value) if of_datagrams(knob) => {
                knob.set(datagrams.fd(), datagrams.family, value).map(done)
            }
            Use::SendTo(Blob(data), to) => datagrams.send(self, &data, to).await.map(done),
            Use::ReceiveFrom => {
                let (data, from) = datagrams.receive(self).await?;
                Ok(Came::Datagram(Blob(data), from))
            }
            Use::Close => Ok(Came::Done),
            Use::Listen
            | Use::Get(_)
            | Use::Set(..)
            | Use::Send(_)
            | Use::Await
            | Use::Receive(_)
            | Use::Shut(_) => Err(ErrorCode::NotSupported),
        }
    }
}

/// Whether a UDP socket has this option.
fn of_datagrams(knob: Knob) -> bool {
    match knob {
        Knob::Hops | Knob::ReceiveBuffer | Knob::SendBuffer => true,
        Knob::KeepAlive | Knob::KeepAliveIdle | Knob::KeepAliveInterval | Knob::KeepAliveCount => false,
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

impl From<NoAddress> for Refused {
    fn from(why: NoAddress) -> Self {
        match why {
            NoAddress::Malformed => Self::InvalidArgument,
            NoAddress::Denied => Self::AccessDenied,
            NoAddress::Unknown => Self::NameUnresolvable,
        }
    }
}

impl From<Refused> for NoAddress {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::InvalidArgument => Self::Malformed,
            Refused::AccessDenied => Self::Denied,
            _ => Self::Unknown,
        }
    }
}
