//! Requests of a call in a worker, performed by the same broker as on a thread. The worker's own account of grants, records and meters is
//! not read.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Receiver;
use toolgate_base::meter::StopError;
use toolgate_policy::limits::call::CallLimit;

use super::handle::LiveWorker;
use crate::imports::host_calls::Broker;
use crate::imports::perform::HostResource;
use crate::protocol::frame::ToWorker;
use crate::protocol::{HostRequest, HostResponse};
use crate::rpc::gate::{Pending, PendingRequest};

/// The requests of one call. What is under way ends with it.
pub(super) struct Serving<'a> {
    live: &'a LiveWorker,
    id: u64,
    broker: Broker,
    /// Fuel of the meter's debt that the worker knows of.
    known: AtomicU64,
}

impl<'a> Serving<'a> {
    pub(super) fn new(live: &'a LiveWorker, id: u64, broker: Broker) -> Self {
        Self { live, id, broker, known: AtomicU64::new(0) }
    }

    /// Serves until `until` ends, many requests at once.
    pub(super) async fn until<T>(
        &self,
        until: impl Future<Output = T>,
        mut requests: Receiver<Pending<HostResource>>,
    ) -> T {
        tokio::pin!(until);
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                ended = &mut until => {
                    // What was sent over a socket before the call ended leaves, as far as it can at once.
                    while let Ok(pending) = requests.try_recv() {
                        if let Pending::Request(request) = pending
                            && matches!(request.request, HostRequest::Sockets(_))
                        {
                            under_way.push(self.serve(request));
                        }
                    }
                    while under_way.next().now_or_never().flatten().is_some() {}
                    return ended;
                }
                Some(pending) = requests.recv() => match pending {
                    Pending::Request(request) => under_way.push(self.serve(request)),
                    Pending::Close(closed) => drop(closed),
                },
                Some(()) = under_way.next() => {}
            }
        }
    }

    async fn serve(&self, pending: PendingRequest<HostResource>) {
        let PendingRequest { number, request, resource, place } = pending;
        let response = match self.crossed(true) {
            Err(_) => request.refused(),
            Ok(()) => {
                self.charge_known(request.file_bytes());
                self.broker.perform(request, resource.as_deref()).await
            }
        };
        if let Some(response) = response {
            self.charge_known(response.file_bytes());
            self.answer(number, response, place);
        }
    }

    /// Whether the call may go on. A request costs as much as any way out of a guest.
    fn crossed(&self, entering: bool) -> Result<(), StopError> {
        let meter = &self.broker.meter;
        meter.crossed(entering, meter.limit(CallLimit::Fuel))
    }

    /// Charges what the worker charges its call itself.
    fn charge_known(&self, bytes: u64) {
        self.broker.meter.charge(bytes);
        self.known.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Sends a response, its fuel, and the limit that the call has met. Its place in its lane is free when it is being written.
    fn answer(&self, ask: u64, response: HostResponse, place: OwnedSemaphorePermit) {
        let debt = self.broker.meter.debt();
        let fuel = debt.saturating_sub(self.known.swap(debt, Ordering::Relaxed));
        // The deadline among them: what the time has cut off is no failure that a guest should see.
        let stop = self.crossed(false).err().and_then(|stop| stop.word()).map(str::to_owned);
        let answer = ToWorker::Answer { id: self.id, ask, fuel, stop, response };
        self.live.send_in_place(&answer, &[], Some(place));
    }
}
