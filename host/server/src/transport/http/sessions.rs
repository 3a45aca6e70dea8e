//! Sessions of clients with a protocol revision that has them: their number by peer, and the one to be ended for a new
//! one. Clients rarely end sessions, so the one idle longest is ended; its client gets 404 for its next request, and
//! begins a new one. The library passes messages on.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::session::local::{
    LocalSessionManager, LocalSessionManagerError, SessionConfig,
};
use rmcp::transport::streamable_http_server::session::{ServerSseMessage, SessionId, SessionManager};
use toolgate_policy::Principal;
use toolgate_policy::limits::wire::STREAM_MESSAGES_MAX;
use toolgate_runtime::quota::{Quota, QuotaError, Taken};

use crate::mcp::{self, Conversation};
use crate::transport::ids::{self, Ids};

/// All sessions.
pub(super) struct Sessions {
    library: Arc<LocalSessionManager>,
    table: Mutex<HashMap<SessionId, Arc<Session>>>,
    quota: Arc<Quota>,
    numbers: AtomicU64,
}

/// One session.
pub(super) struct Session {
    /// The party that began it. To all others there is no such session.
    owner: Principal,
    peer: Arc<str>,
    /// Number of the session, distinct from those of connections.
    pub(super) number: u64,
    /// State of the session as a whole.
    pub(super) conversation: Arc<Conversation>,
    ids: Ids,
    usage: Mutex<Usage>,
    _place: Taken,
}

struct Usage {
    requests: usize,
    since: Instant,
}

/// A request of a session that is being answered.
pub(super) struct InUse {
    pub(super) session: Arc<Session>,
}

/// Party and peer of a request that may begin a session, and the result.
struct Opening {
    owner: Principal,
    peer: Arc<str>,
    opened: Cell<Option<Opened>>,
}

/// Result of taking a place for a new session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// A place was free.
    HadRoom,
    /// Another session was ended for it.
    MadeRoom,
    /// All are in use, and no session is idle.
    Refused,
}

tokio::task_local! {
    /// Peer that begins a session in this task, which the library does not pass on.
    static OPENING: Opening;
}

/// Reason why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionsError {
    #[error("no place was taken for the session")]
    NoPlace,
    #[error(transparent)]
    Library(#[from] LocalSessionManagerError),
}

/// Distinguishes numbers of sessions from those of connections.
const SESSION_BIT: u64 = 1 << 63;

impl Sessions {
    /// Sessions with as many places as `quota`; one without messages for `idle` ends.
    pub(super) fn new(quota: Arc<Quota>, idle: Duration) -> Self {
        let mut config = SessionConfig::default();
        config.keep_alive = Some(idle);
        // Clients of 2025-06-18 fail on a first event without data.
        config.sse_retry = None;
        config.channel_capacity = STREAM_MESSAGES_MAX;
        // Answers of cancelled requests are never fetched again, and would otherwise be cached for each.
        config.completed_cache_ttl = Duration::ZERO;
        let mut library = LocalSessionManager::default();
        library.session_config = config;
        Self { library: Arc::new(library), table: Mutex::default(), quota, numbers: AtomicU64::new(1) }
    }

    /// Takes a place for a new session of a peer, ending an idle one if necessary. Returns whether it did.
    fn open(&self, peer: &Arc<str>) -> Result<(Taken, bool), QuotaError> {
        let mut made_room = false;
        loop {
            let refused = match self.quota.take(peer, 1) {
                Ok(place) => return Ok((place, made_room)),
                Err(refused) => refused,
            };
            let of = (refused == QuotaError::Peer).then_some(peer);
            let id = self.idle_longest(of).ok_or(refused)?;
            self.end(&id);
            made_room = true;
        }
    }

    /// The session idle longest: of this peer, else of the peer with the most.
    fn idle_longest(&self, of: Option<&Arc<str>>) -> Option<SessionId> {
        let table = self.table();
        let mut counts: HashMap<&Arc<str>, usize> = HashMap::new();
        for session in table.values() {
            *counts.entry(&session.peer).or_default() += 1;
        }
        let idle = table.iter().filter(|(_, session)| of.is_none_or(|peer| session.peer == *peer));
        let idle = idle.filter_map(|(id, session)| {
            let usage = session.usage();
            let count = counts.get(&session.peer).copied().unwrap_or(0);
            (usage.requests == 0).then_some((std::cmp::Reverse(count), usage.since, id))
        });
        idle.min().map(|(_, _, id)| id.clone())
    }

    fn end(&self, id: &SessionId) {
        self.forget(id);
        let (library, id) = (Arc::clone(&self.library), id.clone());
        // The session may wait for a client that does not read, so closing it is not awaited.
        tokio::spawn(async move {
            if let Err(error) = library.close_session(&id).await {
                tracing::debug!(%error, "a session did not end");
            }
        });
    }

    fn forget(&self, id: &SessionId) {
        if let Some(session) = self.table().remove(id) {
            session.conversation.end();
        }
    }

    /// Begins a request of a session, if the session exists and was begun by the same party, perhaps with another token.
    pub(super) fn enter(&self, id: &str, party: &Principal) -> Option<InUse> {
        let session = Arc::clone(self.table().get(id)?);
        if !session.owner.is_same_party(party) {
            tracing::warn!(owner = %session.owner, %party, "a session is asked for by another party than its own");
            return None;
        }
        session.usage().requests += 1;
        Some(InUse { session })
    }

    /// Messages to the library for a client's message of a session.
    fn inward(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Vec<ClientJsonRpcMessage> {
        let session = self.table().get(id).cloned();
        match session {
            Some(session) => session.ids.inward(message),
            // The library reports the unknown session.
            None => vec![message],
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut usage = self.session.usage();
        usage.requests = usage.requests.saturating_sub(1);
        usage.since = Instant::now();
    }
}

/// Runs a future that may begin a session of this party, and returns the result. The place is taken only when a session
/// begins: a request that is refused, or belongs to an existing session, ends no other one.
pub(super) async fn opening<T>(
    peer: &Arc<str>,
    owner: &Principal,
    begins: impl Future<Output = T>,
) -> (T, Option<Opened>) {
    let opening = Opening { owner: owner.clone(), peer: Arc::clone(peer), opened: Cell::default() };
    let both = async {
        let result = begins.await;
        (result, OPENING.with(|opening| opening.opened.get()))
    };
    OPENING.scope(opening, both).await
}

impl SessionManager for Sessions {
    type Error = SessionsError;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let opened = OPENING.try_with(|opening| {
            let open = self.open(&opening.peer);
            opening.opened.set(Some(match &open {
                Ok((_, false)) => Opened::HadRoom,
                Ok((_, true)) => Opened::MadeRoom,
                Err(_) => Opened::Refused,
            }));
            open.map(|(place, _)| (opening.owner.clone(), Arc::clone(&opening.peer), place))
        });
        let Ok(Ok((owner, peer, place))) = opened else { return Err(SessionsError::NoPlace) };
        let (id, transport) = self.library.create_session().await?;
        let session = Session {
            owner,
            peer,
            number: SESSION_BIT | self.numbers.fetch_add(1, Ordering::Relaxed),
            conversation: Arc::default(),
            ids: Ids::default(),
            usage: Mutex::new(Usage { requests: 0, since: Instant::now() }),
            _place: place,
        };
        self.table().insert(id.clone(), Arc::new(session));
        Ok((id, transport))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        Ok(self.library.initialize_session(id, message).await?)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        Ok(self.table().contains_key(id))
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        self.forget(id);
        Ok(self.library.close_session(id).await?)
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        // A request always becomes exactly one message.
        let message = self.inward(id, message).pop().ok_or(SessionsError::NoPlace)?;
        Ok(self.library.create_stream(id, message).await?.map(outward))
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Self::Error> {
        for message in self.inward(id, message) {
            self.library.accept_message(id, message).await?;
        }
        Ok(())
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        Ok(self.library.create_standalone_stream(id).await?.map(outward))
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        Ok(self.library.resume(id, last_event_id).await?.map(outward))
    }
}

/// Converts the library's message to the client's.
fn outward(mut sent: ServerSseMessage) -> ServerSseMessage {
    sent.message = sent.message.map(|message| {
        let mut message = Arc::unwrap_or_clone(message);
        ids::outward(&mut message);
        mcp::outward(&mut message);
        Arc::new(message)
    });
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party() -> Principal {
        toolgate_auth::local::parent(1)
    }

    async fn begin(sessions: &Sessions, peer: &str) -> Result<SessionId, Option<Opened>> {
        let (begun, opened) = opening(&peer.into(), &party(), sessions.create_session()).await;
        begun.map(|(id, _)| id).map_err(|_| opened)
    }

    #[tokio::test]
    async fn a_client_with_many_makes_room_before_one_with_few() {
        let sessions = Sessions::new(Quota::new(4, 75), Duration::from_secs(60));
        let few = begin(&sessions, "few").await.unwrap();
        let mut many = Vec::new();
        for _ in 0..4 {
            many.push(begin(&sessions, "many").await.unwrap());
        }
        assert!(sessions.enter(&few, &party()).is_some(), "the fourth took the place of its own first");
        assert!(sessions.enter(&many[0], &party()).is_none());
        // Used after the others were begun.
        drop(sessions.enter(&many[1], &party()).unwrap());
        begin(&sessions, "third").await.unwrap();
        assert!(sessions.enter(&few, &party()).is_some() && sessions.enter(&many[1], &party()).is_some());
        assert!(sessions.enter(&many[2], &party()).is_none(), "idle longest");
    }

    #[tokio::test]
    async fn a_session_is_there_for_the_party_that_began_it_alone() {
        let sessions = Sessions::new(Quota::new(4, 100), Duration::from_secs(60));
        let id = begin(&sessions, "a").await.unwrap();
        assert!(sessions.enter(&id, &party()).is_some());
        assert!(sessions.enter(&id, &toolgate_auth::local::parent(2)).is_none());
    }

    #[tokio::test]
    async fn a_session_that_ends_tells_whoever_waits_in_it_and_gives_its_place_back() {
        let sessions = Sessions::new(Quota::new(1, 100), Duration::from_secs(60));
        let id = begin(&sessions, "a").await.unwrap();
        let conversation = Arc::clone(&sessions.enter(&id, &party()).unwrap().session.conversation);
        sessions.close_session(&id).await.unwrap();
        conversation.ended().await;
        assert!(!sessions.has_session(&id).await.unwrap());
        assert!(begin(&sessions, "b").await.is_ok());
    }
}
