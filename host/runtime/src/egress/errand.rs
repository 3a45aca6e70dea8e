//! One request of the host's own and its answer, on a connection of its own. The errand says where it may go and whether
//! credentials may go with it; here its time and every byte are bounded, and nothing is unpacked.

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
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use toolgate_policy::limits::call::HTTP_FIELD_BYTES_MAX;
use toolgate_policy::limits::load::{FETCH_BYTES_PER_S_MIN, FETCH_PATIENCE_MS};
use toolgate_policy::limits::wire::HEADERS_MAX;
use toolgate_policy::load::errand::Errand;
use toolgate_policy::request::Scheme;

use super::{Egress, Failure, NoLink, connect};
use crate::secret::Secret;

/// Told how many bytes have passed, and of how many if that is known.
pub(crate) type Progress = Arc<dyn Fn(u64, Option<u64>) + Send + Sync>;

/// What is sent.
#[derive(Default)]
pub(crate) struct Parcel<'a> {
    /// Further headers.
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// The whole value of `Authorization`.
    pub(crate) authorization: Option<&'a Secret>,
    /// The body.
    pub(crate) body: Option<Bytes>,
}

/// Whom an errand trusts, when it must have ended, and who is told how far it is.
#[derive(Clone)]
pub(crate) struct Terms {
    /// The file of certificate authorities, where those of the system are not meant.
    pub(crate) ca: Option<String>,
    /// When everything must have ended.
    pub(crate) by: Instant,
    /// Who is told.
    pub(crate) progress: Progress,
}

/// Why an errand came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undone {
    /// On its way.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// Before it.
    #[error(transparent)]
    Link(#[from] NoLink),
}

/// An answer whose body has not been read.
pub(crate) struct Arriving {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    body: Incoming,
    terms: Terms,
    /// The connection, as long as the body is read.
    _task: AbortOnDropHandle<()>,
}

impl Egress {
    /// Sends a request of the host's own.
    ///
    /// # Errors
    /// [`Undone`]; it is refused when credentials are to go where the errand takes none.
    pub(crate) async fn run(
        &self,
        errand: &Errand,
        parcel: &Parcel<'_>,
        terms: &Terms,
    ) -> Result<Arriving, Undone> {
        if parcel.authorization.is_some() && !errand.takes_credentials() {
            return Err(Failure::Refused.into());
        }
        let request = written(errand, parcel, &terms.progress)?;
        let trust = match errand.target().scheme() {
            Scheme::Http => connect::Trust::Plain,
            Scheme::Https => self.roots.tls(terms.ca.as_deref())?,
        };
        let patience = Duration::from_millis(FETCH_PATIENCE_MS);
        let connecting = async {
            let target = errand.target();
            let found = self.resolver.resolve(target.host(), errand.reach()).await;
            let found = found.map_err(|error| error.failure())?.into_iter();
            let addresses: Vec<_> = found.map(|ip| SocketAddr::new(ip, target.port())).collect();
            let stream = connect::connect(target.host(), &trust, &addresses).await?;
            #[expect(clippy::disallowed_methods, reason = "what is sent is the errand that was permitted")]
            let mut builder = http1::Builder::new();
            builder.max_buf_size(HTTP_FIELD_BYTES_MAX as usize * 2).max_headers(HEADERS_MAX);
            builder.handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Protocol)
        };
        let soon = terms.by.min(Instant::now() + patience);
        let (mut sender, connection) =
            tokio::time::timeout_at(soon, connecting).await.map_err(|_| Failure::ConnectTimeout)??;
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection of the host's own ended");
            }
        }));
        // A large body takes its time to be sent; then the answer has to come soon.
        let slack = Duration::from_secs(
            parcel.body.as_ref().map_or(0, |body| body.len() as u64) / FETCH_BYTES_PER_S_MIN,
        );
        let soon = terms.by.min(Instant::now() + patience + slack);
        let response = tokio::time::timeout_at(soon, sender.send_request(request)).await;
        let response = response.map_err(|_| Failure::Timeout)?.map_err(|_| Failure::Protocol)?;
        let (parts, body) = response.into_parts();
        let (status, headers) = (parts.status, parts.headers);
        Ok(Arriving { status, headers, body, terms: terms.clone(), _task: task })
    }
}

impl Arriving {
    /// Reads the body, at most `bytes_max` bytes of it, and no slower than is bearable.
    ///
    /// # Errors
    /// [`Failure::Size`] as soon as there is one byte too many or that many are announced.
    pub(crate) async fn read(mut self, bytes_max: u64) -> Result<Vec<u8>, Failure> {
        let announced = self.headers.get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > bytes_max) {
            return Err(Failure::Size);
        }
        let patience = Duration::from_millis(FETCH_PATIENCE_MS);
        let begun = Instant::now();
        let mut bytes = Vec::new();
        loop {
            let earned = Duration::from_secs(bytes.len() as u64 / FETCH_BYTES_PER_S_MIN);
            let soon = self.terms.by.min(begun + patience + earned);
            let frame =
                tokio::time::timeout_at(soon, self.body.frame()).await.map_err(|_| Failure::Timeout)?;
            let Some(frame) = frame else { return Ok(bytes) };
            let Ok(data) = frame.map_err(|_| Failure::Protocol)?.into_data() else { continue };
            if bytes.len() as u64 + data.len() as u64 > bytes_max {
                return Err(Failure::Size);
            }
            bytes.extend_from_slice(&data);
            (self.terms.progress)(bytes.len() as u64, announced);
        }
    }
}

type Leaving = UnsyncBoxBody<Bytes, Infallible>;

fn written(errand: &Errand, parcel: &Parcel<'_>, progress: &Progress) -> Result<Request<Leaving>, Failure> {
    let target = errand.target();
    let text = |text: &str| HeaderValue::from_str(text).map_err(|_| Failure::Malformed);
    let mut request = Request::builder().method(target.method()).uri(target.path_and_query());
    request = request.header(HOST, text(&target.authority())?).header(ACCEPT_ENCODING, "identity");
    request = request.header(USER_AGENT, concat!("toolgate/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &parcel.headers {
        request = request.header(name, text(value)?);
    }
    if let Some(secret) = parcel.authorization {
        let mut value = text(secret.open())?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    let body = parcel.body.clone().unwrap_or_default();
    if parcel.body.is_some() {
        request = request.header(CONTENT_LENGTH, body.len());
    }
    request.body(leaving(body, Arc::clone(progress))).map_err(|_| Failure::Malformed)
}

/// A body that tells how much of it has left.
fn leaving(body: Bytes, progress: Progress) -> Leaving {
    const PIECE_BYTES: usize = 256 * 1024;
    let total = body.len();
    let pieces = (0..total).step_by(PIECE_BYTES).map(move |at| {
        let end = total.min(at + PIECE_BYTES);
        progress(end as u64, Some(total as u64));
        Ok(Frame::data(body.slice(at..end)))
    });
    StreamBody::new(futures::stream::iter(pieces)).boxed_unsync()
}
