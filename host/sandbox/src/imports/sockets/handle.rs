//! A socket of a guest, by both generations of WASI. Its uses are performed by the broker, in this process or at the other end of a
//! worker's pipe. Nothing is granted, counted or connected here.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use toolgate_base::meter::StopError;

use super::open_socket::OpenSocket;
use crate::imports::host_calls::{Broker, HostCalls};
use crate::protocol::route::HandleLane;
use crate::protocol::sockets::{
    Direction, SocketFault, SocketKind, SocketOp, SocketOption, SocketRequest, SocketResponse,
};
use crate::protocol::{HostRequest, HostResponse};
use crate::rpc::client::{RemoteHandle, ResponseReceiver, RpcClient};
use crate::rpc::lanes::HandleLanes;

/// Takes the value out of a response of the right kind.
macro_rules! value {
    ($response:expr, $this:pat => $value:expr) => {
        match $response {
            Ok($this) => Ok($value),
            Ok(_) => Err($crate::protocol::sockets::SocketFault::Other),
            Err(fault) => Err(fault),
        }
    };
}
pub(super) use value;

/// A socket. Dropped it is closed.
pub(super) struct SocketHandle {
    socket: Socket,
    pub(super) kind: SocketKind,
    lanes: HandleLanes,
}

enum Socket {
    Local(Arc<Broker>, Arc<OpenSocket>),
    Remote(RemoteHandle),
}

/// A use of a socket that is under way.
pub(super) enum SocketFuture {
    Done(Option<Result<SocketResponse, SocketFault>>),
    /// Performed by a task of this process, which ends with the socket.
    Task(JoinHandle<Result<SocketResponse, SocketFault>>),
    /// Performed by the server; nothing if it cannot be asked for, as of a call that has ended.
    Remote(Option<ResponseReceiver>),
}

impl Future for SocketFuture {
    type Output = Result<SocketResponse, SocketFault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match &mut *self {
            Self::Done(response) => response.take().unwrap_or(Err(SocketFault::Other)),
            Self::Task(task) => std::task::ready!(Pin::new(task).poll(cx)).unwrap_or(Err(SocketFault::Other)),
            Self::Remote(None) => Err(SocketFault::Other),
            Self::Remote(Some(response)) => match std::task::ready!(Pin::new(response).poll(cx)) {
                Ok(HostResponse::Sockets(response)) => response,
                Ok(_) | Err(_) => Err(SocketFault::Other),
            },
        })
    }
}

impl SocketFuture {
    /// Performs it in this process: at once if that can be, else while its guest goes on.
    fn local(mut work: BoxFuture<'static, Result<SocketResponse, SocketFault>>) -> Self {
        match work.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => Self::Done(Some(response)),
            Poll::Pending => Self::Task(tokio::spawn(work)),
        }
    }
}

impl SocketHandle {
    /// Opens a socket.
    ///
    /// # Errors
    /// [`SocketFault`].
    pub(super) async fn open(outside: &HostCalls, kind: SocketKind) -> Result<Arc<Self>, SocketFault> {
        let socket = match outside {
            HostCalls::Local(broker) => {
                let socket = Arc::new(OpenSocket::default());
                broker.open_socket(kind, &socket)?;
                Socket::Local(Arc::clone(broker), socket)
            }
            HostCalls::Remote(client) => {
                let request = HostRequest::Sockets(SocketRequest::Open(kind));
                let (handle, response) = client.open(request).await.ok_or(SocketFault::Other)?;
                SocketFuture::Remote(Some(response)).await?;
                Socket::Remote(handle)
            }
        };
        Ok(Arc::new(Self { socket, kind, lanes: HandleLanes::new() }))
    }

    /// Begins a use, in a place that the caller has.
    pub(super) fn begin(&self, op: SocketOp, place: Option<OwnedSemaphorePermit>) -> SocketFuture {
        match &self.socket {
            Socket::Local(broker, socket) => {
                let (broker, socket) = (Arc::clone(broker), Arc::clone(socket));
                let work = async move {
                    let response = broker.perform_socket(op, &socket).await;
                    // First, so that the next use can begin at once.
                    drop(place);
                    response.unwrap_or(Err(SocketFault::Other))
                };
                SocketFuture::local(work.boxed())
            }
            Socket::Remote(handle) => SocketFuture::Remote(handle.ask(of(handle, op), place)),
        }
    }

    /// Performs a use when there is a place for it. Whoever reads has a place of its own for what arrives.
    pub(super) async fn ask(&self, op: SocketOp) -> Result<SocketResponse, SocketFault> {
        let lane = op.lane();
        if let HandleLane::Receive | HandleLane::End = lane {
            return Err(SocketFault::NotSupported);
        }
        let place = self.lanes.lane(lane).acquire_owned().await.ok();
        self.begin(op, place).await
    }

    /// Begins to send, if nothing else is being sent.
    pub(super) fn send(&self, op: SocketOp) -> Option<SocketFuture> {
        let place = self.lanes.lane(HandleLane::Send).try_acquire_owned().ok()?;
        Some(self.begin(op, Some(place)))
    }

    /// Ends a direction.
    pub(super) fn shut(&self, direction: Direction) {
        let op = SocketOp::Shut(direction);
        match &self.socket {
            // It waits for nothing.
            Socket::Local(broker, socket) => drop(broker.perform_socket(op, socket).now_or_never()),
            Socket::Remote(handle) => handle.client.notify(of(handle, op)),
        }
    }

    /// Whether the call may go on. What ends it may have come with a response, where no guest crosses.
    pub(super) fn goes_on(&self) -> Result<(), StopError> {
        self.spent(u64::MAX)
    }

    /// Like [`Self::goes_on`], with the fuel left.
    pub(super) fn spent(&self, fuel_left: u64) -> Result<(), StopError> {
        let meter = match &self.socket {
            Socket::Local(broker, _) => &broker.meter,
            Socket::Remote(handle) => &handle.client.meter,
        };
        meter.crossed(false, fuel_left)
    }

    pub(super) async fn done(&self, op: SocketOp) -> Result<(), SocketFault> {
        value!(self.ask(op).await, SocketResponse::Done => ())
    }

    /// The value of an option, if it fits into the type that WASI has for it.
    pub(super) async fn get<T: TryFrom<u64>>(&self, option: SocketOption) -> Result<T, SocketFault> {
        let value = value!(self.ask(SocketOp::Get(option)).await, SocketResponse::Number(value) => value)?;
        T::try_from(value).map_err(|_| SocketFault::NotSupported)
    }

    pub(super) async fn set(&self, option: SocketOption, value: impl Into<u64>) -> Result<(), SocketFault> {
        self.done(SocketOp::Set(option, value.into())).await
    }

    pub(super) async fn address(&self, op: SocketOp) -> Result<SocketAddr, SocketFault> {
        value!(self.ask(op).await, SocketResponse::Address(address) => address)
    }
}

impl Drop for SocketHandle {
    fn drop(&mut self) {
        if let Socket::Local(_, socket) = &self.socket {
            socket.closed.cancel();
        }
    }
}

fn of(handle: &RemoteHandle, op: SocketOp) -> HostRequest {
    HostRequest::Sockets(SocketRequest::Of(handle.number, op))
}

/// Has a name looked up by the server.
///
/// # Errors
/// [`SocketFault`].
pub(super) async fn look_up(client: Arc<RpcClient>, name: String) -> Result<Vec<IpAddr>, SocketFault> {
    /// More than any name has. What is longer is none, and so is its beginning.
    const CHARS_MAX: usize = 400;
    let name = name.chars().take(CHARS_MAX).collect();
    match client.call(HostRequest::Sockets(SocketRequest::LookUp(name))).await {
        Some(HostResponse::Sockets(response)) => {
            value!(response, SocketResponse::Addresses(addresses) => addresses)
        }
        Some(_) | None => Err(SocketFault::Other),
    }
}

/// A response that is awaited before it is taken.
pub(super) struct AwaitedResponse {
    future: SocketFuture,
    response: Option<Result<SocketResponse, SocketFault>>,
}

impl AwaitedResponse {
    pub(super) fn new(future: SocketFuture) -> Self {
        Self { future, response: None }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.response.is_none() {
            self.response = Some(std::task::ready!(Pin::new(&mut self.future).poll(cx)));
        }
        Poll::Ready(())
    }

    /// The response; itself if there is none yet.
    pub(super) fn take(mut self) -> Result<Result<SocketResponse, SocketFault>, Self> {
        match self.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(()) => Ok(self.response.unwrap_or(Err(SocketFault::Other))),
            Poll::Pending => Err(self),
        }
    }
}
