//! A guest's socket, for WASI 0.2 and 0.3. Operations are executed by the process that owns the system's socket: this
//! one, or the server at the other end of the worker's pipe. Nothing is granted, counted or connected here.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;
use toolgate_base::meter::{Meter, StopError};

use super::broker::{NoAddress, SocketBroker};
use super::open_socket::OpenSocket;
use super::request::{SocketFault, SocketKind, SocketLane, SocketOp, SocketRequest, SocketResponse};
use crate::imports::host_calls::protocol::{HostRequest, HostResponse};
use crate::imports::host_calls::rpc_client::RpcClient;

/// Unwraps the expected response.
macro_rules! came {
    ($came:expr, $this:pat => $told:expr) => {
        match $came {
            Ok($this) => Ok($told),
            Ok(_) => Err($crate::imports::sockets::request::SocketFault::Other),
            Err(refused) => Err(refused),
        }
    };
}
pub(super) use came;

/// Socket; closed when the last reference is dropped.
pub(super) struct SocketHandle {
    place: Place,
    pub(super) kind: SocketKind,
    out: Arc<Semaphore>,
    beside: Arc<Semaphore>,
}

/// Owner of the system's socket.
enum Place {
    /// This process.
    Here(Arc<SocketBroker>, Arc<OpenSocket>),
    /// The server, where the socket has this number.
    Afar(Arc<RpcClient>, u64),
}

/// Pending operation.
pub(super) enum Flight {
    /// Completed at once.
    Done(Option<Result<SocketResponse, SocketFault>>),
    /// Task in this process; it ends with the socket.
    Task(JoinHandle<Result<SocketResponse, SocketFault>>),
    /// Request to the server; `None` if it cannot be sent, because the call has ended.
    Asked(Option<oneshot::Receiver<HostResponse>>),
}

impl Future for Flight {
    type Output = Result<SocketResponse, SocketFault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match &mut *self {
            Self::Done(came) => came.take().unwrap_or(Err(SocketFault::Other)),
            Self::Task(task) => std::task::ready!(Pin::new(task).poll(cx)).unwrap_or(Err(SocketFault::Other)),
            Self::Asked(None) => Err(SocketFault::Other),
            Self::Asked(Some(answer)) => match std::task::ready!(Pin::new(answer).poll(cx)) {
                Ok(HostResponse::Sockets(came)) => came,
                Ok(_) | Err(_) => Err(SocketFault::Other),
            },
        })
    }
}

impl Flight {
    /// Executes an operation in this process: at once if possible, else in a task while the guest continues.
    fn here(mut doing: BoxFuture<'static, Result<SocketResponse, SocketFault>>) -> Self {
        match doing.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(came) => Self::Done(Some(came)),
            Poll::Pending => Self::Task(tokio::spawn(doing)),
        }
    }

    fn asked(asked: Option<(u64, oneshot::Receiver<HostResponse>)>) -> Self {
        Self::Asked(asked.map(|(_, answer)| answer))
    }
}

impl SocketHandle {
    /// Opens a socket in this process.
    pub(super) async fn here(broker: &Arc<SocketBroker>, kind: SocketKind) -> Result<Arc<Self>, SocketFault> {
        let held = Arc::new(OpenSocket::default());
        broker.act(SocketRequest::Open(kind), Some(&held)).await?;
        Ok(Self::new(Place::Here(Arc::clone(broker), held), kind))
    }

    /// Opens a socket in the server.
    pub(super) async fn afar(afar: &Arc<RpcClient>, kind: SocketKind) -> Result<Arc<Self>, SocketFault> {
        let turn = Arc::clone(&afar.opening).acquire_owned().await.ok();
        let (number, answer) = afar
            .ask_in_turn(&HostRequest::Sockets(SocketRequest::Open(kind)), turn)
            .ok_or(SocketFault::Other)?;
        // Created before the answer, so that dropping it releases the number if the open fails.
        let handle = Self::new(Place::Afar(Arc::clone(afar), number), kind);
        Flight::Asked(Some(answer)).await?;
        Ok(handle)
    }

    fn new(place: Place, kind: SocketKind) -> Arc<Self> {
        let turns = || Arc::new(Semaphore::new(1));
        Arc::new(Self { place, kind, out: turns(), beside: turns() })
    }

    /// Starts an operation; the caller has its turn.
    pub(super) fn begin(&self, wanted: SocketOp, turn: Option<OwnedSemaphorePermit>) -> Flight {
        match &self.place {
            Place::Here(broker, held) => {
                let (broker, held) = (Arc::clone(broker), Arc::clone(held));
                Flight::here(
                    async move {
                        let came = broker.until_closed(wanted, &held).await;
                        // Before returning, so that the next waiter can proceed at once.
                        drop(turn);
                        came
                    }
                    .boxed(),
                )
            }
            Place::Afar(afar, number) => Flight::asked(
                afar.ask_in_turn(&HostRequest::Sockets(SocketRequest::Of(*number, wanted)), turn),
            ),
        }
    }

    /// Waits for the operation's turn, then for its response. Receives are refused: their reader serialises them.
    pub(super) async fn ask(&self, wanted: SocketOp) -> Result<SocketResponse, SocketFault> {
        let turns = match wanted.lane() {
            SocketLane::Send => &self.out,
            SocketLane::Control => &self.beside,
            SocketLane::Back | SocketLane::End => return Err(SocketFault::NotSupported),
        };
        let turn = Arc::clone(turns).acquire_owned().await.ok();
        self.begin(wanted, turn).await
    }

    /// Starts to send, unless another send is pending.
    pub(super) fn send(&self, wanted: SocketOp) -> Option<Flight> {
        let turn = Arc::clone(&self.out).try_acquire_owned().ok()?;
        Some(self.begin(wanted, Some(turn)))
    }

    /// Starts an operation that has no response.
    pub(super) fn say(&self, wanted: SocketOp) {
        match &self.place {
            Place::Here(_, held) if matches!(wanted, SocketOp::Close) => held.closed.cancel(),
            // Shutting down a direction completes at once.
            Place::Here(broker, held) => drop(broker.until_closed(wanted, held).now_or_never()),
            Place::Afar(afar, number) => {
                afar.say_only(&HostRequest::Sockets(SocketRequest::Of(*number, wanted)))
            }
        }
    }

    fn meter(&self) -> &Meter {
        match &self.place {
            Place::Here(broker, _) => broker.meter(),
            Place::Afar(afar, _) => &afar.meter,
        }
    }

    /// Returns an error if the call must stop, which a response can cause without the guest crossing into the host.
    pub(super) fn goes_on(&self) -> Result<(), StopError> {
        self.spent(u64::MAX)
    }

    /// Like [`Self::goes_on`], with the fuel left.
    pub(super) fn spent(&self, fuel_left: u64) -> Result<(), StopError> {
        self.meter().crossed(false, fuel_left)
    }

    pub(super) async fn done(&self, wanted: SocketOp) -> Result<(), SocketFault> {
        came!(self.ask(wanted).await, SocketResponse::Done => ())
    }

    pub(super) async fn number(&self, wanted: SocketOp) -> Result<u64, SocketFault> {
        came!(self.ask(wanted).await, SocketResponse::Number(number) => number)
    }
}

impl Drop for SocketHandle {
    fn drop(&mut self) {
        self.say(SocketOp::Close);
    }
}

/// Resolves a name in the server.
pub(super) async fn look_up(afar: Arc<RpcClient>, name: String) -> Result<Vec<std::net::IpAddr>, NoAddress> {
    /// More characters than a valid name has. A longer name stays invalid when truncated.
    const CHARS_MAX: usize = 400;
    let name = name.chars().take(CHARS_MAX).collect();
    let turn = Arc::clone(&afar.opening).acquire_owned().await.ok();
    let found =
        Flight::asked(afar.ask_in_turn(&HostRequest::Sockets(SocketRequest::LookUp(name)), turn)).await;
    came!(found, SocketResponse::Addresses(addresses) => addresses).map_err(NoAddress::from)
}

/// Response that can be polled before it is taken.
pub(super) struct Later {
    flight: Flight,
    came: Option<Result<SocketResponse, SocketFault>>,
}

impl Later {
    pub(super) fn new(flight: Flight) -> Self {
        Self { flight, came: None }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.came.is_none() {
            self.came = Some(std::task::ready!(Pin::new(&mut self.flight).poll(cx)));
        }
        Poll::Ready(())
    }

    /// Returns the response, or itself if there is none yet.
    pub(super) fn take(mut self) -> Result<Result<SocketResponse, SocketFault>, Self> {
        match self.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(()) => Ok(self.came.unwrap_or(Err(SocketFault::Other))),
            Poll::Pending => Err(self),
        }
    }
}
