//! One request and its response on a new or reused connection. The response is bounded and scrubbed of the secret.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use toolgate_base::meter::Meter;
use toolgate_base::secret::SecretSpec;
use toolgate_policy::limits::call::HTTP_FIELD_BYTES_MAX;

use super::framing::{OutgoingBody, Unwanted, header_bytes};
use super::lease::Lease;
use super::scrub::{Forms, Scrubber};
use super::wire::WireAccount;
use super::{EgressError, RuleClient};

/// Forms of a rule's secret to search for in responses.
pub(super) struct Scrub {
    values: Arc<Forms>,
    names: Arc<Forms>,
}

impl Scrub {
    pub(super) fn new(secret: &SecretSpec) -> Self {
        let whole = secret.header_value();
        let values = [secret.value.open(), whole.as_str()];
        Self { values: Arc::new(Forms::new(values, false)), names: Arc::new(Forms::new(values, true)) }
    }

    /// Scrubs a complete text; `None` if the secret is not in it.
    pub(super) fn text(&self, text: &[u8]) -> Option<Vec<u8>> {
        Scrubber::new(&self.values).whole(text)
    }
}

/// Reason that there is no response.
pub(super) enum Unanswered {
    /// The server had closed the connection: the request was not processed.
    Unsent,
    /// The request may have been sent, or timed out.
    Failed(EgressError),
}

impl From<EgressError> for Unanswered {
    fn from(failure: EgressError) -> Self {
        Self::Failed(failure)
    }
}

pub(super) struct ResponseWait<'a> {
    pub(super) link: &'a RuleClient,
    pub(super) first_byte_by: Instant,
    pub(super) meter: &'a Meter,
    /// Whether the connection may be reused afterwards.
    pub(super) shares: bool,
}

/// Sends the request and waits for the response's head. The body owns the connection, and releases it at its end.
pub(super) async fn run(
    mut lease: Lease,
    mut request: Request<OutgoingBody>,
    unwanted: &mut Unwanted,
    waiting: &ResponseWait<'_>,
) -> Result<Response<super::ResponseBody>, Unanswered> {
    let account = Arc::clone(&lease.live.account);
    let method = request.method().clone();
    let counting = Arc::clone(&account);
    hyper::ext::on_informational(&mut request, move |_| counting.informational());
    let sending = tokio::time::timeout_at(waiting.first_byte_by, lease.live.sender.try_send_request(request));
    let response = tokio::select! {
        biased;
        failure = unwanted.written() => return Err(failure.into()),
        response = sending => response.map_err(|_| EgressError::Timeout)?,
    };
    let response = response.map_err(|error| match account.failure() {
        Some(failure) => failure.into(),
        None if account.is_stale() || error.message().is_some() => Unanswered::Unsent,
        None => broke(error.error()).into(),
    })?;
    if let Some(failure) = account.failure() {
        return Err(failure.into());
    }
    let (mut parts, body) = response.into_parts();
    // A server that closes an idle connection may send this status first.
    if lease.is_used && parts.status == StatusCode::REQUEST_TIMEOUT {
        return Err(Unanswered::Unsent);
    }
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        // An upgrade was not requested.
        return Err(EgressError::Protocol.into());
    }
    if header_bytes(&parts.headers) > HTTP_FIELD_BYTES_MAX {
        return Err(EgressError::Size.into());
    }
    if let Some(failure) = unwanted.settled().await {
        return Err(failure.into());
    }
    let is_kept = waiting.shares && has_one_end(&method, &parts);
    let scrub = waiting.link.scrub.as_ref();
    let scrubber = scrub.map(|scrub| scrub_head(scrub, &mut parts.headers)).transpose()?;
    let body = Answer {
        inner: body,
        account,
        sleep: Box::pin(tokio::time::sleep_until(waiting.meter.deadline())),
        unwanted: unwanted.take(),
        scrubber,
        ended: false,
        lease: Some(lease),
        is_kept,
    };
    Ok(Response::from_parts(parts, body.boxed_unsync()))
}

/// Error of a failed exchange: that of the request's own body if it has one.
fn broke(error: &hyper::Error) -> EgressError {
    let own = std::error::Error::source(error).and_then(|source| source.downcast_ref::<EgressError>());
    own.copied().unwrap_or(EgressError::Protocol)
}

/// Whether the response's end is unambiguous, so that later bytes are not part of it. A server may send a body where
/// none is allowed, which would arrive later.
fn has_one_end(method: &Method, parts: &Parts) -> bool {
    let values = |name: &HeaderName| parts.headers.get_all(name).iter().count();
    let is_chunked = || {
        parts
            .headers
            .get(TRANSFER_ENCODING)
            .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    };
    let has_body =
        *method != Method::HEAD && !matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let framed = match (values(&CONTENT_LENGTH), values(&TRANSFER_ENCODING)) {
        (1, 0) => true,
        (0, 1) => is_chunked(),
        _ => false,
    };
    parts.version == Version::HTTP_11 && has_body && framed
}

/// Scrubs a head, and returns the scrubber for the body. Refuses a compressed body, which could not be searched.
fn scrub_head(scrub: &Scrub, headers: &mut HeaderMap) -> Result<Scrubber, EgressError> {
    let is_plain = |name: &HeaderName, plain: &str| {
        let mut codings =
            headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
        codings.all(|coding| {
            let coding = coding.trim_ascii();
            coding.is_empty() || coding.eq_ignore_ascii_case(plain.as_bytes())
        })
    };
    const IM: HeaderName = HeaderName::from_static("im");
    if !is_plain(&CONTENT_ENCODING, "identity")
        || !is_plain(&TRANSFER_ENCODING, "chunked")
        || headers.contains_key(IM)
    {
        return Err(EgressError::Coding);
    }
    // Scrubbing may change the length; the body is then delimited by its own end.
    headers.remove(CONTENT_LENGTH);
    // Header names arrive in lower case. One that contains the secret is removed.
    let mut names = Scrubber::new(&scrub.names);
    let telling: Vec<HeaderName> =
        headers.keys().filter(|name| names.whole(name.as_str().as_bytes()).is_some()).cloned().collect();
    for name in telling {
        headers.remove(name);
    }
    let mut scrubber = Scrubber::new(&scrub.values);
    for value in headers.values_mut() {
        if let Some(clean) = scrubber.whole(value.as_bytes()) {
            *value = HeaderValue::from_bytes(&clean).unwrap_or_else(|_| HeaderValue::from_static("[secret]"));
        }
    }
    Ok(scrubber)
}

/// Body of a response: scrubbed, ended with its call, and owner of its connection.
struct Answer {
    inner: Incoming,
    account: Arc<WireAccount>,
    sleep: Pin<Box<Sleep>>,
    unwanted: Unwanted,
    scrubber: Option<Scrubber>,
    ended: bool,
    lease: Option<Lease>,
    is_kept: bool,
}

impl Answer {
    /// Next frame as received. At the end the connection is released; on an error it is closed.
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let frame = if self.sleep.as_mut().poll(cx).is_ready() {
            Some(Err(EgressError::Timeout))
        } else if let Poll::Ready(Some(failure)) = self.unwanted.poll_settled(cx) {
            Some(Err(failure))
        } else {
            let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
            let failed = |_| self.account.failure().unwrap_or(EgressError::Protocol);
            frame.map(|frame| frame.map_err(failed))
        };
        match &frame {
            Some(Ok(_)) => {}
            Some(Err(_)) => drop(self.lease.take()),
            None => self.end(),
        }
        Poll::Ready(frame)
    }

    fn end(&mut self) {
        let lease = self.lease.take().filter(|_| self.is_kept);
        if let Some(lease) = lease {
            lease.give_back();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // With a known length the reader does not poll for the end. A body dropped midway closes its connection.
        if self.inner.is_end_stream() {
            self.end();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
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
                // Trailers would need scrubbing together with buffered bytes; a response with a secret gets none.
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
