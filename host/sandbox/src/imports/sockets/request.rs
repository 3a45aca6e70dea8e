//! What a worker wants of sockets, and what comes of it, as it is said. Who has the sockets asks the gate for each of these.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use toolgate_policy::limits::load::WORKER_WORD_BYTES;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode as Told2;
use wasmtime_wasi::p3::bindings::sockets::types::{ErrorCode, IpAddressFamily};

pub(crate) use super::option::SocketOption;
use crate::imports::blob::ByteBlob;

/// What is wanted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SocketRequest {
    /// The addresses of a name.
    LookUp(String),
    /// A socket. It has this ask's number from now on.
    Open(SocketKind),
    /// Something of a socket, by its number.
    Of(u64, SocketOp),
}

/// What kind of socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SocketKind {
    pub(crate) datagrams: bool,
    pub(crate) v6: bool,
}

/// What is wanted of a socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SocketOp {
    Bind(SocketAddr),
    Connect(SocketAddr),
    Disconnect,
    Listen,
    Local,
    Remote,
    Get(SocketOption),
    Set(SocketOption, u64),
    /// To send all of these.
    Send(ByteBlob),
    /// To wait until something has come.
    Await,
    /// At most so many bytes of what comes, once some have.
    Receive(u32),
    SendTo(ByteBlob, Option<SocketAddr>),
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
pub(crate) enum SocketLane {
    Send,
    Back,
    /// What is done at once.
    Control,
    /// What is not answered.
    End,
}

/// What comes of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SocketResponse {
    Done,
    Addresses(Vec<IpAddr>),
    Address(SocketAddr),
    Number(u64),
    Bytes(ByteBlob),
    /// The other side has ended it.
    End,
    Datagram(ByteBlob, SocketAddr),
}

/// Why nothing does. The codes of both generations of WASI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SocketFault {
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

impl SocketRequest {
    /// How long it may be, in bytes.
    pub(crate) const fn bytes_max(&self) -> u64 {
        match self {
            Self::Of(_, SocketOp::Send(_) | SocketOp::SendTo(..)) => STREAM_BYTES_MAX + WORKER_WORD_BYTES,
            Self::LookUp(_) | Self::Open(_) | Self::Of(..) => WORKER_WORD_BYTES,
        }
    }
}

impl SocketOp {
    pub(crate) const fn lane(&self) -> SocketLane {
        match self {
            Self::Connect(_) | Self::Disconnect | Self::Send(_) | Self::SendTo(..) => SocketLane::Send,
            Self::Await | Self::Receive(_) | Self::ReceiveFrom => SocketLane::Back,
            Self::Bind(_) | Self::Listen | Self::Local | Self::Remote | Self::Get(_) | Self::Set(..) => {
                SocketLane::Control
            }
            Self::Shut(_) | Self::Close => SocketLane::End,
        }
    }
}

impl SocketKind {
    pub(crate) const fn family(self) -> IpAddressFamily {
        if self.v6 { IpAddressFamily::Ipv6 } else { IpAddressFamily::Ipv4 }
    }
}

impl From<ErrorCode> for SocketFault {
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

impl From<SocketFault> for Told2 {
    fn from(refused: SocketFault) -> Self {
        match refused {
            SocketFault::AccessDenied => Self::AccessDenied,
            SocketFault::NotSupported => Self::NotSupported,
            SocketFault::InvalidArgument => Self::InvalidArgument,
            SocketFault::OutOfMemory => Self::OutOfMemory,
            SocketFault::Timeout => Self::Timeout,
            SocketFault::InvalidState => Self::InvalidState,
            SocketFault::AddressNotBindable => Self::AddressNotBindable,
            SocketFault::AddressInUse => Self::AddressInUse,
            SocketFault::RemoteUnreachable => Self::RemoteUnreachable,
            SocketFault::ConnectionRefused => Self::ConnectionRefused,
            SocketFault::ConnectionReset => Self::ConnectionReset,
            SocketFault::ConnectionAborted => Self::ConnectionAborted,
            SocketFault::DatagramTooLarge => Self::DatagramTooLarge,
            SocketFault::NameUnresolvable => Self::NameUnresolvable,
            SocketFault::ConnectionBroken | SocketFault::Other => Self::Unknown,
        }
    }
}
