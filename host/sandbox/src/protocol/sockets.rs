//! Requests and responses of `sockets`.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::blob::ByteBlob;
use super::route::HandleLane;

/// A use of sockets.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SocketRequest {
    LookUp(String),
    /// Opens a socket. It has this request's number.
    Open(SocketKind),
    Of(u64, SocketOp),
}

/// A kind of socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SocketKind {
    pub(crate) datagrams: bool,
    pub(crate) v6: bool,
}

/// A use of one socket.
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
    /// Waits until bytes have arrived.
    Await,
    /// Receives at most so many bytes, once some have arrived.
    Receive(u32),
    SendTo(ByteBlob, Option<SocketAddr>),
    ReceiveFrom,
    /// Ends a direction. It is not answered.
    Shut(Direction),
}

/// An option of a socket. Its value is a number: 0 or 1 for a switch, nanoseconds for a time.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum SocketOption {
    KeepAlive,
    KeepAliveIdle,
    KeepAliveInterval,
    KeepAliveCount,
    HopLimit,
    ReceiveBuffer,
    SendBuffer,
}

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Direction {
    Send,
    Receive,
}

/// The result of a use.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SocketResponse {
    Done,
    Addresses(Vec<IpAddr>),
    Address(SocketAddr),
    Number(u64),
    Bytes(ByteBlob),
    /// The end of what the other side sends.
    End,
    Datagram(ByteBlob, SocketAddr),
}

/// The error codes of both generations of WASI.
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

impl SocketOp {
    pub(crate) const fn lane(&self) -> HandleLane {
        match self {
            Self::Connect(_) | Self::Disconnect | Self::Send(_) | Self::SendTo(..) => HandleLane::Send,
            Self::Await | Self::Receive(_) | Self::ReceiveFrom => HandleLane::Receive,
            Self::Bind(_) | Self::Listen | Self::Local | Self::Remote | Self::Get(_) | Self::Set(..) => {
                HandleLane::Control
            }
            Self::Shut(_) => HandleLane::End,
        }
    }
}
