//! A request of the host's own, on a separate connection. The permit determines the target and whether credentials are
//! sent; time and bytes are bounded here, and nothing is decompressed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use toolgate_base::secret::Secret;
use toolgate_policy::limits::http::FETCH_HEAD_BYTES_MAX;
use toolgate_policy::limits::load::{FETCH_BYTES_PER_S_MIN, FETCH_PATIENCE_MS};
use toolgate_policy::load::fetch::FetchPermit;

use super::wire::{Payer, WireAccount};
use super::{Egress, EgressError, RuleClientError, connect};

/// Progress callback: bytes so far, and the total if known.
pub(crate) type ByteProgress = Arc<dyn Fn(u64, Option<u64>) + Send + Sync>;

#[derive(Clone, Default)]
pub(crate) struct RequestParts<'a> {
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// Full value of `Authorization`.
    pub(crate) authorization: Option<&'a Secret>,
    pub(crate) body: Option<Bytes>,
}

#[derive(Clone)]
pub(crate) struct Terms {
    /// File of certificate authorities, instead of the system's.
    pub(crate) ca: Option<String>,
    /// Deadline of the whole fetch.
    pub(crate) by: Instant,
    pub(crate) progress: ByteProgress,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error(transparent)]
    Failure(#[from] EgressError),
    /// TLS could not be set up.
    #[error(transparent)]
    Link(#[from] RuleClientError),
}

/// Response whose body has not been read.
pub(crate) struct FetchResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    account: Arc<WireAccount>,
    terms: Terms,
    /// Task that drives the connection while the body is read.
    _task: AbortOnDropHandle<()>,
}

impl Egress {
    /// Sends a request of the host's own. Refused if there are credentials and the permit denies them.
    pub(crate) async fn run(
        &self,
        permit: &FetchPermit,
        request_parts: &RequestParts<'_>,
        terms: &Terms,
    ) -> Result<FetchResponse, RequestError> {
        if request_parts.authorization.is_some() && !permit.takes_credentials() {
            return Err(EgressError::Refused.into());
        }
        let mut request = written(permit, request_parts, &terms.progress)?;
        let tls = self.roots.trust(permit.target().scheme(), terms.ca.as_deref())?.config().await?;
        let body_bytes = request_parts.body.as_ref().map_or(0, |body| body.len() as u64);
        let account = WireAccount::new(Payer::Host(moved(body_bytes)));
        let counting = Arc::clone(&account);
        hyper::ext::on_informational(&mut request, move |_| counting.informational());
        let patience = Duration::from_millis(FETCH_PATIENCE_MS);
        let connecting = async {
            let target = permit.target();
            let found = self.resolver.resolve(target.host(), permit.reach()).await;
            let found = found.map_err(|error| error.failure())?.into_iter();
            let addresses: Vec<_> = found.map(|ip| SocketAddr::new(ip, target.port())).collect();
            connect::open(target.host(), tls, &addresses, &account).await
        };
        let soon = terms.by.min(Instant::now() + patience);
        let (mut sender, task) =
            tokio::time::timeout_at(soon, connecting).await.map_err(|_| EgressError::ConnectTimeout)??;
        // A large body takes time to send; after that the response must arrive soon.
        let slack = Duration::from_secs(body_bytes / FETCH_BYTES_PER_S_MIN);
        let soon = terms.by.min(Instant::now() + patience + slack);
        let response = tokio::time::timeout_at(soon, sender.send_request(request)).await;
        let response = response.map_err(|_| EgressError::Timeout)?;
        let response = response.map_err(|_| account.failure().unwrap_or(EgressError::Protocol))?;
        if let Some(failure) = account.failure() {
            return Err(failure.into());
        }
        let (parts, body) = response.into_parts();
        let (status, headers) = (parts.status, parts.headers);
        Ok(FetchResponse { status, headers, body, account, terms: terms.clone(), _task: task })
    }
}

impl FetchResponse {
    /// Reads the body, at most `bytes_max` bytes, at no less than a minimum rate. Fails as soon as more bytes are
    /// announced or received.
    pub(crate) async fn read(mut self, bytes_max: u64) -> Result<Vec<u8>, EgressError> {
        let announced = self.headers.get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > bytes_max) {
            return Err(EgressError::Size);
        }
        self.account.allow_host(moved(bytes_max));
        let patience = Duration::from_millis(FETCH_PATIENCE_MS);
        let begun = Instant::now();
        let mut bytes = Vec::new();
        loop {
            let earned = Duration::from_secs(bytes.len() as u64 / FETCH_BYTES_PER_S_MIN);
            let soon = self.terms.by.min(begun + patience + earned);
            let frame =
                tokio::time::timeout_at(soon, self.body.frame()).await.map_err(|_| EgressError::Timeout)?;
            let Some(frame) = frame else { return Ok(bytes) };
            let frame = frame.map_err(|_| self.account.failure().unwrap_or(EgressError::Protocol))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() as u64 + data.len() as u64 > bytes_max {
                return Err(EgressError::Size);
            }
            bytes.extend_from_slice(&data);
            (self.terms.progress)(bytes.len() as u64, announced);
        }
    }
}

/// Bytes that a connection may move for a body: twice its length to allow for framing, and a fixed amount for heads.
fn moved(body_bytes: u64) -> u64 {
    body_bytes.saturating_mul(2).saturating_add(FETCH_HEAD_BYTES_MAX)
}

type Leaving = UnsyncBoxBody<Bytes, Infallible>;

fn written(
    permit: &FetchPermit,
    request_parts: &RequestParts<'_>,
    progress: &ByteProgress,
) -> Result<Request<Leaving>, EgressError> {
    let target = permit.target();
    let text = |text: &str| HeaderValue::from_str(text).map_err(|_| EgressError::Malformed);
    let mut request = Request::builder().method(target.method()).uri(target.path_and_query());
    request = request.header(HOST, text(&target.authority())?).header(ACCEPT_ENCODING, "identity");
    request = request.header(USER_AGENT, concat!("toolgate/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &request_parts.headers {
        request = request.header(name, text(value)?);
    }
    if let Some(secret) = request_parts.authorization {
        let mut value = text(secret.open())?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    let body = request_parts.body.clone().unwrap_or_default();
    if request_parts.body.is_some() {
        request = request.header(CONTENT_LENGTH, body.len());
    }
    request.body(leaving(body, Arc::clone(progress))).map_err(|_| EgressError::Malformed)
}

/// Body that reports how much of it has been sent.
fn leaving(body: Bytes, progress: ByteProgress) -> Leaving {
    const PIECE_BYTES: usize = 256 * 1024;
    let total = body.len();
    let pieces = (0..total).step_by(PIECE_BYTES).map(move |at| {
        let end = total.min(at + PIECE_BYTES);
        progress(end as u64, Some(total as u64));
        Ok(Frame::data(body.slice(at..end)))
    });
    StreamBody::new(futures::stream::iter(pieces)).boxed_unsync()
}
