//! The server's end: takes what a worker asks for in one of its calls as far as its lanes go, and has the table of the call's
//! handles. A worker that asks for more is ended.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use toolgate_policy::limits::call::{CallLimit, CallLimits};

use super::lanes::{CallLanes, HandleLanes};
use crate::protocol::HostRequest;
use crate::protocol::route::{HandleKind, HandleLane, Route};

/// The resource behind a handle.
pub(crate) trait Resource {
    /// A handle that is not open yet.
    fn new(kind: HandleKind) -> Self;
    /// Ends what is under way with it.
    fn close(&self);
}

/// The requests of one call.
pub(crate) struct RequestGate<R> {
    to: Sender<Pending<R>>,
    last: u64,
    lanes: CallLanes,
    /// Exchanges that the call may still begin: closed ones count, since their requests may wait.
    exchanges_left: usize,
    sockets: Arc<Semaphore>,
    handles: HashMap<u64, Handle<R>>,
    close_file: CloseFile,
}

/// Takes an open file out of the call's table, by its number.
pub(crate) type CloseFile = Box<dyn Fn(u32) -> Option<Box<dyn Send>> + Send>;

/// A handle, until the worker closes it.
struct Handle<R> {
    kind: HandleKind,
    resource: Arc<R>,
    lanes: HandleLanes,
    _open: Option<OwnedSemaphorePermit>,
}

/// Requests of a worker in a call, in their order.
pub(crate) enum Pending<R> {
    Request(PendingRequest<R>),
    /// Something to be dropped, which may wait.
    Close(Box<dyn Send>),
}

/// A request that is to be performed.
pub(crate) struct PendingRequest<R> {
    pub(crate) number: u64,
    pub(crate) request: HostRequest,
    /// The resource that it is about, if it is about a handle.
    pub(crate) resource: Option<Arc<R>>,
    pub(crate) place: OwnedSemaphorePermit,
}

/// Requests of one call that can wait to be performed: each has a place in a lane, or closes one of the call's files.
pub(crate) fn waiting_max(limits: &CallLimits) -> usize {
    let handles = [HandleKind::Exchange, HandleKind::Socket].map(|kind| kind.open_max(limits));
    let in_handles = handles.into_iter().fold(0, usize::saturating_add).saturating_mul(HandleLanes::PLACES);
    let files = usize::try_from(limits.get(CallLimit::Handles)).unwrap_or(usize::MAX);
    CallLanes::PLACES.saturating_add(in_handles).saturating_add(files).min(Semaphore::MAX_PERMITS)
}

impl<R: Resource> RequestGate<R> {
    /// A gate for a call with these limits, and where its requests arrive.
    pub(crate) fn new(limits: &CallLimits, close_file: CloseFile) -> (Self, Receiver<Pending<R>>) {
        let (to, requests) = channel(waiting_max(limits));
        let sockets = HandleKind::Socket.open_max(limits).min(Semaphore::MAX_PERMITS);
        let gate = Self {
            to,
            last: 0,
            lanes: CallLanes::new(),
            exchanges_left: HandleKind::Exchange.open_max(limits),
            sockets: Arc::new(Semaphore::new(sockets)),
            handles: HashMap::new(),
            close_file,
        };
        (gate, requests)
    }

    /// Takes a request; nothing if the worker may not make it now.
    pub(crate) fn take(&mut self, number: u64, request: HostRequest) -> Option<()> {
        if number <= self.last {
            return None;
        }
        self.last = number;
        let enter = |lane: Arc<Semaphore>| lane.try_acquire_owned().ok();
        let (resource, place) = match request.route() {
            Route::Call(lane) => (None, enter(self.lanes.lane(lane))?),
            Route::Open(kind) => {
                let handle = self.open(kind)?;
                let lane = match kind.opening_lane() {
                    Some(lane) => self.lanes.lane(lane),
                    None => handle.lanes.lane(HandleLane::Receive),
                };
                let (resource, place) = (Arc::clone(&handle.resource), enter(lane)?);
                self.handles.insert(number, handle);
                (Some(resource), place)
            }
            Route::Handle(kind, number, lane) => {
                let handle = self.handles.get(&number).filter(|handle| handle.kind == kind)?;
                (Some(Arc::clone(&handle.resource)), enter(handle.lanes.lane(lane))?)
            }
            Route::Close(number) => {
                self.handles.remove(&number)?.resource.close();
                return Some(());
            }
            // Among the requests in its turn: what is opened after it finds it closed.
            Route::CloseFile(number) => return self.send(Pending::Close((self.close_file)(number)?)),
        };
        self.send(Pending::Request(PendingRequest { number, request, resource, place }))
    }

    fn open(&mut self, kind: HandleKind) -> Option<Handle<R>> {
        let _open = match kind {
            HandleKind::Exchange => {
                self.exchanges_left = self.exchanges_left.checked_sub(1)?;
                None
            }
            HandleKind::Socket => Some(Arc::clone(&self.sockets).try_acquire_owned().ok()?),
        };
        Some(Handle { kind, resource: Arc::new(R::new(kind)), lanes: HandleLanes::new(), _open })
    }

    /// Nothing if more waits than the lanes allow, which is a fault of ours.
    fn send(&self, pending: Pending<R>) -> Option<()> {
        match self.to.try_send(pending) {
            // The call may have just ended.
            Ok(()) | Err(TrySendError::Closed(_)) => Some(()),
            Err(TrySendError::Full(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::files::{DescriptorOp, FileRequest};
    use crate::protocol::http::{BodyPart, HeaderFields, HttpRequest, RequestHead};
    use crate::protocol::keyvalue::KeyvalueRequest;
    use crate::protocol::sockets::{Direction, SocketKind, SocketOp, SocketRequest};
    use toolgate_policy::limits::call::{FILES_THREADS, SOCKETS_OPENING_MAX};

    struct Nothing;

    impl Resource for Nothing {
        fn new(_: HandleKind) -> Self {
            Self
        }
        fn close(&self) {}
    }

    struct Gate(RequestGate<Nothing>, Receiver<Pending<Nothing>>, u64);

    impl Gate {
        fn new() -> Self {
            let (gate, requests) = RequestGate::new(&CallLimits::default(), Box::new(|_| None));
            Self(gate, requests, 0)
        }

        /// Asks by the next number; whether it may.
        fn takes(&mut self, request: HostRequest) -> bool {
            self.2 += 1;
            self.0.take(self.2, request).is_some()
        }

        /// Opens a handle, and says its number.
        fn opens(&mut self, request: HostRequest) -> u64 {
            assert!(self.takes(request));
            self.2
        }

        fn answer_all(&mut self) {
            while self.1.try_recv().is_ok() {}
        }

        /// The oldest request, which is being performed until this is dropped.
        fn performed(&mut self) -> Pending<Nothing> {
            self.1.try_recv().unwrap()
        }
    }

    fn store() -> HostRequest {
        HostRequest::Keyvalue(KeyvalueRequest::Open { bucket: "b".to_owned() })
    }

    fn send() -> HostRequest {
        let fields = HeaderFields::from(&http::HeaderMap::new());
        let method = "GET".to_owned();
        let (scheme, authority, path) = (None, None, None);
        let head = RequestHead { method, scheme, authority, path, fields, connect: None, first_byte: None };
        HostRequest::Http(HttpRequest::Send { head, empty: false })
    }

    fn socket() -> HostRequest {
        HostRequest::Sockets(SocketRequest::Open(SocketKind { datagrams: false, v6: false }))
    }

    fn of(socket: u64, op: SocketOp) -> HostRequest {
        HostRequest::Sockets(SocketRequest::Of(socket, op))
    }

    #[test]
    fn one_request_at_a_time_is_taken_for_the_store_until_it_is_being_answered() {
        let mut gate = Gate::new();
        assert!(gate.takes(store()));
        assert!(!gate.takes(store()), "the first waits");
        let first = gate.performed();
        assert!(!gate.takes(store()), "the first is not answered");
        drop(first);
        assert!(gate.takes(store()));
    }

    #[test]
    fn no_more_exchanges_are_begun_in_a_call_than_it_may_make_requests_also_if_each_is_closed() {
        let mut gate = Gate::new();
        for _ in 0..HandleKind::Exchange.open_max(&CallLimits::default()) {
            let exchange = gate.opens(send());
            assert!(gate.takes(HostRequest::Close(exchange)));
        }
        assert!(!gate.takes(send()));
    }

    #[test]
    fn a_few_requests_at_once_are_taken_for_folders_and_what_is_not_open_is_not_closed() {
        let mut gate = Gate::new();
        let stat = || HostRequest::Files(FileRequest::Of(0, DescriptorOp::Stat));
        assert!((0..FILES_THREADS).all(|_| gate.takes(stat())));
        assert!(!gate.takes(stat()), "none of them is answered");
        assert!(gate.takes(store()), "others have places of their own");
        gate.answer_all();
        assert!(gate.takes(stat()) && !gate.takes(HostRequest::CloseFile(0)));
    }

    #[test]
    fn one_request_is_taken_for_either_direction_of_an_exchange_and_numbers_grow() {
        let mut gate = Gate::new();
        let put = |exchange| HostRequest::Http(HttpRequest::Put(exchange, BodyPart::End));
        let next = |exchange| HostRequest::Http(HttpRequest::Next(exchange));
        let first = gate.opens(send());
        assert!(gate.takes(put(first)), "its body leaves while its head is awaited");
        let second = gate.opens(send());
        assert!(!gate.takes(put(first)) && !gate.takes(next(first)) && !gate.takes(next(second)));
        gate.answer_all();
        assert!(gate.takes(put(first)) && gate.takes(next(first)) && gate.takes(next(second)));
        assert!(gate.0.take(gate.2, put(second)).is_none(), "the number was used");
        assert!(gate.takes(HostRequest::Close(first)) && !gate.takes(HostRequest::Close(first)));
        gate.answer_all();
        assert!(!gate.takes(next(first)), "it is closed");
        assert!(!gate.takes(of(second, SocketOp::Local)), "it is another kind of handle");
    }

    #[test]
    fn one_request_is_taken_for_either_direction_of_a_socket_one_beside_and_two_ends() {
        let mut gate = Gate::new();
        let socket = gate.opens(socket());
        let requests =
            || [SocketOp::Receive(1), SocketOp::Local, SocketOp::Disconnect].map(|op| of(socket, op));
        assert!(requests().into_iter().all(|request| gate.takes(request)));
        assert!(requests().into_iter().all(|request| !gate.takes(request)), "none is answered");
        gate.answer_all();
        assert!(requests().into_iter().all(|request| gate.takes(request)));
        let shut = || of(socket, SocketOp::Shut(Direction::Send));
        assert!(gate.takes(shut()) && gate.takes(shut()) && !gate.takes(shut()));
        assert!(!gate.takes(of(socket + 1, SocketOp::Local)), "no socket has this number");
        assert!(gate.takes(HostRequest::Close(socket)) && !gate.takes(of(socket, SocketOp::Local)));
    }

    #[test]
    fn a_few_sockets_are_opened_at_once_and_no_more_are_held_than_a_call_may_have() {
        let mut gate = Gate::new();
        let first = gate.opens(socket());
        assert!((1..SOCKETS_OPENING_MAX).all(|_| gate.takes(socket())));
        let look_up = HostRequest::Sockets(SocketRequest::LookUp("a".to_owned()));
        assert!(!gate.takes(socket()) && !gate.takes(look_up));
        let mut open = SOCKETS_OPENING_MAX;
        gate.answer_all();
        while gate.takes(socket()) {
            open += 1;
            gate.answer_all();
        }
        assert_eq!(open, HandleKind::Socket.open_max(&CallLimits::default()));
        assert!(gate.takes(HostRequest::Close(first)) && gate.takes(socket()), "one was closed");
    }
}
