//! Requests to `/mcp`: resources are reserved before a body is read; then it is read, checked and passed to the
//! library.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::Value;
use toolgate_base::interrupt::Interrupt;
use toolgate_base::json::Json;
use toolgate_policy::call::Transport;
use toolgate_policy::limits::wire::{BODY_MS, SPARE_NOTIFICATION_BYTES_MAX, SPARE_NOTIFICATION_MS};
use toolgate_policy::redact::printable;
use toolgate_runtime::call::request::{Arguments, Request as Call};
use toolgate_runtime::large::LargeMessage;
use toolgate_runtime::quota::Taken;
use toolgate_runtime::turns::Caller;

use super::accept::{self, AcceptedTypes};
use super::body::{Message, NO_ROOM, Received, Sent, announced, forget, receive};
use super::connections::{Connection, Phase};
use super::leased::Leased;
use super::replies::{Reply, come_back, come_back_to, malformed, plain};
use super::sender::{Sender, challenge};
use super::sessions::{self, InUse, Opened};
use super::{Body, HttpServer, mirrored};
use crate::mcp::{self, Conversation, Inbound, Splice};
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

const SESSION: &str = "mcp-session-id";

const VERSION: &str = "mcp-protocol-version";

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
            forget(body, &head.headers, usize::try_from(self.0.limits.body_bytes_max).unwrap_or(usize::MAX));
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
        if stands_twice(request.headers()).is_some() {
            return Err(plain(StatusCode::BAD_REQUEST, "a header that may stand once appears twice\n"));
        }
        let place = self.0.requests.take(held.peer(), 1);
        held.hold(place.map_err(|_| self.busy(Trouble::Requests, &held, None))?);
        let sender = self.sender(request.headers(), request.uri(), address, held.peer()).await?;
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
        if is_unknown && parts.headers.remove(SESSION).is_some() {
            // Also where it is another party's, of which the library must not know.
            return Err(plain(StatusCode::NOT_FOUND, "there is no such session\n"));
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
        let mut accepted = AcceptedTypes::of(&parts.headers);
        if !accepted.json && !accepted.stream {
            forget(body, &parts.headers, usize::try_from(self.0.limits.body_bytes_max).unwrap_or(usize::MAX));
            let why = "answers are application/json or text/event-stream; accept one of them\n";
            return Err(plain(StatusCode::NOT_ACCEPTABLE, why));
        }
        let Some(is_spare) = self.admit(&parts.headers, &held) else {
            let unread = Request::from_parts(parts, body);
            return Err(self.busy(Trouble::Requests, &held, Some(unread)));
        };
        held.enter(Phase::Answering);
        let sender = match self.sender(&parts.headers, &parts.uri, address, held.peer()).await {
            Ok(sender) => sender,
            Err(reply) => {
                let bytes_max = usize::try_from(self.0.limits.body_bytes_max).unwrap_or(usize::MAX);
                forget(body, &parts.headers, bytes_max);
                return Err(reply);
            }
        };
        let (caller, conversation) = self.caller(&sender, &parts.headers, &held);
        let read = self.read(&parts.headers, body, is_spare, (&sender, &caller), &held).await;
        let (envelope, arguments) = match read {
            Ok(read) => read,
            Err(reply) => return Err(accept::in_form(reply, accepted, &Value::Null).await),
        };
        let begins = envelope.is_request && envelope.method.as_deref() == Some("initialize");
        if conversation.is_none() && parts.headers.remove(SESSION).is_some() && !begins {
            // Also where it is another party's, of which the library must not know.
            let why = "there is no such session; begin one with initialize";
            let refused = Malformed::invalid(why, envelope.id).with_status(StatusCode::NOT_FOUND);
            return Err(malformed(&refused));
        }
        let (arguments, stepped) = self.step_up(&sender, &envelope, arguments).await;
        if let Some(reply) = stepped {
            return Err(reply);
        }
        let is_stream = envelope.method.as_deref() == Some("subscriptions/listen");
        if is_stream {
            if !accepted.stream {
                let why = "subscriptions/listen is answered by text/event-stream; accept that";
                let refused = Malformed::invalid(why, envelope.id).with_status(StatusCode::NOT_ACCEPTABLE);
                return Err(malformed(&refused));
            }
            let stream = self.0.streams.take(held.peer(), 1);
            let stream = stream.map_err(|_| self.busy_with(Trouble::Streams, &held, &envelope.id))?;
            // A stream is not counted as a request.
            held.hold(stream);
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

    /// Answers a call that lacks scopes which its client can get, after it was denied and recorded like any other. Gives
    /// the arguments back otherwise.
    async fn step_up(
        &self,
        sender: &Sender,
        envelope: &Envelope,
        arguments: Option<Arguments>,
    ) -> (Option<Arguments>, Option<Reply>) {
        let gate = &self.0.handler.gate;
        let needed = envelope.tool.as_deref().filter(|_| envelope.is_request);
        let needed = needed.and_then(|tool| Some((tool, sender.lacks(gate, tool)?)));
        let answer = needed.and_then(|(tool, needed)| Some((tool, self.0.auth.as_ref()?.step_up(&needed)?)));
        let Some((tool, answer)) = answer else { return (arguments, None) };
        let arguments = arguments.unwrap_or_else(|| Json::Null.into());
        let mut call = Call::new(sender.principal.clone(), tool, arguments, Interrupt::default());
        (call.transport, call.source) = (Transport::Http, Some(sender.address));
        drop(gate.call(call).await);
        (None, Some(challenge(answer)))
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

    /// Checks a message against its headers, and the form of a handshake.
    fn check(&self, headers: &HeaderMap, envelope: &Envelope, sender: &Sender) -> Result<(), Malformed> {
        if let Some(name) = stands_twice(headers) {
            return Err(Malformed::header(format!("the header {name} appears twice"), envelope.id.clone()));
        }
        // The protocol library accepts older revisions as well.
        if let (Some(version), true) = (headers.get(VERSION), headers.contains_key(SESSION))
            && !mcp::is_served(version)
        {
            let shown = printable(&String::from_utf8_lossy(version.as_bytes()), 40);
            let why = format!("the revision `{shown}` in MCP-Protocol-Version is not served");
            return Err(Malformed::invalid(why, envelope.id.clone()));
        }
        if envelope.is_request && envelope.method.as_deref() == Some("initialize") {
            mcp::message(&envelope.rest).map_err(|error| envelope.refused(&error))?;
        }
        if let (Some(name), Some(Ok(arguments))) = (&envelope.tool, &envelope.arguments)
            && headers.get(VERSION).is_some_and(mcp::repeats_arguments)
            && let Some(tool) = sender.tool(&self.0.handler.gate, name)
        {
            let checked = mirrored::check(headers, &tool.listing.headers, arguments);
            checked.map_err(|why| Malformed::header(why, envelope.id.clone()))?;
        }
        Ok(())
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

fn busy_text(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Connections => "the server has as many connections as it may; try again later\n",
        Trouble::Streams => "the server has as many streams as it may; try again later\n",
        Trouble::Sessions => "the server has as many sessions in use as it may; try again later\n",
        Trouble::Messages => NO_ROOM,
        _ => "the server answers as many requests as it may; try again later\n",
    }
}

/// Headers that must not be repeated, since readers could use different ones.
const SINGLE: [&str; 5] = ["content-type", "mcp-method", "mcp-name", VERSION, SESSION];

/// The first header that is repeated and must not be.
fn stands_twice(headers: &HeaderMap) -> Option<&'static str> {
    SINGLE.into_iter().find(|name| headers.get_all(*name).iter().nth(1).is_some())
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
