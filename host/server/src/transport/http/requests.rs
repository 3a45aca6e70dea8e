//! Requests to `/mcp`: resources are reserved before a body is read; then it is read, checked and passed to the
//! library.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::Value;
use toolgate_policy::limits::wire::{BODY_MS, SPARE_NOTIFICATION_BYTES_MAX, SPARE_NOTIFICATION_MS};
use toolgate_runtime::call::request::Arguments;
use toolgate_runtime::large::LargeMessage;
use toolgate_runtime::quota::Taken;
use toolgate_runtime::turns::Caller;

use super::accept::{self, AcceptedTypes};
use super::body::{Message, NO_ROOM, Received, Sent, announced, forget, receive};
use super::checks::{SESSION, stands_twice};
use super::connections::{Connection, Phase};
use super::leased::Leased;
use super::replies::{Reply, come_back, come_back_to, malformed, plain};
use super::sender::Sender;
use super::sessions::{self, InUse, Opened};
use super::{Body, HttpServer};
use crate::mcp::{Conversation, Inbound, Splice};
use crate::notices::Trouble;
use crate::transport::envelope::{Envelope, Malformed};

/// Resources of a request until its answer is written. Clones share them.
#[derive(Clone)]
pub(super) struct RequestResources {
    answering: Arc<Answering>,
    places: Arc<Mutex<Places>>,
}

/// A request of a connection. On drop it has ended.
struct Answering {
    connection: Arc<Connection>,
    peer: Arc<str>,
    phase: Mutex<Phase>,
}

/// Places of a request: among requests or streams, and in its session. Released when it is answered, even if its client
/// is gone.
#[derive(Default)]
struct Places {
    _place: Option<Taken>,
    _in_use: Option<InUse>,
}

impl RequestResources {
    /// Resources of a new request of this peer: at first only its connection.
    pub(super) fn of(connection: &Arc<Connection>, peer: Arc<str>) -> Self {
        connection.begin();
        let phase = Mutex::new(Phase::Waiting);
        let answering = Answering { connection: Arc::clone(connection), peer, phase };
        Self { answering: Arc::new(answering), places: Arc::default() }
    }

    /// Peer that the request comes from: behind a trusted proxy not the connection's.
    pub(super) fn peer(&self) -> &Arc<str> {
        &self.answering.peer
    }

    fn enter(&self, phase: Phase) {
        self.answering.enter(phase);
    }

    /// Replaces the held place by this one.
    fn hold(&self, place: Taken) {
        self.places()._place = Some(place);
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answering {
    fn enter(&self, phase: Phase) {
        let mut now = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        self.connection.change(*now, phase);
        *now = phase;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.enter(Phase::Waiting);
    }
}

impl HttpServer {
    /// Caller of a request by this sender, and its session. A session of another party is none.
    fn caller(
        &self,
        sender: &Sender,
        headers: &HeaderMap,
        held: &RequestResources,
    ) -> (Caller, Option<Arc<Conversation>>) {
        let session = headers.get(SESSION).and_then(|id| id.to_str().ok());
        let in_use = session.and_then(|id| self.0.sessions.enter(id, &sender.principal));
        let number = in_use.as_ref().map_or(held.answering.connection.id, |in_use| in_use.session.number);
        let conversation = in_use.as_ref().map(|in_use| Arc::clone(&in_use.session.conversation));
        held.places()._in_use = in_use;
        let tenant = sender.principal.tenant().clone();
        (Caller::new(tenant, Arc::clone(&sender.peer), number), conversation)
    }

    /// Asks the client to retry later, and logs that.
    pub(super) fn busy(
        &self,
        trouble: Trouble,
        held: &RequestResources,
        unread: Option<Request<Incoming>>,
    ) -> Reply {
        self.0.notices.tell(trouble, held.peer());
        if let Some((head, body)) = unread.map(Request::into_parts) {
            self.leave_unread(body, &head.headers);
        }
        come_back(busy_text(trouble))
    }

    /// The same for a message that was read.
    fn busy_with(&self, trouble: Trouble, held: &RequestResources, id: &Value) -> Reply {
        self.0.notices.tell(trouble, held.peer());
        come_back_to(id, busy_text(trouble))
    }

    /// Handles a GET or DELETE: a stream of a session, or its end.
    pub(super) async fn other(
        &self,
        request: Request<Incoming>,
        address: IpAddr,
        held: RequestResources,
    ) -> Result<Response<Sent<RequestResources>>, Reply> {
        let place = self.0.requests.take(held.peer(), 1);
        held.hold(place.map_err(|_| self.busy(Trouble::Requests, &held, None))?);
        let sender = self.sender(request.headers(), request.uri(), address, held.peer()).await?;
        if stands_twice(request.headers()).is_some() {
            return Err(plain(StatusCode::BAD_REQUEST, "a header that may stand once appears twice\n"));
        }
        let (caller, conversation) = self.caller(&sender, request.headers(), &held);
        let is_stream = request.method() == Method::GET;
        if is_stream {
            if !AcceptedTypes::of(request.headers()).stream {
                let why = "a stream is text/event-stream; accept that\n";
                return Err(plain(StatusCode::NOT_ACCEPTABLE, why));
            }
            let stream = self.0.streams.take(held.peer(), 1);
            held.hold(stream.map_err(|_| self.busy(Trouble::Streams, &held, None))?);
        }
        let is_unknown = conversation.is_none();
        let (mut parts, body) = request.into_parts();
        parts.headers.remove(AUTHORIZATION);
        if is_unknown {
            conceal_session(&mut parts.headers, false);
        }
        let lease = sender.lease.clone();
        let mut inbound = Inbound::new(sender.principal, caller, conversation);
        inbound.source = Some(address);
        inbound.lease = sender.lease;
        let ends_session = parts.method == Method::DELETE;
        parts.extensions.insert(inbound);
        parts.headers.insert(ACCEPT, accept::BOTH);
        held.enter(Phase::Answering);
        let mut reply = self.0.mcp.handle(Request::from_parts(parts, body)).await;
        // The library answers 202 for a completed or ineffective deletion, which official clients take for a failure.
        if ends_session && reply.status() == StatusCode::ACCEPTED {
            if is_unknown {
                return Err(plain(StatusCode::NOT_FOUND, "there is no such session\n"));
            }
            *reply.status_mut() = StatusCode::NO_CONTENT;
        }
        if is_stream && reply.status() == StatusCode::OK {
            held.enter(Phase::Streaming);
        }
        let lease = lease.filter(|_| is_stream);
        Ok(reply.map(|body| Sent::new(Leased::new(body, lease).boxed(), held)))
    }

    /// Handles a POST with a message.
    pub(super) async fn post(
        &self,
        request: Request<Incoming>,
        address: IpAddr,
        held: RequestResources,
    ) -> Result<Response<Sent<RequestResources>>, Reply> {
        let (mut parts, body) = request.into_parts();
        let Some(is_spare) = self.admit(&parts.headers, &held) else {
            let unread = Request::from_parts(parts, body);
            return Err(self.busy(Trouble::Requests, &held, Some(unread)));
        };
        held.enter(Phase::Answering);
        let mut accepted = AcceptedTypes::of(&parts.headers);
        let sender = self.sender(&parts.headers, &parts.uri, address, held.peer()).await;
        let refusal = accepted.refusal();
        let sender = match (sender, refusal) {
            (Ok(sender), None) => sender,
            (Err(reply), _) | (Ok(_), Some(reply)) => {
                self.leave_unread(body, &parts.headers);
                return Err(reply);
            }
        };
        // Nobody after this needs it, and a log might show it.
        parts.headers.remove(AUTHORIZATION);
        let (caller, conversation) = self.caller(&sender, &parts.headers, &held);
        let read = self.read(&parts.headers, body, is_spare, (&sender, &caller), &held).await;
        let (envelope, arguments) = match read {
            Ok(read) => read,
            Err(reply) => return Err(accept::in_form(reply, accepted, &Value::Null).await),
        };
        let begins = envelope.is_request && envelope.method.as_deref() == Some("initialize");
        if conversation.is_none() {
            conceal_session(&mut parts.headers, begins);
        }
        let arguments = match self.step_up(&sender, &envelope, arguments).await {
            (_, Some(reply)) => return Err(reply),
            (arguments, None) => arguments,
        };
        let is_stream = envelope.method.as_deref() == Some("subscriptions/listen");
        if is_stream {
            if let Some(reply) = self.hold_stream(accepted, &envelope, &held) {
                return Err(reply);
            }
            accepted = accepted.for_stream();
        }
        let splice = Splice::new();
        let mut inbound = Inbound::new(sender.principal.clone(), caller, conversation);
        inbound.source = Some(address);
        inbound.lease = sender.lease;
        inbound.arguments = Arc::new(Mutex::new(arguments));
        inbound.splice = Some(splice.clone());
        // Held for as long as the request is processed, even if its client is gone.
        inbound.resources = Some(Arc::clone(&held.places) as Arc<dyn Send + Sync>);
        parts.extensions.insert(inbound);
        parts.headers.insert(ACCEPT, accept::BOTH);
        let handing_over = self.0.mcp.handle(Request::from_parts(parts, Full::new(envelope.rest.clone())));
        let (reply, opened) = sessions::opening(&sender.peer, &sender.principal, handing_over).await;
        match opened {
            None | Some(Opened::HadRoom) => {}
            Some(Opened::MadeRoom) => self.0.notices.tell(Trouble::SessionMadeRoom, held.peer()),
            Some(Opened::Refused) => return Err(self.busy_with(Trouble::Sessions, &held, &envelope.id)),
        }
        if is_stream && reply.status() == StatusCode::OK {
            held.enter(Phase::Streaming);
        }
        let reply = accept::in_form(named(reply, &envelope).await, accepted, &envelope.id).await;
        let (head, body) = reply.into_parts();
        Ok(Response::from_parts(head, Sent::spliced(body, splice, held).await))
    }

    /// Takes a place for a stream of changes, which is not counted as a request. Returns the answer if there is none.
    fn hold_stream(
        &self,
        accepted: AcceptedTypes,
        envelope: &Envelope,
        held: &RequestResources,
    ) -> Option<Reply> {
        if !accepted.stream {
            let why = "subscriptions/listen is answered by text/event-stream; accept that";
            let refused =
                Malformed::invalid(why, envelope.id.clone()).with_status(StatusCode::NOT_ACCEPTABLE);
            return Some(malformed(&refused));
        }
        match self.0.streams.take(held.peer(), 1) {
            Ok(stream) => {
                held.hold(stream);
                None
            }
            Err(_) => Some(self.busy_with(Trouble::Streams, held, &envelope.id)),
        }
    }

    /// Discards the body of a refused request.
    fn leave_unread(&self, body: Incoming, headers: &HeaderMap) {
        forget(body, headers, usize::try_from(self.0.limits.body_bytes_max).unwrap_or(usize::MAX));
    }

    /// Takes a place for a request, if one is free. Returns whether it is one for notifications only.
    fn admit(&self, headers: &HeaderMap, held: &RequestResources) -> Option<bool> {
        if let Ok(place) = self.0.requests.take(held.peer(), 1) {
            held.hold(place);
            return Some(false);
        }
        // Whether it is a notification is known only after reading.
        let bytes_max = self.0.limits.body_bytes_max.min(SPARE_NOTIFICATION_BYTES_MAX);
        let is_short = announced(headers).is_some_and(|length| length <= bytes_max);
        let place = is_short.then(|| self.0.spare_notifications.take(held.peer(), 1).ok()).flatten();
        held.hold(place?);
        Some(true)
    }

    /// Receives and parses a message; a large one on the threads for large messages.
    async fn read(
        &self,
        headers: &HeaderMap,
        body: Incoming,
        is_spare: bool,
        (sender, caller): (&Sender, &Caller),
        held: &RequestResources,
    ) -> Result<(Envelope, Option<Arguments>), Reply> {
        held.enter(Phase::Receiving);
        let mut bytes_max = self.0.limits.body_bytes_max;
        let mut patience = Duration::from_millis(BODY_MS);
        if is_spare {
            bytes_max = bytes_max.min(SPARE_NOTIFICATION_BYTES_MAX);
            patience = Duration::from_millis(SPARE_NOTIFICATION_MS);
        }
        let large = self.0.handler.gate.large();
        let received = receive(body, headers, bytes_max, patience, large, caller).await;
        held.enter(Phase::Answering);
        let (mut envelope, held_bytes, admitted) =
            match received.map_err(|(status, text)| plain(status, text))? {
                Received::Whole(message) => self.envelope(message, caller).await?,
                Received::TooLarge(skim) => {
                    let envelope = Envelope::too_large(&skim, bytes_max);
                    let refused = |error: Malformed| error.with_status(StatusCode::PAYLOAD_TOO_LARGE);
                    (envelope.map_err(|error| malformed(&refused(error)))?, 0, None)
                }
                Received::NoRoom(skim) => return Err(self.busy_with(Trouble::Messages, held, &skim.id())),
            };
        if is_spare && envelope.is_request {
            return Err(self.busy_with(Trouble::Requests, held, &envelope.id));
        }
        let checked = self.check(headers, &envelope, sender);
        // Large arguments are dropped on the thread that read them, even if refused.
        let arguments = envelope.take_arguments(held_bytes, admitted);
        checked.map_err(|error| malformed(&error))?;
        let arguments = arguments.map_err(|_| self.busy_with(Trouble::Messages, held, &envelope.id))?;
        Ok((envelope, arguments))
    }

    /// Parses a message. Returns also the memory of its arguments and the reservation for it.
    async fn envelope(
        &self,
        message: Message,
        caller: &Caller,
    ) -> Result<(Envelope, usize, Option<LargeMessage>), Reply> {
        let Message { bytes, admitted } = message;
        let bytes_max = self.0.limits.body_bytes_max;
        let Some(admitted) = admitted else {
            let envelope = Envelope::read(&bytes, bytes_max).map_err(|error| malformed(&error))?;
            return Ok((envelope, 0, None));
        };
        let work = move || Envelope::read_weighed(&bytes, bytes_max);
        let read = admitted.large().run(caller, work).await;
        let read = read.map_err(|error| {
            tracing::error!(%error, "a message could not be read");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the server failed; its log says why\n")
        })?;
        let (envelope, held_bytes) = read.map_err(|error| malformed(&error))?;
        Ok((envelope, held_bytes, Some(admitted)))
    }
}

/// Replaces the id of a session that is not there for this party by one that nobody has, so that the library does not find
/// another party's. A client that begins a session has none.
fn conceal_session(headers: &mut HeaderMap, begins: bool) {
    if headers.remove(SESSION).is_some() && !begins {
        headers.insert(SESSION, HeaderValue::from_static("none"));
    }
}

fn busy_text(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Connections => "the server has as many connections as it may; try again later\n",
        Trouble::Streams => "the server has as many streams as it may; try again later\n",
        Trouble::Sessions => "the server has as many sessions in use as it may; try again later\n",
        Trouble::Messages => NO_ROOM,
        _ => "the server answers as many requests as it may; try again later\n",
    }
}

/// Completes the library's refusal of a request: with the name of an unknown method, and with the request's id where
/// the library gives text only.
async fn named(reply: Response<Body>, envelope: &Envelope) -> Response<Body> {
    let status = reply.status();
    let kind = reply.headers().get(CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind == "application/json");
    match &envelope.method {
        Some(method) if is_json && status == StatusCode::NOT_FOUND => {
            malformed(&Malformed::not_found(method, envelope.id.clone()))
        }
        Some(_) if envelope.is_request && kind.is_none() && status.is_client_error() => {
            let Ok(text) = reply.into_body().collect().await;
            let text = String::from_utf8_lossy(&text.to_bytes()).into_owned();
            let why = text.strip_prefix("Bad Request: ").unwrap_or(&text);
            malformed(&Malformed::invalid(why, envelope.id.clone()).with_status(status))
        }
        _ => reply,
    }
}
