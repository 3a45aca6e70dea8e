//! Requests of a call in a worker, performed by the broker as those of a call on a thread, and the resources behind its handles.

use std::sync::Arc;

use super::host_calls::Broker;
use super::http::exchange::Exchange;
use super::sockets::open_socket::OpenSocket;
use crate::protocol::route::HandleKind;
use crate::protocol::sockets::{SocketOp, SocketRequest};
use crate::protocol::{HostRequest, HostResponse};
use crate::rpc::gate::{CloseFile, Resource};

/// A resource that a call in a worker has at this process.
pub(crate) enum HostResource {
    Exchange(Exchange),
    Socket(OpenSocket),
}

impl Resource for HostResource {
    fn new(kind: HandleKind) -> Self {
        match kind {
            HandleKind::Exchange => Self::Exchange(Exchange::default()),
            HandleKind::Socket => Self::Socket(OpenSocket::default()),
        }
    }

    fn close(&self) {
        match self {
            Self::Exchange(exchange) => exchange.closed.cancel(),
            Self::Socket(socket) => socket.closed.cancel(),
        }
    }
}

impl Broker {
    /// Takes open files out of the call's table.
    pub(crate) fn close_file(&self) -> CloseFile {
        let files = Arc::clone(&self.files);
        Box::new(move |number| Some(Box::new(files.take(number)?)))
    }

    /// Performs a request of a worker about `resource`. Nothing where it is not answered, or its handle was closed.
    pub(crate) async fn perform(
        &self,
        request: HostRequest,
        resource: Option<&HostResource>,
    ) -> Option<HostResponse> {
        use HostResource::{Exchange, Socket};
        Some(match (request, resource) {
            (HostRequest::Http(request), Some(Exchange(exchange))) => {
                HostResponse::Http(self.perform_http(request, exchange).await?)
            }
            (HostRequest::Keyvalue(request), None) => {
                HostResponse::Keyvalue(self.perform_keyvalue(request).await)
            }
            (HostRequest::Files(request), None) => HostResponse::Files(self.perform_file(request).await),
            (HostRequest::Sockets(SocketRequest::LookUp(name)), None) => {
                HostResponse::Sockets(self.look_up_counted(&name).await)
            }
            (HostRequest::Sockets(SocketRequest::Open(kind)), Some(Socket(socket))) => {
                HostResponse::Sockets(self.open_socket(kind, socket))
            }
            (HostRequest::Sockets(SocketRequest::Of(_, op)), Some(Socket(socket))) => {
                let is_answered = !matches!(op, SocketOp::Shut(_));
                let response = self.perform_socket(op, socket).await?;
                return is_answered.then_some(HostResponse::Sockets(response));
            }
            (request, _) => return request.refused(),
        })
    }
}
