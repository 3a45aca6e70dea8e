//! Connections in use. They are driven on separate threads, so that a slow one delays no guest. Their bytes count for
//! the call that they serve.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use toolgate_base::meter::Meter;
use toolgate_policy::address::Host;
use toolgate_policy::limits::call::HTTP_READY_MS;

use super::authorities::Tls;
use super::connect;
use super::framing::OutgoingBody;
use super::idle::Idle;
use super::wire::{Payer, WireAccount};
use super::{EgressError, RuleClient};

/// Open connection.
pub(super) struct Live {
    pub(super) sender: http1::SendRequest<OutgoingBody>,
    pub(super) account: Arc<WireAccount>,
    tls: Tls,
    _task: AbortOnDropHandle<()>,
}

/// Connection in use: closed when dropped, idle again when given back.
pub(super) struct Lease {
    pub(super) live: Live,
    /// Whether it served another request before.
    pub(super) is_used: bool,
    idle: Arc<Idle<Live>>,
    host: Host,
    opened: Instant,
    threads: Handle,
}

pub(super) struct ConnectionSpec<'a> {
    pub(super) link: &'a RuleClient,
    pub(super) host: &'a Host,
    pub(super) tls: &'a Tls,
    pub(super) threads: &'a Handle,
    pub(super) meter: &'a Meter,
}

impl Lease {
    /// Takes an idle connection to this host that is ready for a request.
    pub(super) async fn take(wanted: &ConnectionSpec<'_>) -> Option<Self> {
        let idle = &wanted.link.idle;
        while let Some((mut live, opened)) = idle.take(wanted.host, Instant::now()) {
            if live.tls.as_ref().map(Arc::as_ptr) != wanted.tls.as_ref().map(Arc::as_ptr) {
                // The trusted authorities have changed since.
                continue;
            }
            let ready = tokio::time::timeout(Duration::from_millis(HTTP_READY_MS), live.sender.ready());
            if matches!(ready.await, Ok(Ok(()))) && live.account.serve(wanted.meter) {
                return Some(Self::of(live, wanted, opened, true));
            }
        }
        None
    }

    /// Opens a connection to the first of these addresses that accepts.
    pub(super) async fn open(
        wanted: &ConnectionSpec<'_>,
        addresses: Vec<SocketAddr>,
    ) -> Result<Self, EgressError> {
        let account = WireAccount::new(Payer::Call(wanted.meter.clone()));
        let (host, tls, counted) = (wanted.host.clone(), wanted.tls.clone(), Arc::clone(&account));
        let opening = async move { connect::open(&host, tls, &addresses, &counted).await };
        let opening = AbortOnDropHandle::new(wanted.threads.spawn(opening));
        let (sender, task) = opening.await.map_err(|_| EgressError::Protocol)??;
        let live = Live { sender, account, tls: wanted.tls.clone(), _task: task };
        Ok(Self::of(live, wanted, Instant::now(), false))
    }

    fn of(live: Live, wanted: &ConnectionSpec<'_>, opened: Instant, is_used: bool) -> Self {
        let (idle, host) = (Arc::clone(&wanted.link.idle), wanted.host.clone());
        Self { live, is_used, idle, host, opened, threads: wanted.threads.clone() }
    }

    /// Returns the connection to the idle ones.
    pub(super) fn give_back(self) {
        self.live.account.rest();
        if !self.live.sender.is_closed() {
            self.idle.keep(&self.threads, self.host, self.live, self.opened);
        }
    }
}
