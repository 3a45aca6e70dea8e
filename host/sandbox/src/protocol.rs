//! Requests of imports to the process that owns the resource, and its responses: data only, the same on a thread as over a
//! worker's pipe. Each end reads the other's messages as a stranger's: bounded, of a known kind, and whole.

pub(crate) mod blob;
pub(crate) mod files;
pub(crate) mod frame;
pub(crate) mod http;
pub(crate) mod keyvalue;
pub(crate) mod route;
pub(crate) mod sockets;

use serde::{Deserialize, Serialize};
use toolgate_policy::limits::call::{HTTP_ASK_BYTES_MAX, STREAM_BYTES_MAX};
use toolgate_policy::limits::keyvalue::KEYVALUE_USE_BYTES_MAX;
use toolgate_policy::limits::load::WORKER_WORD_BYTES;

use files::{Code, FileRequest, FileResponse};
use http::{HttpRequest, HttpResponse};
use keyvalue::{KeyvalueFault, KeyvalueRequest, KeyvalueResponse};
use route::{CallLane, HandleKind, HandleLane, Route};
use sockets::{SocketFault, SocketOp, SocketRequest, SocketResponse};
use toolgate_net::egress::EgressError;

/// A request of an import.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum HostRequest {
    Http(HttpRequest),
    Keyvalue(KeyvalueRequest),
    Files(FileRequest),
    Sockets(SocketRequest),
    /// Closes an exchange or a socket. It is not answered.
    Close(u64),
    /// Closes what is open of the granted folders. It is not answered.
    CloseFile(u32),
}

/// The response to it, by the same capability.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum HostResponse {
    Http(Result<HttpResponse, EgressError>),
    Keyvalue(Result<KeyvalueResponse, KeyvalueFault>),
    Files(Result<FileResponse, Code>),
    Sockets(Result<SocketResponse, SocketFault>),
}

impl HostRequest {
    /// Bytes that a message with this request may have.
    pub(crate) const fn bytes_max(&self) -> u64 {
        match self {
            Self::Http(HttpRequest::Send { .. }) => HTTP_ASK_BYTES_MAX,
            Self::Http(HttpRequest::Put(..))
            | Self::Files(_)
            | Self::Sockets(SocketRequest::Of(_, SocketOp::Send(_) | SocketOp::SendTo(..))) => {
                STREAM_BYTES_MAX + WORKER_WORD_BYTES
            }
            Self::Keyvalue(_) => KEYVALUE_USE_BYTES_MAX + WORKER_WORD_BYTES,
            Self::Http(HttpRequest::Next(_)) | Self::Sockets(_) | Self::Close(_) | Self::CloseFile(_) => {
                WORKER_WORD_BYTES
            }
        }
    }

    /// The lane and the handle of this request.
    pub(crate) const fn route(&self) -> Route {
        match self {
            Self::Http(HttpRequest::Send { .. }) => Route::Open(HandleKind::Exchange),
            Self::Http(HttpRequest::Put(exchange, _)) => {
                Route::Handle(HandleKind::Exchange, *exchange, HandleLane::Send)
            }
            Self::Http(HttpRequest::Next(exchange)) => {
                Route::Handle(HandleKind::Exchange, *exchange, HandleLane::Receive)
            }
            Self::Keyvalue(_) => Route::Call(CallLane::Keyvalue),
            Self::Files(_) => Route::Call(CallLane::Files),
            Self::Sockets(SocketRequest::LookUp(_)) => Route::Call(CallLane::Opening),
            Self::Sockets(SocketRequest::Open(_)) => Route::Open(HandleKind::Socket),
            Self::Sockets(SocketRequest::Of(socket, op)) => {
                Route::Handle(HandleKind::Socket, *socket, op.lane())
            }
            Self::Close(handle) => Route::Close(*handle),
            Self::CloseFile(file) => Route::CloseFile(*file),
        }
    }

    /// The response for a call that has met a limit; nothing if the request is not answered.
    pub(crate) const fn refused(&self) -> Option<HostResponse> {
        match self {
            Self::Http(_) => Some(HostResponse::Http(Err(EgressError::Refused))),
            Self::Keyvalue(_) => Some(HostResponse::Keyvalue(Err(KeyvalueFault::Denied))),
            Self::Files(_) => Some(HostResponse::Files(Err(Code::Interrupted))),
            Self::Sockets(SocketRequest::Of(_, SocketOp::Shut(_))) | Self::Close(_) | Self::CloseFile(_) => {
                None
            }
            Self::Sockets(_) => Some(HostResponse::Sockets(Err(SocketFault::AccessDenied))),
        }
    }

    /// Bytes for a file in this request. A worker charges its call for these itself.
    pub(crate) fn file_bytes(&self) -> u64 {
        if let Self::Files(request) = self { request.bytes() } else { 0 }
    }
}

impl HostResponse {
    /// Bytes from a file in this response. A worker charges its call for these itself.
    pub(crate) fn file_bytes(&self) -> u64 {
        if let Self::Files(Ok(response)) = self { response.bytes() } else { 0 }
    }
}
