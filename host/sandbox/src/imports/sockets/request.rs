//! Socket requests and responses as a worker sends and receives them. The server checks each request with the broker.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use toolgate_policy::limits::load::WORKER_WORD_BYTES;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode as Told2;
use wasmtime_wasi::p3::bindings::sockets::types::{ErrorCode, IpAddressFamily};

pub(crate) use super::option::SocketOption;
use crate::imports::blob::ByteBlob;

/// Request for sockets.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SocketRequest {
    /// Resolves a name.
    LookUp(String),
    /// Opens a socket, which gets the number of this request.
    Open(SocketKind),
    /// Operation on a socket, by its number.
    Of(u64, SocketOp),
}

/// Type of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SocketKind {
    pub(crate) datagrams: bool,
    pub(crate) v6: bool,
}

/// Operation on a socket.
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
    /// Sends all of these bytes.
    Send(ByteBlob),
    /// Waits until bytes can be received.
    Await,
    /// Receives at most this many bytes, once there are some.
    Receive(u32),
    SendTo(ByteBlob, Option<SocketAddr>),
    ReceiveFrom,
    /// Shuts down a direction. Has no response.
    Shut(Direction),
    /// Closes the socket. Has no response.
    Close,
}

/// Direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Direction {
    Out,
    Back,
}

/// Queue of an operation: each lane has at most one pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SocketLane {
    Send,
    Back,
    /// Operations that complete at once.
    Control,
    /// Operations without a response.
    End,
}

/// Response to a [`SocketRequest`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SocketResponse {
    Done,
    Addresses(Vec<IpAddr>),
    Address(SocketAddr),
    Number(u64),
    Bytes(ByteBlob),
    /// End of the stream: the peer has closed its side.
    End,
    Datagram(ByteBlob, SocketAddr),
}

/// Error of a [`SocketRequest`], with the codes of WASI 0.2 and 0.3.
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
    /// Maximum encoded length in bytes.
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
