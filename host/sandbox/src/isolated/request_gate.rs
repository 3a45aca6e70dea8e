//! What a worker asks for in one of its calls, as far as it may: one thing at a time of the store, a few of the granted
//! folders, and of each exchange one in either direction, each until its answer is being said; of sockets as `plugs` says.
//! Whoever asks for more is no worker of ours.

mod plugs;

use std::collections::HashMap;
use std::sync::Arc;

use http_body::Frame;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use toolgate_net::egress::{EgressError, ResponseBody};
use toolgate_policy::limits::call::{CallLimit, CallLimits, FILES_THREADS, SOCKETS_OPENING_MAX};

use crate::imports::files::open_files::{OpenFiles, Thing};
use crate::imports::host_calls::protocol::HostRequest;
use crate::imports::sockets::open_socket::OpenSocket;
use plugs::SocketTable;

/// Takes what is asked for in one call.
pub(super) struct RequestGate {
    to: Sender<Pending>,
    last: u64,
    requests_left: u64,
    store: Arc<Semaphore>,
    files: Arc<Semaphore>,
    /// What the call has open.
    open: Arc<OpenFiles>,
    exchanges: HashMap<u64, Arc<Exchange>>,
    plugs: SocketTable,
}

/// What a worker wants in a call.
pub(super) enum Pending {
    Asked(PendingRequest),
    /// To let go of this, which may wait.
    Close(Thing),
}

/// Something that is asked for.
pub(super) struct PendingRequest {
    pub(super) number: u64,
    pub(super) ask: HostRequest,
    /// What it is about, if it is a request.
    pub(super) exchange: Option<Arc<Exchange>>,
    /// What it is about, if it is a socket.
    pub(super) held: Option<Arc<OpenSocket>>,
    pub(super) turn: OwnedSemaphorePermit,
}

/// A request, and what comes of it.
pub(super) struct Exchange {
    /// The worker wants nothing more of it.
    pub(super) left: CancellationToken,
    /// Where the parts of the request's body go; nowhere after the last.
    pub(super) leaving: Mutex<Option<Sender<BodyFrame>>>,
    /// Where the parts of the response's body come from, once its head is there.
    pub(super) arriving: Mutex<Option<ResponseBody>>,
    out: Arc<Semaphore>,
    back: Arc<Semaphore>,
}

/// A part of a request's body; nothing at its end, which must be said.
pub(super) type BodyFrame = Option<Result<Frame<bytes::Bytes>, EgressError>>;

/// How much can wait to be served: each thing has a turn, or lets go of one of the call's handles.
pub(super) fn waiting_max(limits: &CallLimits) -> usize {
    let limit = |limit| usize::try_from(limits.get(limit)).unwrap_or(usize::MAX);
    let exchanges = limit(CallLimit::HttpRequests).saturating_mul(2);
    let sockets = limit(CallLimit::Sockets).saturating_add(SOCKETS_OPENING_MAX).saturating_mul(plugs::TURNS);
    [1, FILES_THREADS, exchanges, sockets, SOCKETS_OPENING_MAX, limit(CallLimit::Handles)]
        .into_iter()
        .fold(0, usize::saturating_add)
        .min(Semaphore::MAX_PERMITS)
}

/// Room for one.
fn turn() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1))
}

impl RequestGate {
    /// For a call with these limits; and where what it asks for comes.
    pub(super) fn within(limits: &CallLimits, open: Arc<OpenFiles>) -> (Self, Receiver<Pending>) {
        let (to, asked) = channel(waiting_max(limits));
        let asking = Self {
            to,
            last: 0,
            requests_left: limits.get(CallLimit::HttpRequests),
            store: turn(),
            files: Arc::new(Semaphore::new(FILES_THREADS)),
            open,
            exchanges: HashMap::new(),
            plugs: SocketTable::within(limits),
        };
        (asking, asked)
    }

    /// Takes something that is asked for; false if it may not be asked for now.
    pub(super) fn take(&mut self, number: u64, ask: HostRequest) -> bool {
        self.pass_on(number, ask).is_some()
    }

    fn pass_on(&mut self, number: u64, ask: HostRequest) -> Option<()> {
        if number <= self.last {
            return None;
        }
        self.last = number;
        let exchange = match &ask {
            HostRequest::Leave { exchange } => {
                self.exchanges.remove(exchange)?.left.cancel();
                return Some(());
            }
            HostRequest::Send { .. } => {
                self.requests_left = self.requests_left.checked_sub(1)?;
                let exchange = Arc::new(Exchange::new());
                self.exchanges.insert(number, Arc::clone(&exchange));
                Some(exchange)
            }
            HostRequest::Body { exchange, .. } | HostRequest::Next { exchange } => {
                Some(Arc::clone(self.exchanges.get(exchange)?))
            }
            HostRequest::LetGo(number) => {
                // In its turn among what is asked for: what is opened after it finds it closed.
                return self.send(Pending::Close(self.open.let_go(*number)?));
            }
            HostRequest::Sockets(act) => {
                let (held, turn) = self.plugs.take(number, act)?;
                let asked = PendingRequest { number, ask, exchange: None, held, turn };
                return self.send(Pending::Asked(asked));
            }
            HostRequest::Store(_) | HostRequest::File(_) => None,
        };
        let turn = match (&ask, &exchange) {
            (HostRequest::Body { .. }, Some(exchange)) => &exchange.out,
            (_, Some(exchange)) => &exchange.back,
            (HostRequest::File(_), None) => &self.files,
            (_, None) => &self.store,
        };
        let turn = Arc::clone(turn).try_acquire_owned().ok()?;
        self.send(Pending::Asked(PendingRequest { number, ask, exchange, held: None, turn }))
    }

    /// Nothing if more waits than the turns allow, which is a fault of ours.
    fn send(&self, wanted: Pending) -> Option<()> {
        match self.to.try_send(wanted) {
            // The call may have just ended.
            Ok(()) | Err(TrySendError::Closed(_)) => Some(()),
            Err(TrySendError::Full(_)) => None,
        }
    }
}

impl Exchange {
    fn new() -> Self {
        Self {
            left: CancellationToken::new(),
            leaving: Mutex::default(),
            arriving: Mutex::default(),
            out: turn(),
            back: turn(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::files::request::{DescriptorOp, FileRequest};
    use crate::imports::host_calls::protocol::{BodyPart, HeaderFields, RequestHead as Head};
    use crate::imports::keyvalue::request as store;

    fn asking() -> (RequestGate, Receiver<Pending>) {
        RequestGate::within(&CallLimits::default(), Arc::default())
    }

    fn store() -> HostRequest {
        HostRequest::Store(store::KeyvalueRequest::Open { bucket: "b".to_owned() })
    }

    fn send() -> HostRequest {
        let fields = HeaderFields::from(&http::HeaderMap::new());
        let method = "GET".to_owned();
        let (scheme, authority, path) = (None, None, None);
        let head = Head { method, scheme, authority, path, fields, connect: None, first_byte: None };
        HostRequest::Send { head, empty: false }
    }

    #[test]
    fn one_thing_at_a_time_is_asked_of_the_store_until_it_is_being_answered() {
        let (mut asking, mut asked) = asking();
        assert!(asking.take(1, store()));
        let Pending::Asked(first) = asked.try_recv().unwrap() else { panic!() };
        assert!(!asking.take(2, store()), "the first is not answered");
        // Its turn goes with its answer.
        drop(first.turn);
        assert!(asking.take(3, store()));
    }

    #[test]
    fn of_the_folders_a_few_things_are_asked_at_once_and_what_is_not_open_is_not_let_go_of() {
        let (mut asking, mut asked) = asking();
        let ask = || HostRequest::File(FileRequest::Of(0, DescriptorOp::Stat));
        let at_once = FILES_THREADS as u64;
        assert!((1..=at_once).all(|number| asking.take(number, ask())));
        assert!(!asking.take(at_once + 1, ask()), "none of them is answered");
        assert!(asking.take(at_once + 2, store()), "others are asked beside them");
        drop(asked.try_recv());
        assert!(asking.take(at_once + 3, ask()));
        assert!(!asking.take(at_once + 4, HostRequest::LetGo(0)));
    }

    #[test]
    fn of_an_exchange_one_thing_is_asked_in_either_direction() {
        let (mut asking, mut asked) = asking();
        let part = |number| HostRequest::Body { exchange: number, part: BodyPart::End };
        let next = |number| HostRequest::Next { exchange: number };
        assert!(asking.take(1, send()));
        assert!(asking.take(2, part(1)), "its body leaves while its head is waited for");
        assert!(asking.take(3, send()), "and others beside it");
        let turns = [(); 3].map(|()| asked.try_recv().unwrap());
        assert!(!asking.take(4, part(1)) && !asking.take(5, next(1)) && !asking.take(6, next(2)));
        drop(turns);
        assert!(asking.take(7, part(1)) && asking.take(8, next(1)) && asking.take(9, next(3)));
        assert!(!asking.take(9, part(3)), "numbers grow");
    }
}
