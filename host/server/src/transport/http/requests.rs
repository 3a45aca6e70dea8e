//! Requests to `/mcp`: what each may take is taken before its body is read; then it is read, checked, and handed to the
//! library.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use toolgate_policy::limits::wire::{BODY_MS, SPARE_NOTIFICATION_BYTES_MAX, SPARE_NOTIFICATION_MS};
use toolgate_runtime::call::request::Arguments;
use toolgate_runtime::quota::Taken;
use toolgate_runtime::turns::Caller;

use super::body::{BodyError, Received, Sent, announced, forget, receive};
use super::connections::{Connection, Phase};
use super::replies::{Reply, come_back, json, plain};
use super::sessions::InUse;
use super::{Body, HttpServer};
use crate::auth::local;
use crate::mcp::{Conversation, Inbound, Splice};
use crate::notices::Trouble;
use crate::transport::envelope::{Envelope, Malformed};

/// What a request holds until its answer is written. Clones are one.
#[derive(Clone)]
pub(super) struct Held {
    answering: Arc<Answering>,
    places: Arc<Places>,
}

/// A connection that has a request. It waits for the next one when this is dropped.
struct Answering(Arc<Connection>);

/// The places of a request: among requests or streams, and in its session. They are given back when it is answered, also where
/// its client is gone.
#[derive(Default)]
struct Places(Mutex<Taking>);

#[derive(Default)]
struct Taking {
    _place: Option<Taken>,
    _in_use: Option<InUse>,
}

impl Held {
    /// What a request of a connection holds: at first its connection.
    pub(super) fn of(connection: &Arc<Connection>) -> Self {
        Self { answering: Arc::new(Answering(Arc::clone(connection))), places: Arc::default() }
    }

    pub(super) fn peer(&self) -> &Arc<str> {
        self.answering.0.peer()
    }

    fn enter(&self, phase: Phase) {
        self.answering.0.enter(phase);
    }

    /// From now on it holds this place, and not the one that it held.
    fn hold(&self, place: Taken) {
        self.taking()._place = Some(place);
    }

    fn taking(&self) -> MutexGuard<'_, Taking> {
        self.places.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.enter(Phase::Waiting);
    }
}

/// The header that names a session.
const SESSION: &str = "mcp-session-id";

impl HttpServer {
    /// Whose request it is, and the session that it belongs to.
    fn caller(&self, headers: &http::HeaderMap, held: &Held) -> (Caller, Option<Arc<Conversation>>) {
        let session = headers.get(SESSION).and_then(|id| id.to_str().ok());
        let in_use = session.and_then(|id| self.0.sessions.enter(id));
        let number = in_use.as_ref().map_or(held.answering.0.id(), InUse::number);
        let conversation = in_use.as_ref().map(|in_use| Arc::clone(in_use.conversation()));
        held.taking()._in_use = in_use;
        (Caller::new(Arc::clone(held.peer()), number), conversation)
    }

    /// The client is told to come back, and the operator that it was.
    pub(super) fn busy(&self, trouble: Trouble, held: &Held, unread: Option<Request<Incoming>>) -> Reply {
        self.0.notices.tell(trouble, held.peer());
        if let Some((head, body)) = unread.map(Request::into_parts) {
            forget(body, &head.headers, usize::try_from(self.0.limits.body_bytes_max).unwrap_or(usize::MAX));
        }
        come_back(match trouble {
            Trouble::Connections => "the server has as many connections as it may; try again later\n",
            Trouble::Streams => "the server has as many streams as it may; try again later\n",
            Trouble::Sessions => "the server has as many sessions in use as it may; try again later\n",
            _ => "the server answers as many requests as it may; try again later\n",
        })
    }

    /// A stream of a session, or its end.
    pub(super) async fn other(
        &self,
        request: Request<Incoming>,
        address: SocketAddr,
        held: Held,
    ) -> Result<Response<Sent<Held>>, Reply> {
        let (caller, conversation) = self.caller(request.headers(), &held);
        let is_stream = request.method() == Method::GET;
        if is_stream {
            let stream = self.0.streams.take(held.peer(), 1);
            held.hold(stream.map_err(|_| self.busy(Trouble::Streams, &held, None))?);
        }
        let inbound = Inbound::new(local::peer(address.ip()), caller, conversation);
        let (mut parts, body) = request.into_parts();
        let ends_session = parts.method == Method::DELETE;
        parts.extensions.insert(inbound);
        held.enter(Phase::Answering);
        let mut reply = self.0.mcp.handle(Request::from_parts(parts, body)).await;
        // The library accepts what it has already done; official clients take 202 for a failure.
        if ends_session && reply.status() == StatusCode::ACCEPTED {
            *reply.status_mut() = StatusCode::NO_CONTENT;
        }
        if is_stream && reply.status() == StatusCode::OK {
            held.enter(Phase::Streaming);
        }
        Ok(reply.map(|body| Sent::new(body, held)))
    }

    /// A message.
    pub(super) async fn post(
        &self,
        request: Request<Incoming>,
        address: SocketAddr,
        held: Held,
    ) -> Result<Response<Sent<Held>>, Reply> {
        let (mut parts, body) = request.into_parts();
        let mut bytes_max = self.0.limits.body_bytes_max;
        let place = self.0.requests.take(held.peer(), 1);
        let is_spare = place.is_err();
        if is_spare {
            bytes_max = bytes_max.min(SPARE_NOTIFICATION_BYTES_MAX);
        }
        // Whether it is a notification shows only when it has been read.
        let is_short = || announced(&parts.headers).is_some_and(|length| length <= bytes_max);
        let place = place
            .ok()
            .or_else(|| is_short().then(|| self.0.spare_notifications.take(held.peer(), 1).ok()).flatten());
        let Some(place) = place else {
            let unread = Request::from_parts(parts, body);
            return Err(self.busy(Trouble::Requests, &held, Some(unread)));
        };
        held.hold(place);
        let (caller, conversation) = self.caller(&parts.headers, &held);
        held.enter(Phase::Receiving);
        let large = self.0.handler.gate().large();
        let patience = Duration::from_millis(if is_spare { SPARE_NOTIFICATION_MS } else { BODY_MS });
        let received = receive(body, &parts.headers, bytes_max, patience, large, &caller).await;
        let received = received.map_err(|error| self.not_received(error, &held))?;
        held.enter(Phase::Answering);
        let (envelope, arguments) = self.read(received, &caller, &held).await?;
        if is_spare && envelope.is_request {
            return Err(self.busy(Trouble::Requests, &held, None));
        }

        let is_stream = envelope.method.as_deref() == Some("subscriptions/listen");
        if is_stream {
            let stream = self.0.streams.take(held.peer(), 1);
            let stream = stream.map_err(|_| self.busy(Trouble::Streams, &held, None))?;
            // It is no request that will be answered soon.
            held.hold(stream);
        }
        let splice = Splice::new();
        let mut inbound = Inbound::new(local::peer(address.ip()), caller, conversation);
        inbound.arguments = Arc::new(Mutex::new(arguments));
        inbound.splice = Some(splice.clone());
        // Also for as long as it is answered and nobody waits for that any more.
        inbound.held = Some(Arc::clone(&held.places) as Arc<dyn Send + Sync>);
        parts.extensions.insert(inbound);
        let handing_over = self.0.mcp.handle(Request::from_parts(parts, Full::new(envelope.rest)));
        let begins = envelope.is_request && envelope.method.as_deref() == Some("initialize");
        let reply: Response<Body> = if begins {
            let opened = self.0.sessions.open(held.peer());
            let (opening, made_room) = opened.map_err(|_| self.busy(Trouble::Sessions, &held, None))?;
            if made_room {
                self.0.notices.tell(Trouble::SessionMadeRoom, held.peer());
            }
            opening.during(handing_over).await
        } else {
            handing_over.await
        };
        if is_stream && reply.status() == StatusCode::OK {
            held.enter(Phase::Streaming);
        }
        let (head, body) = reply.into_parts();
        Ok(Response::from_parts(head, Sent::spliced(body, splice, held).await))
    }

    /// Reads a message; a large one on the threads for that.
    async fn read(
        &self,
        received: Received,
        caller: &Caller,
        held: &Held,
    ) -> Result<(Envelope, Option<Arguments>), Reply> {
        let Received { bytes, admitted } = received;
        let bytes_max = self.0.limits.body_bytes_max;
        let malformed = |malformed: Malformed| json(StatusCode::BAD_REQUEST, &malformed.reply());
        let Some(admitted) = admitted else {
            let mut envelope = Envelope::read(&bytes, bytes_max).map_err(malformed)?;
            let arguments = envelope.arguments.take().map(Arguments::from);
            return Ok((envelope, arguments));
        };
        let work = move || Envelope::read_weighed(&bytes, bytes_max);
        let read = admitted.large().run(caller, work).await;
        let read = read.map_err(|error| {
            tracing::error!(%error, "a message could not be read");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the server failed; its log says why\n")
        })?;
        let (mut envelope, held_bytes) = read.map_err(malformed)?;
        let arguments = match envelope.arguments.take() {
            Some(arguments) => {
                let arguments = Arguments::large(arguments, held_bytes, admitted);
                Some(arguments.map_err(|_| self.not_received(BodyError::NoRoom, held))?)
            }
            None => None,
        };
        Ok((envelope, arguments))
    }

    fn not_received(&self, error: BodyError, held: &Held) -> Reply {
        let (status, text) = error.told();
        if error == BodyError::NoRoom {
            self.0.notices.tell(Trouble::Messages, held.peer());
            return come_back(text);
        }
        plain(status, text)
    }
}
