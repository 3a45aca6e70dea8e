//! The worker's end: sends what a guest wants, and passes on the responses. Nothing is granted, counted or reached here.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use toolgate_base::meter::{Meter, StopError};

use super::lanes::CallLanes;
use crate::protocol::frame::{FromWorker, encode};
use crate::protocol::route::Route;
use crate::protocol::{HostRequest, HostResponse};

/// Writes a frame to the server.
pub(crate) type SendFn = fn(&[u8]);

/// The requests of one call.
pub(crate) struct RpcClient {
    id: u64,
    send: SendFn,
    pub(crate) meter: Meter,
    lanes: CallLanes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The call has ended and makes no more requests.
    ended: bool,
    last: u64,
    waiting: HashMap<u64, Waiting>,
    /// Handles that were opened and not closed.
    open: HashSet<u64>,
}

/// The receiver of a response, and the place in a lane that is free when the response arrives, whether or not it is still wanted.
struct Waiting {
    answer: oneshot::Sender<HostResponse>,
    place: Option<OwnedSemaphorePermit>,
}

/// An exchange or a socket at the server. Dropped it is closed.
pub(crate) struct RemoteHandle {
    pub(crate) client: Arc<RpcClient>,
    /// The number by which requests name it.
    pub(crate) number: u64,
}

/// A response that is on its way.
pub(crate) type ResponseReceiver = oneshot::Receiver<HostResponse>;

impl RpcClient {
    pub(crate) fn new(id: u64, send: SendFn, meter: Meter) -> Self {
        Self { id, send, meter, lanes: CallLanes::new(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request under the lock: none of a call that has ended, nor about a handle that was closed. Its number; nothing
    /// if it cannot be made.
    fn send(&self, state: &mut State, request: HostRequest) -> Option<u64> {
        let is_closed = match request.route() {
            Route::Handle(_, handle, _) => !state.open.contains(&handle),
            Route::Close(handle) => !state.open.remove(&handle),
            Route::Call(_) | Route::Open(_) | Route::CloseFile(_) => false,
        };
        if state.ended || is_closed {
            return None;
        }
        let opens = matches!(request.route(), Route::Open(_));
        let number = state.last + 1;
        let message = FromWorker::Ask { id: self.id, ask: number, request };
        let frame = encode(&message, &[]).ok()?;
        if (frame.len() - size_of::<u32>()) as u64 > message.bytes_max(0) {
            return None;
        }
        (self.send)(&frame);
        state.last = number;
        if opens {
            state.open.insert(number);
        }
        Some(number)
    }

    fn ask(
        &self,
        request: HostRequest,
        place: Option<OwnedSemaphorePermit>,
    ) -> Option<(u64, ResponseReceiver)> {
        let (answer, response) = oneshot::channel();
        let mut state = self.state();
        let number = self.send(&mut state, request)?;
        state.waiting.insert(number, Waiting { answer, place });
        Some((number, response))
    }

    /// A place for a request that is about no open handle, when there is one. Nothing once the call has ended.
    async fn place(&self, request: &HostRequest) -> Option<Option<OwnedSemaphorePermit>> {
        let Some(lane) = request.route().lane() else { return Some(None) };
        self.lanes.lane(lane).acquire_owned().await.ok().map(Some)
    }

    /// Makes a request that is about no handle, when there is a place for it, and waits for the response.
    pub(crate) async fn call(&self, request: HostRequest) -> Option<HostResponse> {
        let place = self.place(&request).await?;
        self.ask(request, place)?.1.await.ok()
    }

    /// Opens a handle, when there is a place for it.
    pub(crate) async fn open(
        self: &Arc<Self>,
        request: HostRequest,
    ) -> Option<(RemoteHandle, ResponseReceiver)> {
        let place = self.place(&request).await?;
        let (number, response) = self.ask(request, place)?;
        Some((RemoteHandle { client: Arc::clone(self), number }, response))
    }

    /// Sends a request that is not answered.
    pub(crate) fn notify(&self, request: HostRequest) {
        self.send(&mut self.state(), request);
    }

    /// Takes the response to a request, its fuel, and what the call ends by.
    pub(crate) fn answered(&self, ask: u64, fuel: u64, stop: Option<StopError>, response: HostResponse) {
        self.meter.charge(fuel);
        if let Some(stop) = stop {
            self.meter.stop(stop);
        }
        let waiting = self.state().waiting.remove(&ask);
        if let Some(Waiting { answer, place }) = waiting {
            // First, so that the next request can be made at once.
            drop(place);
            // It may not be wanted any more.
            drop(answer.send(response));
        }
    }

    /// Ends the call: from now on nothing is sent of it.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.waiting.clear();
    }
}

impl RemoteHandle {
    /// Closes it, unless that is done already.
    pub(crate) fn close(&self) {
        self.client.notify(HostRequest::Close(self.number));
    }

    /// Makes a request about it, in a place that the caller has. Nothing if it cannot be made.
    pub(crate) fn ask(
        &self,
        request: HostRequest,
        place: Option<OwnedSemaphorePermit>,
    ) -> Option<ResponseReceiver> {
        self.client.ask(request, place).map(|(_, response)| response)
    }
}

impl Drop for RemoteHandle {
    fn drop(&mut self) {
        self.close();
    }
}
