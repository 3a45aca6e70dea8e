//! Connections in use. They are driven on separate threads, so that a slow one delays no guest. Their bytes count for
//! the call that they serve.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use toolgate_policy::limits::size;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use toolgate_base::meter::Meter;
use toolgate_policy::address::Host;
use toolgate_policy::limits::call::{HTTP_FIELD_BYTES_MAX, HTTP_READY_MS};
use toolgate_policy::limits::wire::HEADERS_MAX;

use super::authorities::Tls;
use super::connect;
use super::framing::OutgoingBody;
use super::idle::Idle;
use super::wire::WireAccount;
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

/// Parameters of a connection.
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
            if !is_same(&live.tls, wanted.tls) {
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
        let account = WireAccount::of_call(wanted.meter);
        let (host, tls, counted) = (wanted.host.clone(), wanted.tls.clone(), Arc::clone(&account));
        let opening = async move {
            let stream = connect::connect(&host, tls, &addresses, &counted).await?;
            #[expect(clippy::disallowed_methods, reason = "each request comes with its pass")]
            let mut builder = http1::Builder::new();
            builder.max_buf_size(size(HTTP_FIELD_BYTES_MAX) * 2).max_headers(HEADERS_MAX);
            let (sender, connection) =
                builder.handshake(TokioIo::new(stream)).await.map_err(|_| EgressError::Protocol)?;
            let task = AbortOnDropHandle::new(tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "an outbound connection ended");
                }
            }));
            Ok::<_, EgressError>((sender, task))
        };
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

fn is_same(one: &Tls, other: &Tls) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}
