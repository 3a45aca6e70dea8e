//! What a worker wants of sockets, and what comes of it, as it is said. Who has the sockets asks the gate for each of these.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use toolgate_policy::limits::load::WORKER_WORD_BYTES;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode as Told2;
use wasmtime_wasi::p3::bindings::sockets::types::{ErrorCode, IpAddressFamily};

pub(crate) use super::knob::Knob;
use crate::imports::outside::words::Blob;

/// What is wanted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Act {
    /// The addresses of a name.
    LookUp(String),
    /// A socket. It has this ask's number from now on.
    Open(Kind),
    /// Something of a socket, by its number.
    Of(u64, Use),
}

/// What kind of socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kind {
    pub(crate) datagrams: bool,
    pub(crate) v6: bool,
}

/// What is wanted of a socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Use {
    Bind(SocketAddr),
    Connect(SocketAddr),
    Disconnect,
    Listen,
    Local,
    Remote,
    Get(Knob),
    Set(Knob, u64),
    /// To send all of these.
    Send(Blob),
    /// To wait until something has come.
    Await,
    /// At most so many bytes of what comes, once some have.
    Receive(u32),
    SendTo(Blob, Option<SocketAddr>),
    ReceiveFrom,
    /// Nothing more in this direction. It is not answered.
    Shut(Direction),
    /// Nothing more at all. It is not answered.
    Close,
}

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Direction {
    Out,
    Back,
}

/// With what a use of a socket takes turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Out,
    Back,
    /// What is done at once.
    Beside,
    /// What is not answered.
    End,
}

/// What comes of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Came {
    Done,
    Addresses(Vec<IpAddr>),
    Address(SocketAddr),
    Number(u64),
    Bytes(Blob),
    /// The other side has ended it.
    End,
    Datagram(Blob, SocketAddr),
}

/// Why nothing does. The codes of both generations of WASI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::enum_variant_names, reason = "one of them is named so by WASI")]
pub(crate) enum Refused {
    AccessDenied,
    NotSupported,
    InvalidArgument,
    OutOfMemory,
    Timeout,
    InvalidState,
    AddressNotBindable,
    AddressInUse,
    RemoteUnreachable,
    ConnectionRefused,
    ConnectionBroken,
    ConnectionReset,
    ConnectionAborted,
    DatagramTooLarge,
    NameUnresolvable,
    Other,
}

impl Act {
    /// How long it may be, in bytes.
    pub(crate) const fn bytes_max(&self) -> u64 {
        match self {
            Self::Of(_, Use::Send(_) | Use::SendTo(..)) => STREAM_BYTES_MAX + WORKER_WORD_BYTES,
            Self::LookUp(_) | Self::Open(_) | Self::Of(..) => WORKER_WORD_BYTES,
        }
    }
}

impl Use {
    pub(crate) const fn lane(&self) -> Lane {
        match self {
            Self::Connect(_) | Self::Disconnect | Self::Send(_) | Self::SendTo(..) => Lane::Out,
            Self::Await | Self::Receive(_) | Self::ReceiveFrom => Lane::Back,
            Self::Bind(_) | Self::Listen | Self::Local | Self::Remote | Self::Get(_) | Self::Set(..) => {
                Lane::Beside
            }
            Self::Shut(_) | Self::Close => Lane::End,
        }
    }
}

impl Kind {
    pub(crate) const fn family(self) -> IpAddressFamily {
        if self.v6 { IpAddressFamily::Ipv6 } else { IpAddressFamily::Ipv4 }
    }
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::AccessDenied => Self::AccessDenied,
            ErrorCode::NotSupported => Self::NotSupported,
            ErrorCode::InvalidArgument => Self::InvalidArgument,
            ErrorCode::OutOfMemory => Self::OutOfMemory,
            ErrorCode::Timeout => Self::Timeout,
            ErrorCode::InvalidState => Self::InvalidState,
            ErrorCode::AddressNotBindable => Self::AddressNotBindable,
            ErrorCode::AddressInUse => Self::AddressInUse,
            ErrorCode::RemoteUnreachable => Self::RemoteUnreachable,
            ErrorCode::ConnectionRefused => Self::ConnectionRefused,
            ErrorCode::ConnectionBroken => Self::ConnectionBroken,
            ErrorCode::ConnectionReset => Self::ConnectionReset,
            ErrorCode::ConnectionAborted => Self::ConnectionAborted,
            ErrorCode::DatagramTooLarge => Self::DatagramTooLarge,
            ErrorCode::Other(_) => Self::Other,
        }
    }
}

impl From<Refused> for Told2 {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::AccessDenied => Self::AccessDenied,
            Refused::NotSupported => Self::NotSupported,
            Refused::InvalidArgument => Self::InvalidArgument,
            Refused::OutOfMemory => Self::OutOfMemory,
            Refused::Timeout => Self::Timeout,
            Refused::InvalidState => Self::InvalidState,
            Refused::AddressNotBindable => Self::AddressNotBindable,
            Refused::AddressInUse => Self::AddressInUse,
            Refused::RemoteUnreachable => Self::RemoteUnreachable,
            Refused::ConnectionRefused => Self::ConnectionRefused,
            Refused::ConnectionReset => Self::ConnectionReset,
            Refused::ConnectionAborted => Self::ConnectionAborted,
            Refused::DatagramTooLarge => Self::DatagramTooLarge,
            Refused::NameUnresolvable => Self::NameUnresolvable,
            Refused::ConnectionBroken | Refused::Other => Self::Unknown,
        }
    }
}
