//! One request and its response on a connection, new or kept: the secret goes in here and is scrubbed from what comes back;
//! headers and bodies are counted both ways.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, RANGE};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep};
use tokio_util::task::AbortOnDropHandle;
use toolgate_policy::address::Host;
use toolgate_policy::capability::http::Pass;
use toolgate_policy::limits::call::{HTTP_FIELD_BYTES_MAX, HTTP_READY_MS};
use toolgate_policy::limits::wire::HEADERS_MAX;

use super::connect::Stream;
use super::idle::Idle;
use super::scrub::Scrubber;
use super::{Failure, Link};
use crate::meter::Meter;
use crate::secret::SecretSpec;

/// Brings a guest's request into the form that is sent: the granted path and authority, the secret, counted.
pub(super) fn prepare<B>(
    pass: &Pass,
    link: &Link,
    request: Request<B>,
    meter: &Meter,
) -> Result<Request<Leaving>, Failure>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    let target = pass.target();
    let (mut parts, body) = request.into_parts();
    parts.uri = target.path_and_query().parse::<Uri>().map_err(|_| Failure::Malformed)?;
    let host = HeaderValue::from_str(&target.authority()).map_err(|_| Failure::Malformed)?;
    parts.headers.insert(HOST, host);
    if let Some(secret) = &link.secret {
        put_secret(secret, &mut parts.headers)?;
    }
    let head = header_bytes(&parts.headers) + parts.uri.path().len() as u64;
    if head > HTTP_FIELD_BYTES_MAX {
        return Err(Failure::Size);
    }
    meter.http_bytes(head).map_err(|_| Failure::Refused)?;
    let body = Counted {
        inner: body,
        meter: meter.clone(),
        sleep: Box::pin(tokio::time::sleep_until(meter.deadline())),
    };
    Ok(Request::from_parts(parts, body.boxed_unsync()))
}

fn put_secret(secret: &SecretSpec, headers: &mut HeaderMap) -> Result<(), Failure> {
    let name = HeaderName::from_bytes(secret.header.as_bytes()).map_err(|_| Failure::Malformed)?;
    if headers.contains_key(&name) {
        // A guest that sets it itself could find out what becomes of it.
        return Err(Failure::Refused);
    }
    let mut value = HeaderValue::from_str(&secret.header_value()).map_err(|_| Failure::Malformed)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    // What comes back must be readable to be scrubbed, and whole.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.remove(RANGE);
    Ok(())
}

/// The body of a request.
pub(super) type Leaving = UnsyncBoxBody<Bytes, Failure>;

/// An open connection.
pub(super) struct Live {
    sender: http1::SendRequest<Leaving>,
    _task: AbortOnDropHandle<()>,
}

/// A connection in use. Dropped it is closed; given back it waits for the next request.
pub(super) struct Lease {
    live: Live,
    idle: Arc<Idle<Live>>,
    host: Host,
    opened: std::time::Instant,
}

impl Lease {
    /// A connection that waited for a request to `host` and is ready for one.
    pub(super) async fn take(idle: &Arc<Idle<Live>>, host: &Host) -> Option<Self> {
        while let Some((mut live, opened)) = idle.take(host, std::time::Instant::now()) {
            let ready = tokio::time::timeout(Duration::from_millis(HTTP_READY_MS), live.sender.ready());
            if let Ok(Ok(())) = ready.await {
                return Some(Self { live, idle: Arc::clone(idle), host: host.clone(), opened });
            }
        }
        None
    }

    /// A new one.
    pub(super) async fn open(
        idle: &Arc<Idle<Live>>,
        host: &Host,
        stream: Pin<Box<dyn Stream>>,
    ) -> Result<Self, Failure> {
        #[expect(clippy::disallowed_methods, reason = "each request comes with its pass")]
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HTTP_FIELD_BYTES_MAX as usize * 2).max_headers(HEADERS_MAX);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Protocol)?;
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an outbound connection ended");
            }
        }));
        let live = Live { sender, _task: task };
        Ok(Self { live, idle: Arc::clone(idle), host: host.clone(), opened: std::time::Instant::now() })
    }

    fn give_back(self) {
        if !self.live.sender.is_closed() {
            self.idle.keep(self.host, self.live, self.opened);
        }
    }
}

/// Why there is no response.
pub(super) enum Unanswered {
    /// Nothing of the request was written; here it is again.
    Unsent(Box<Request<Leaving>>),
    /// It was, or its time is over.
    Failed(Failure),
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Sends the request and waits for the response's head. The body keeps the connection, and gives it back at its end.
pub(super) async fn run(
    mut lease: Lease,
    request: Request<Leaving>,
    link: &Arc<Link>,
    first_byte_by: Instant,
    meter: &Meter,
) -> Result<Response<super::Arriving>, Unanswered> {
    let sending = lease.live.sender.try_send_request(request);
    let response = match tokio::time::timeout_at(first_byte_by, sending).await {
        Ok(Ok(response)) => response,
        Ok(Err(mut error)) => {
            return Err(match error.take_message() {
                Some(request) => Unanswered::Unsent(Box::new(request)),
                None => broke(error.error()).into(),
            });
        }
        Err(_) => return Err(Failure::Timeout.into()),
    };
    let (mut parts, body) = response.into_parts();
    let head = header_bytes(&parts.headers);
    if head > HTTP_FIELD_BYTES_MAX {
        return Err(Failure::Size.into());
    }
    meter.http_bytes(head).map_err(|_| Failure::Size)?;
    let scrubber = link.secret.as_ref().map(|secret| {
        let scrubber = Scrubber::new(&[secret.value.open(), &secret.header_value()]);
        scrub_headers(&scrubber, &mut parts.headers);
        scrubber
    });
    let body = Counted {
        inner: body,
        meter: meter.clone(),
        sleep: Box::pin(tokio::time::sleep_until(meter.deadline())),
    };
    // A connection that speaks something else from here on is no good for another request.
    let lease = (parts.status != StatusCode::SWITCHING_PROTOCOLS).then_some(lease);
    let body = Scrubbed { inner: body, scrubber, ended: false, lease };
    Ok(Response::from_parts(parts, body.boxed_unsync()))
}

/// What hyper says of a broken exchange: the request's own body may have met a limit.
fn broke(error: &hyper::Error) -> Failure {
    let own = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Failure>());
    own.copied().unwrap_or(Failure::Protocol)
}

fn scrub_headers(scrubber: &Scrubber, headers: &mut HeaderMap) {
    // Its length may change on the way; the body's end is told by the body.
    headers.remove(CONTENT_LENGTH);
    // Names come in lower case, whatever the server wrote; one that tells the secret is left out.
    let telling: Vec<HeaderName> =
        headers.keys().filter(|name| scrubber.is_in(name.as_str())).cloned().collect();
    for name in telling {
        headers.remove(name);
    }
    for value in headers.values_mut() {
        let clean = scrubber.whole(value.as_bytes());
        if clean != value.as_bytes() {
            *value = HeaderValue::from_bytes(&clean).unwrap_or_else(|_| HeaderValue::from_static("[secret]"));
        }
    }
}

fn header_bytes(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64).sum()
}

/// A body that counts on the call it belongs to, and ends with it.
pub(super) struct Counted<B> {
    inner: B,
    meter: Meter,
    sleep: Pin<Box<Sleep>>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if self.sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Failure::Timeout)));
        }
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(|_| Failure::Protocol)?;
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.meter.http_bytes(bytes).map_err(|_| Failure::Size)?;
            Ok(frame)
        }))
    }
}

/// A response's body: scrubbed, and holding on to its connection.
struct Scrubbed {
    inner: Counted<Incoming>,
    scrubber: Option<Scrubber>,
    ended: bool,
    lease: Option<Lease>,
}

impl Scrubbed {
    /// The next frame as it came. At the end the connection is given back; at an error it is closed.
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => {}
            Some(Err(_)) => drop(self.lease.take()),
            None => self.end(),
        }
        Poll::Ready(frame)
    }

    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Drop for Scrubbed {
    fn drop(&mut self) {
        // Whoever knows the length does not look for the end; a body that is left midway closes its connection.
        if self.inner.inner.is_end_stream() {
            self.end();
        }
    }
}

impl Body for Scrubbed {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            let frame = std::task::ready!(this.poll_inner(cx));
            let Some(scrubber) = &mut this.scrubber else { return Poll::Ready(frame) };
            match frame {
                None => {
                    this.ended = true;
                    let rest = scrubber.finish();
                    return Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                // Trailers would have to be scrubbed with what is held; a response with a secret has none.
                Some(Ok(frame)) => {
                    let clean = frame.into_data().map(|data| scrubber.push(&data)).unwrap_or_default();
                    if !clean.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(clean))));
                    }
                }
            }
        }
    }
}
