//! What the server does for a call in a worker: as for one on its own threads. It asks the grant, keeps the record, counts on a
//! meter of its own, and reaches outside; what the worker says of all that is not heard.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Uri};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Receiver, channel};
use toolgate_base::meter::StopError;
use toolgate_net::egress::{EgressError, Timeouts};
use toolgate_policy::limits::call::CallLimit;

use super::handle::LiveWorker;
use super::message::ToWorker;
use super::request_gate::{BodyFrame, Exchange, Pending, PendingRequest};
use crate::imports::files::request as file;
use crate::imports::host_calls::Broker;
use crate::imports::host_calls::protocol::{
    BodyPart, HostRequest, HostResponse, RequestHead as Head, ResponseHead, encode,
};
use crate::imports::keyvalue::request::KeyvalueFault;
use crate::imports::sockets::SocketBroker;
use crate::imports::sockets::open_socket::OpenSocket;
use crate::imports::sockets::request::{SocketFault as NoSocket, SocketLane, SocketOp, SocketRequest};

/// One call's service. What is under way ends with it.
pub(super) struct Serving<'a> {
    live: &'a LiveWorker,
    id: u64,
    here: Broker,
    sockets: SocketBroker,
    /// How much of the meter's debt the worker was told.
    told: AtomicU64,
}

impl<'a> Serving<'a> {
    pub(super) fn new(live: &'a LiveWorker, id: u64, here: Broker) -> Self {
        let sockets = SocketBroker::new(&here.powers, &here.meter, &here.notes);
        Self { live, id, here, sockets, told: AtomicU64::new(0) }
    }

    /// Serves while `until` is waited for, many things at once.
    pub(super) async fn until<T>(&self, until: impl Future<Output = T>, mut wanted: Receiver<Pending>) -> T {
        tokio::pin!(until);
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                ended = &mut until => {
                    // What was said to a socket before the call ended leaves, as far as it can at once.
                    while let Ok(wanted) = wanted.try_recv() {
                        if let Pending::Asked(asked) = wanted && matches!(asked.ask, HostRequest::Sockets(_)) {
                            under_way.push(self.serve(asked));
                        }
                    }
                    while under_way.next().now_or_never().flatten().is_some() {}
                    return ended;
                }
                Some(wanted) = wanted.recv() => match wanted {
                    Pending::Asked(asked) => under_way.push(self.serve(asked)),
                    Pending::Close(thing) => drop(thing),
                },
                Some(()) = under_way.next() => {}
            }
        }
    }

    async fn serve(&self, asked: PendingRequest) {
        let PendingRequest { number, ask, exchange, held, turn } = asked;
        if let HostRequest::Sockets(act) = ask {
            if let Some(answer) = self.plug(act, held.as_deref()).await {
                self.answer(number, &answer, turn);
            }
            return;
        }
        let answer = match self.crossed(true) {
            Err(_) => refused(&ask),
            Ok(()) => match &exchange {
                None => self.act(ask).await,
                Some(exchange) => tokio::select! {
                    biased;
                    () = exchange.left.cancelled() => return,
                    answer = self.exchange(ask, exchange) => answer,
                },
            },
        };
        self.answer(number, &answer, turn);
    }

    /// Whether the call may go on. What it asks for costs as much as any way out of a guest.
    fn crossed(&self, entering: bool) -> Result<(), StopError> {
        let meter = &self.here.meter;
        meter.crossed(entering, meter.limit(CallLimit::Fuel))
    }

    async fn act(&self, ask: HostRequest) -> HostResponse {
        match ask {
            HostRequest::Store(act) => HostResponse::Store(self.here.act(act).await),
            HostRequest::File(act) => HostResponse::File(self.file(act).await),
            HostRequest::LetGo(_)
            | HostRequest::Send { .. }
            | HostRequest::Body { .. }
            | HostRequest::Next { .. }
            | HostRequest::Leave { .. }
            | HostRequest::Sockets(_) => refused(&ask),
        }
    }

    async fn file(&self, act: file::FileRequest) -> Result<file::FileResponse, file::Code> {
        self.moved(act.bytes());
        let came = self.here.file(act).await?;
        self.moved(came.bytes());
        Ok(came)
    }

    /// Bytes that went into a file or came out of one. For these a worker of ours charges its call itself.
    fn moved(&self, bytes: u64) {
        self.here.meter.charge(bytes);
        self.told.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What comes of using a socket; nothing where that is not answered, or nobody wants it any more.
    async fn plug(&self, act: SocketRequest, held: Option<&OpenSocket>) -> Option<HostResponse> {
        let lane = match &act {
            SocketRequest::Of(_, wanted) => wanted.lane(),
            SocketRequest::LookUp(_) | SocketRequest::Open(_) => SocketLane::Control,
        };
        if let (SocketRequest::Of(_, SocketOp::Close), Some(held)) = (&act, held) {
            held.closed.cancel();
            return None;
        }
        let came = match (self.crossed(true), held) {
            (Err(_), _) => Err(NoSocket::AccessDenied),
            (Ok(()), None) => self.sockets.act(act, None).await,
            (Ok(()), Some(held)) => tokio::select! {
                biased;
                // First, so that what was said before it was closed leaves, as far as it can at once.
                came = self.sockets.act(act, Some(held)) => came,
                () = held.closed.cancelled() => return None,
            },
        };
        (lane != SocketLane::End).then_some(HostResponse::Sockets(came))
    }

    async fn exchange(&self, ask: HostRequest, exchange: &Exchange) -> HostResponse {
        match ask {
            HostRequest::Send { head, empty } => {
                self.send(head, empty, exchange).await.map_or_else(HostResponse::Failed, HostResponse::Head)
            }
            HostRequest::Body { exchange: _, part } => leave(part, exchange).await,
            HostRequest::Next { .. } => HostResponse::Part(next(exchange).await),
            HostRequest::Leave { .. }
            | HostRequest::Store(_)
            | HostRequest::File(_)
            | HostRequest::LetGo(_)
            | HostRequest::Sockets(_) => refused(&ask),
        }
    }

    async fn send(&self, head: Head, empty: bool, exchange: &Exchange) -> Result<ResponseHead, EgressError> {
        let timeouts = Timeouts { connect: head.connect, first_byte: head.first_byte };
        let (tell, told) = channel(1);
        let body = Said { parts: (!empty).then_some(told) };
        if !empty {
            *exchange.leaving.lock().await = Some(tell);
        }
        let request = request(head, body).map_err(|_| EgressError::Malformed)?;
        let (head, body) = self.here.clone().send(request, timeouts).await?.into_parts();
        *exchange.arriving.lock().await = Some(body);
        Ok(ResponseHead { status: head.status.as_u16(), fields: (&head.headers).into() })
    }

    /// Says what came of it, what it cost, and whether the call has met a limit. Its turn is over when that is being said.
    fn answer(&self, ask: u64, answer: &HostResponse, turn: OwnedSemaphorePermit) {
        let meter = &self.here.meter;
        let debt = meter.debt();
        let fuel = debt.saturating_sub(self.told.swap(debt, Ordering::Relaxed));
        // The deadline among them: what was cut off here by the time is no failure that a guest should hear of.
        let stop = self.crossed(false).err().and_then(|stop| stop.word()).map(str::to_owned);
        let order = ToWorker::Answer { id: self.id, ask, fuel, stop };
        self.live.say_in_turn(&order, &encode(answer).unwrap_or_default(), Some(turn));
    }
}

/// What there is for a call that has met a limit.
fn refused(ask: &HostRequest) -> HostResponse {
    match ask {
        HostRequest::Store(_) => HostResponse::Store(Err(KeyvalueFault::Denied)),
        HostRequest::Sockets(_) => HostResponse::Sockets(Err(NoSocket::AccessDenied)),
        HostRequest::File(_) => HostResponse::File(Err(file::Code::Interrupted)),
        HostRequest::LetGo(_)
        | HostRequest::Send { .. }
        | HostRequest::Body { .. }
        | HostRequest::Next { .. }
        | HostRequest::Leave { .. } => HostResponse::Failed(EgressError::Refused),
    }
}

/// A request as it was when it left its guest, if it was one.
fn request(head: Head, body: Said) -> Result<Request<Said>, http::Error> {
    let mut parts = Parts::default();
    parts.scheme = head.scheme.map(|scheme| Scheme::try_from(scheme.as_str())).transpose()?;
    parts.authority = head.authority.map(Authority::try_from).transpose()?;
    parts.path_and_query = head.path.map(PathAndQuery::try_from).transpose()?;
    let mut request = Request::new(body);
    *request.method_mut() = Method::try_from(head.method.as_str())?;
    *request.uri_mut() = Uri::from_parts(parts)?;
    *request.headers_mut() = HeaderMap::try_from(head.fields)?;
    Ok(request)
}

/// Passes on a part of a request's body, when the one before was taken.
async fn leave(part: BodyPart, exchange: &Exchange) -> HostResponse {
    let (part, is_last) = match part {
        BodyPart::Data(data) => (Some(Ok(Frame::data(data.into()))), false),
        BodyPart::Trailers(fields) => match HeaderMap::try_from(fields) {
            Ok(trailers) => (Some(Ok(Frame::trailers(trailers))), false),
            Err(_) => (Some(Err(EgressError::Malformed)), true),
        },
        BodyPart::End => (None, true),
        BodyPart::Broken(failure) => (Some(Err(failure)), true),
    };
    let mut leaving = exchange.leaving.lock().await;
    let taken = match leaving.as_ref() {
        Some(tell) => tell.send(part).await.is_ok(),
        None => false,
    };
    if is_last || !taken {
        *leaving = None;
    }
    if taken { HostResponse::Taken } else { HostResponse::Failed(EgressError::Protocol) }
}

/// The next part of a response's body.
async fn next(exchange: &Exchange) -> BodyPart {
    let mut arriving = exchange.arriving.lock().await;
    let Some(body) = arriving.as_mut() else { return BodyPart::Broken(EgressError::Protocol) };
    let part = match body.frame().await {
        None => BodyPart::End,
        Some(Err(failure)) => BodyPart::Broken(failure),
        Some(Ok(frame)) => match frame.into_data() {
            Ok(data) => return BodyPart::Data(data.as_ref().into()),
            Err(frame) => return BodyPart::Trailers((&frame.into_trailers().unwrap_or_default()).into()),
        },
    };
    // Nothing comes after that. The connection is given back, or closed.
    *arriving = None;
    part
}

/// The body of a request, as a worker says it.
struct Said {
    parts: Option<Receiver<BodyFrame>>,
}

impl Body for Said {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let Some(parts) = &mut self.parts else { return Poll::Ready(None) };
        // One that was left before its end was said is broken, and not short.
        let part = std::task::ready!(parts.poll_recv(cx)).unwrap_or(Some(Err(EgressError::Protocol)));
        if !matches!(part, Some(Ok(_))) {
            self.parts = None;
        }
        Poll::Ready(part)
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_none()
    }
}
