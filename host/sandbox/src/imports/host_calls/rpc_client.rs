//! A worker's end: says what a guest wants, and hands on what is answered. Nothing is granted, counted or reached here.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use toolgate_policy::limits::size;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::task::AbortOnDropHandle;
use toolgate_base::meter::{Meter, StopError};
use toolgate_net::egress::{EgressError, ResponseBody, Timeouts};
use toolgate_policy::limits::call::{FILES_THREADS, SOCKETS_OPENING_MAX, STREAM_BYTES_MAX};

use super::protocol::{BodyPart, HostRequest, HostResponse, RequestHead, ResponseHead, decode, encode};
use crate::imports::files::request as file;
use crate::imports::keyvalue::request::{KeyvalueFault, KeyvalueRequest, KeyvalueResponse};

/// Says something that a call wants, by its number.
pub(crate) type SendFn = Box<dyn Fn(u64, &[u8]) + Send + Sync>;

/// One call's way over the pipe.
pub(crate) struct RpcClient {
    tell: SendFn,
    pub(crate) meter: Meter,
    /// Turns to open sockets and to look names up.
    pub(crate) opening: Arc<Semaphore>,
    state: Mutex<State>,
    /// For what is asked of the granted folders: no more at once than are heard.
    files: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    /// The call has ended: it wants nothing more.
    ended: bool,
    last: u64,
    waiting: HashMap<u64, Waiting>,
    /// Exchanges that were begun and not left.
    open: HashSet<u64>,
}

/// Who waits for an answer, and the turn that is over when it comes, whether or not anybody still waits.
struct Waiting {
    tell: oneshot::Sender<HostResponse>,
    turn: Option<OwnedSemaphorePermit>,
}

impl RpcClient {
    pub(crate) fn new(tell: SendFn, meter: Meter) -> Self {
        let opening = Arc::new(Semaphore::new(SOCKETS_OPENING_MAX));
        let files = Arc::new(Semaphore::new(FILES_THREADS));
        Self { tell, meter, opening, files, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says it, under the lock: nothing is said of a call that has ended, nor of an exchange that was left.
    fn say(&self, state: &mut State, ask: &HostRequest) -> Option<u64> {
        if state.ended || ask.exchange().is_some_and(|exchange| !state.open.contains(&exchange)) {
            return None;
        }
        let bytes = encode(ask)?;
        if bytes.len() as u64 > ask.bytes_max() {
            return None;
        }
        state.last += 1;
        (self.tell)(state.last, &bytes);
        Some(state.last)
    }

    /// Asks for something. Its number, and where the answer comes; nothing if it cannot be asked for.
    fn ask(&self, ask: &HostRequest) -> Option<(u64, oneshot::Receiver<HostResponse>)> {
        self.ask_in_turn(ask, None)
    }

    /// The same, in a turn that lasts until the answer comes.
    pub(crate) fn ask_in_turn(
        &self,
        ask: &HostRequest,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Option<(u64, oneshot::Receiver<HostResponse>)> {
        let (tell, told) = oneshot::channel();
        let mut state = self.state();
        let number = self.say(&mut state, ask)?;
        if matches!(ask, HostRequest::Send { .. }) {
            state.open.insert(number);
        }
        state.waiting.insert(number, Waiting { tell, turn });
        Some((number, told))
    }

    /// Says something that is not answered.
    pub(crate) fn say_only(&self, ask: &HostRequest) {
        self.say(&mut self.state(), ask);
    }

    /// The answer to an ask, what that cost in fuel, and what the call ends by.
    pub(crate) fn answered(&self, ask: u64, fuel: u64, stop: Option<StopError>, answer: &[u8]) {
        self.meter.charge(fuel);
        if let Some(stop) = stop {
            self.meter.stop(stop);
        }
        let waiting = self.state().waiting.remove(&ask);
        if let Some((Waiting { tell, turn }, answer)) = waiting.zip(decode(answer)) {
            // First, so that who waits can go on at once.
            drop(turn);
            // It may not be wanted any more.
            drop(tell.send(answer));
        }
    }

    /// The call has ended. From now on nothing is said of it here.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.waiting.clear();
    }

    /// Uses the store that is over there.
    pub(super) async fn act(&self, act: KeyvalueRequest) -> Result<KeyvalueResponse, KeyvalueFault> {
        let closed = || KeyvalueFault::Other("the store is closed".to_owned());
        let (_, answer) = self.ask(&HostRequest::Store(act)).ok_or_else(closed)?;
        match answer.await {
            Ok(HostResponse::Store(came)) => came,
            Ok(_) | Err(_) => Err(closed()),
        }
    }

    /// Uses the granted folders that are over there.
    pub(super) async fn file(&self, act: file::FileRequest) -> Result<file::FileResponse, file::Code> {
        let stopped = || file::Code::Interrupted;
        let turn = Arc::clone(&self.files).acquire_owned().await.map_err(|_| stopped())?;
        let (_, answer) = self.ask_in_turn(&HostRequest::File(act), Some(turn)).ok_or_else(stopped)?;
        match answer.await {
            Ok(HostResponse::File(came)) => came,
            Ok(_) | Err(_) => Err(stopped()),
        }
    }

    /// Lets go of what is open over there.
    pub(super) fn let_go(&self, number: u32) {
        self.say(&mut self.state(), &HostRequest::LetGo(number));
    }

    /// Has a request sent from over there.
    pub(super) async fn send<B>(
        self: Arc<Self>,
        request: Request<B>,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, EgressError>
    where
        B: Body<Data = Bytes, Error: Into<EgressError>> + Send + Unpin + 'static,
    {
        // The same count is kept over there; here it ends an honest guest at once.
        self.meter.http_request().map_err(|_| EgressError::Refused)?;
        let (parts, body) = request.into_parts();
        let head = RequestHead {
            method: parts.method.as_str().to_owned(),
            scheme: parts.uri.scheme_str().map(str::to_owned),
            authority: parts.uri.authority().map(|authority| authority.as_str().to_owned()),
            path: parts.uri.path_and_query().map(|path| path.as_str().to_owned()),
            fields: (&parts.headers).into(),
            connect: timeouts.connect,
            first_byte: timeouts.first_byte,
        };
        let empty = body.is_end_stream();
        let (number, answer) = self.ask(&HostRequest::Send { head, empty }).ok_or(EgressError::Size)?;
        let leaving = (!empty).then(|| {
            AbortOnDropHandle::new(tokio::spawn(pump_request_body(Arc::clone(&self), number, body)))
        });
        let exchange = Exchange { afar: self, number, _leaving: leaving };
        match answer.await {
            Ok(HostResponse::Head(ResponseHead { status, fields })) => {
                let body = RemoteBody { exchange, next: None, over: false };
                let mut response = Response::new(body.boxed_unsync());
                *response.status_mut() = StatusCode::from_u16(status).map_err(|_| EgressError::Protocol)?;
                *response.headers_mut() = HeaderMap::try_from(fields).map_err(|_| EgressError::Protocol)?;
                Ok(response)
            }
            Ok(HostResponse::Failed(failure)) => Err(failure),
            Ok(_) | Err(_) => Err(EgressError::Protocol),
        }
    }
}

/// Says the parts of a request's body, each when the one before was taken.
async fn pump_request_body<B>(afar: Arc<RpcClient>, exchange: u64, mut body: B)
where
    B: Body<Data = Bytes, Error: Into<EgressError>> + Unpin,
{
    loop {
        let (parts, is_last) = match body.frame().await {
            None => (vec![BodyPart::End], true),
            Some(Err(error)) => (vec![BodyPart::Broken(error.into())], true),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let chunks = data.chunks(size(STREAM_BYTES_MAX));
                    (chunks.map(|chunk| BodyPart::Data(chunk.into())).collect(), false)
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    (vec![BodyPart::Trailers((&trailers).into())], false)
                }
            },
        };
        for part in parts {
            let trailers = matches!(part, BodyPart::Trailers(_));
            let taken = match afar.ask(&HostRequest::Body { exchange, part }) {
                Some((_, taken)) => taken,
                // No trailers are sent, and these are too long to be said: the request ends all the same.
                None if trailers => {
                    let part = BodyPart::Broken(EgressError::RequestTrailers);
                    match afar.ask(&HostRequest::Body { exchange, part }) {
                        Some((_, taken)) => taken,
                        None => return,
                    }
                }
                None => return,
            };
            if !matches!(taken.await, Ok(HostResponse::Taken)) {
                return;
            }
        }
        if is_last {
            return;
        }
    }
}

/// An exchange that is under way. Dropped it is left.
struct Exchange {
    afar: Arc<RpcClient>,
    number: u64,
    _leaving: Option<AbortOnDropHandle<()>>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.afar.state();
        self.afar.say(&mut state, &HostRequest::Leave { exchange: self.number });
        state.open.remove(&self.number);
    }
}

/// The body of a response.
struct RemoteBody {
    exchange: Exchange,
    next: Option<oneshot::Receiver<HostResponse>>,
    over: bool,
}

impl Body for RemoteBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        if this.next.is_none() {
            let ask = HostRequest::Next { exchange: this.exchange.number };
            this.next = this.exchange.afar.ask(&ask).map(|(_, answer)| answer);
        }
        let answer = match &mut this.next {
            Some(next) => std::task::ready!(Pin::new(next).poll(cx)).ok(),
            None => None,
        };
        this.next = None;
        let frame = match answer {
            Some(HostResponse::Part(BodyPart::Data(data))) => Ok(Frame::data(data.into())),
            Some(HostResponse::Part(BodyPart::Trailers(fields))) => {
                HeaderMap::try_from(fields).map(Frame::trailers).map_err(|_| EgressError::Protocol)
            }
            Some(HostResponse::Part(BodyPart::End)) => {
                this.over = true;
                return Poll::Ready(None);
            }
            Some(HostResponse::Part(BodyPart::Broken(failure)) | HostResponse::Failed(failure)) => {
                Err(failure)
            }
            Some(
                HostResponse::Head(_)
                | HostResponse::Taken
                | HostResponse::Store(_)
                | HostResponse::File(_)
                | HostResponse::Sockets(_),
            )
            | None => Err(EgressError::Protocol),
        };
        this.over = frame.is_err();
        Poll::Ready(Some(frame))
    }
}
