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
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, channel};
use toolgate_policy::limits::call::CallLimit;

use super::Live;
use super::asked::{Asked, Exchange, Leaving, Wanted};
use super::message::Order;
use crate::egress::{Failure, Timeouts};
use crate::imports::files::act as file;
use crate::imports::keyvalue::act::Refused;
use crate::imports::outside::Here;
use crate::imports::outside::words::{Answer, Answered, Ask, Asked as Head, Part, spoken};
use crate::imports::sockets::Gate;
use crate::imports::sockets::act::{Act, Lane, Refused as NoSocket, Use};
use crate::imports::sockets::held::Held;
use crate::meter::Stop;

/// One call's service. What is under way ends with it.
pub(super) struct Serving<'a> {
    live: &'a Live,
    id: u64,
    here: Here,
    sockets: Gate,
    /// How much of the meter's debt the worker was told.
    told: AtomicU64,
}

impl<'a> Serving<'a> {
    pub(super) fn new(live: &'a Live, id: u64, here: Here) -> Self {
        let sockets = Gate::new(&here.powers, &here.meter, &here.notes);
        Self { live, id, here, sockets, told: AtomicU64::new(0) }
    }

    /// Serves while `until` is waited for, many things at once.
    pub(super) async fn until<T>(
        &self,
        until: impl Future<Output = T>,
        mut wanted: UnboundedReceiver<Wanted>,
    ) -> T {
        tokio::pin!(until);
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                ended = &mut until => {
                    // What was said to a socket before the call ended leaves, as far as it can at once.
                    while let Ok(wanted) = wanted.try_recv() {
                        if let Wanted::Asked(asked) = wanted && matches!(asked.ask, Ask::Sockets(_)) {
                            under_way.push(self.serve(asked));
                        }
                    }
                    while under_way.next().now_or_never().flatten().is_some() {}
                    return ended;
                }
                Some(wanted) = wanted.recv() => match wanted {
                    Wanted::Asked(asked) => under_way.push(self.serve(asked)),
                    Wanted::LetGo(thing) => drop(thing),
                },
                Some(()) = under_way.next() => {}
            }
        }
    }

    async fn serve(&self, asked: Asked) {
        let Asked { number, ask, exchange, held, turn } = asked;
        if let Ask::Sockets(act) = ask {
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
    fn crossed(&self, entering: bool) -> Result<(), Stop> {
        let meter = &self.here.meter;
        meter.crossed(entering, meter.limit(CallLimit::Fuel))
    }

    async fn act(&self, ask: Ask) -> Answer {
        match ask {
            Ask::Store(act) => Answer::Store(self.here.act(act).await),
            Ask::File(act) => Answer::File(self.file(act).await),
            Ask::LetGo(_)
            | Ask::Send { .. }
            | Ask::Body { .. }
            | Ask::Next { .. }
            | Ask::Leave { .. }
            | Ask::Sockets(_) => refused(&ask),
        }
    }

    async fn file(&self, act: file::Act) -> Result<file::Came, file::Code> {
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
    async fn plug(&self, act: Act, held: Option<&Held>) -> Option<Answer> {
        let lane = match &act {
            Act::Of(_, wanted) => wanted.lane(),
            Act::LookUp(_) | Act::Open(_) => Lane::Beside,
        };
        if let (Act::Of(_, Use::Close), Some(held)) = (&act, held) {
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
        (lane != Lane::End).then_some(Answer::Sockets(came))
    }

    async fn exchange(&self, ask: Ask, exchange: &Exchange) -> Answer {
        match ask {
            Ask::Send { head, empty } => {
                self.send(head, empty, exchange).await.map_or_else(Answer::Failed, Answer::Head)
            }
            Ask::Body { exchange: _, part } => leave(part, exchange).await,
            Ask::Next { .. } => Answer::Part(next(exchange).await),
            Ask::Leave { .. } | Ask::Store(_) | Ask::File(_) | Ask::LetGo(_) | Ask::Sockets(_) => {
                refused(&ask)
            }
        }
    }

    async fn send(&self, head: Head, empty: bool, exchange: &Exchange) -> Result<Answered, Failure> {
        let timeouts = Timeouts { connect: head.connect, first_byte: head.first_byte };
        let (tell, told) = channel(1);
        let body = Said { parts: (!empty).then_some(told) };
        if !empty {
            *exchange.leaving.lock().await = Some(tell);
        }
        let request = request(head, body).map_err(|_| Failure::Malformed)?;
        let (head, body) = self.here.clone().send(request, timeouts).await?.into_parts();
        *exchange.arriving.lock().await = Some(body);
        Ok(Answered { status: head.status.as_u16(), fields: (&head.headers).into() })
    }

    /// Says what came of it, what it cost, and whether the call has met a limit. Its turn is over when that is being said.
    fn answer(&self, ask: u64, answer: &Answer, turn: OwnedSemaphorePermit) {
        let meter = &self.here.meter;
        let debt = meter.debt();
        let fuel = debt.saturating_sub(self.told.swap(debt, Ordering::Relaxed));
        // The deadline among them: what was cut off here by the time is no failure that a guest should hear of.
        let stop = self.crossed(false).err().and_then(|stop| stop.word()).map(str::to_owned);
        let order = Order::Answer { id: self.id, ask, fuel, stop };
        self.live.say_in_turn(&order, &spoken(answer).unwrap_or_default(), Some(turn));
    }
}

/// What there is for a call that has met a limit.
fn refused(ask: &Ask) -> Answer {
    match ask {
        Ask::Store(_) => Answer::Store(Err(Refused::Denied)),
        Ask::Sockets(_) => Answer::Sockets(Err(NoSocket::AccessDenied)),
        Ask::File(_) => Answer::File(Err(file::Code::Interrupted)),
        Ask::LetGo(_) | Ask::Send { .. } | Ask::Body { .. } | Ask::Next { .. } | Ask::Leave { .. } => {
            Answer::Failed(Failure::Refused)
        }
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
async fn leave(part: Part, exchange: &Exchange) -> Answer {
    let (part, is_last) = match part {
        Part::Data(data) => (Some(Ok(Frame::data(data.into()))), false),
        Part::Trailers(fields) => match HeaderMap::try_from(fields) {
            Ok(trailers) => (Some(Ok(Frame::trailers(trailers))), false),
            Err(_) => (Some(Err(Failure::Malformed)), true),
        },
        Part::End => (None, true),
        Part::Broken(failure) => (Some(Err(failure)), true),
    };
    let mut leaving = exchange.leaving.lock().await;
    let taken = match leaving.as_ref() {
        Some(tell) => tell.send(part).await.is_ok(),
        None => false,
    };
    if is_last || !taken {
        *leaving = None;
    }
    if taken { Answer::Taken } else { Answer::Failed(Failure::Protocol) }
}

/// The next part of a response's body.
async fn next(exchange: &Exchange) -> Part {
    let mut arriving = exchange.arriving.lock().await;
    let Some(body) = arriving.as_mut() else { return Part::Broken(Failure::Protocol) };
    let part = match body.frame().await {
        None => Part::End,
        Some(Err(failure)) => Part::Broken(failure),
        Some(Ok(frame)) => match frame.into_data() {
            Ok(data) => return Part::Data(data.as_ref().into()),
            Err(frame) => return Part::Trailers((&frame.into_trailers().unwrap_or_default()).into()),
        },
    };
    // Nothing comes after that. The connection is given back, or closed.
    *arriving = None;
    part
}

/// The body of a request, as a worker says it.
struct Said {
    parts: Option<Receiver<Leaving>>,
}

impl Body for Said {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let Some(parts) = &mut self.parts else { return Poll::Ready(None) };
        // One that was left before its end was said is broken, and not short.
        let part = std::task::ready!(parts.poll_recv(cx)).unwrap_or(Some(Err(Failure::Protocol)));
        if !matches!(part, Some(Ok(_))) {
            self.parts = None;
        }
        Poll::Ready(part)
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_none()
    }
}
