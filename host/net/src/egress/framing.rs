//! Framing of a guest's request. Only the host determines where it ends: by its length if declared, else by chunks. A
//! request whose method has no body is sent without one, whatever the guest writes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use toolgate_base::secret::SecretSpec;
use toolgate_policy::capability::http::Pass;
use toolgate_policy::header::changes_answer;
use toolgate_policy::limits::call::HTTP_FIELD_BYTES_MAX;
use toolgate_policy::limits::http::HTTP_EMPTY_BODY_MS;

use super::{EgressError, RuleClient};

pub(super) struct Outbound {
    pub(super) request: Request<OutgoingBody>,
    /// Rest of a body that must stay empty.
    pub(super) unwanted: Unwanted,
    /// Whether it must have ended before sending: if the method has a body, and the guest declared it empty.
    pub(super) waits: bool,
    /// Whether its connection may be shared with other requests. Only without a body: a server that responds without
    /// reading the body would take it for the next request.
    pub(super) shares: bool,
}

pub(super) enum OutgoingBody {
    Nothing,
    /// Body of declared length: no excess byte is sent, and the last ones only after the guest has ended it.
    Known(SizedBody),
    Unknown(GuestBody),
}

pub(super) struct SizedBody {
    body: GuestBody,
    left: u64,
    last: Bytes,
}

type GuestBody = UnsyncBoxBody<Bytes, EgressError>;

/// Body that is not sent. Any byte written to it is an error.
pub(super) struct Unwanted(Option<GuestBody>);

/// Builds the request to send: the granted path and authority, the secret, and a body that ends at its declared length.
/// Refuses a length that is invalid or not the body's.
pub(super) fn frame<B>(pass: &Pass, link: &RuleClient, request: Request<B>) -> Result<Outbound, EgressError>
where
    B: Body<Data = Bytes, Error: Into<EgressError>> + Send + 'static,
{
    let target = pass.target();
    let (mut parts, body) = request.into_parts();
    parts.uri = target.path_and_query().parse::<Uri>().map_err(|_| EgressError::Malformed)?;
    let host = HeaderValue::from_str(&target.authority()).map_err(|_| EgressError::Malformed)?;
    parts.headers.insert(HOST, host);
    if let Some(secret) = &link.secret {
        put_secret(secret, &mut parts.headers)?;
    }
    let announced = take_length(&mut parts.headers)?;
    let has_none = matches!(parts.method, Method::GET | Method::HEAD | Method::TRACE | Method::CONNECT);
    let is_empty = body.is_end_stream();
    if announced.is_some_and(|length| length > 0) && (has_none || is_empty) {
        return Err(EgressError::RequestBody);
    }
    let mut rest = None;
    let body = if is_empty {
        OutgoingBody::Nothing
    } else {
        let body = body.map_err(Into::into).boxed_unsync();
        match announced {
            None if !has_none => OutgoingBody::Unknown(body),
            Some(left) if left > 0 => OutgoingBody::Known(SizedBody { body, left, last: Bytes::new() }),
            None | Some(_) => {
                rest = Some(body);
                OutgoingBody::Nothing
            }
        }
    };
    let sends_nothing = matches!(body, OutgoingBody::Nothing);
    let shares = sends_nothing && matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if sends_nothing && !shares && parts.method != Method::DELETE {
        // RFC 9110, section 8.6: servers expect a length for these methods.
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if !shares {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    check_size(&parts)?;
    let waits = rest.is_some() && !has_none;
    Ok(Outbound { request: Request::from_parts(parts, body), unwanted: Unwanted(rest), waits, shares })
}

impl Outbound {
    /// Copies a request that shares connections and therefore has no body.
    pub(super) fn again(&self) -> Request<OutgoingBody> {
        let mut request = Request::new(OutgoingBody::Nothing);
        self.request.method().clone_into(request.method_mut());
        self.request.uri().clone_into(request.uri_mut());
        self.request.headers().clone_into(request.headers_mut());
        request
    }
}

fn put_secret(secret: &SecretSpec, headers: &mut HeaderMap) -> Result<(), EgressError> {
    // The response must be uncompressed and complete, so that it can be scrubbed.
    if changes_answer(&secret.header) {
        return Err(EgressError::Malformed);
    }
    let changed: Vec<HeaderName> =
        headers.keys().filter(|name| changes_answer(name.as_str())).cloned().collect();
    for name in changed {
        headers.remove(name);
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let name = HeaderName::from_bytes(secret.header.as_bytes()).map_err(|_| EgressError::Malformed)?;
    let mut value = HeaderValue::from_str(&secret.header_value()).map_err(|_| EgressError::Malformed)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// Removes and parses the guest's `Content-Length`: at most one number.
fn take_length(headers: &mut HeaderMap) -> Result<Option<u64>, EgressError> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let (first, second) = (values.next(), values.next());
    let length = match (first, second) {
        (None, _) => return Ok(None),
        (Some(_), Some(_)) => return Err(EgressError::RequestBody),
        (Some(value), None) => value.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit())),
    };
    let length = length.and_then(|text| text.parse().ok()).ok_or(EgressError::RequestBody)?;
    headers.remove(CONTENT_LENGTH);
    Ok(Some(length))
}

fn check_size(parts: &Parts) -> Result<(), EgressError> {
    let uri = parts.uri.path_and_query().map_or(0, |path| path.as_str().len() as u64);
    if header_bytes(&parts.headers) + uri > HTTP_FIELD_BYTES_MAX {
        return Err(EgressError::Size);
    }
    Ok(())
}

pub(super) fn header_bytes(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64).sum()
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        match &mut *self {
            Self::Nothing => Poll::Ready(None),
            Self::Unknown(body) => {
                let data = std::task::ready!(poll_data(body, cx));
                Poll::Ready(data.map(|data| data.map(Frame::data)))
            }
            Self::Known(known) => {
                let frame = std::task::ready!(known.poll(cx));
                if !matches!(frame, Some(Ok(_))) || known.left == 0 {
                    *self = Self::Nothing;
                }
                Poll::Ready(frame.map(|data| data.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Known(known) => SizeHint::with_exact(known.left + known.last.len() as u64),
            Self::Unknown(_) => SizeHint::default(),
        }
    }
}

impl SizedBody {
    /// Next bytes; the last ones only once the body has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, EgressError>>> {
        loop {
            match std::task::ready!(poll_data(&mut self.body, cx)) {
                Some(Err(failure)) => return Poll::Ready(Some(Err(failure))),
                Some(Ok(data)) => match self.left.checked_sub(data.len() as u64) {
                    None => return Poll::Ready(Some(Err(EgressError::RequestBody))),
                    Some(0) => (self.left, self.last) = (0, data),
                    Some(left) => {
                        self.left = left;
                        return Poll::Ready(Some(Ok(data)));
                    }
                },
                None if self.left > 0 => return Poll::Ready(Some(Err(EgressError::RequestBody))),
                None => return Poll::Ready(Some(Ok(std::mem::take(&mut self.last)))),
            }
        }
    }
}

/// Next non-empty bytes of a body. Trailers are refused: a server may merge them into the headers.
fn poll_data(body: &mut GuestBody, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, EgressError>>> {
    loop {
        let Some(frame) = std::task::ready!(Pin::new(&mut *body).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) if data.is_empty() => {}
            Ok(Ok(data)) => return Poll::Ready(Some(Ok(data))),
            Ok(Err(frame)) if frame.trailers_ref().is_none_or(HeaderMap::is_empty) => {}
            Ok(Err(_)) => return Poll::Ready(Some(Err(EgressError::RequestTrailers))),
            Err(failure) => return Poll::Ready(Some(Err(failure))),
        }
    }
}

impl Unwanted {
    /// Waits until the body has ended, empty. An error if bytes were written to it, or it was aborted.
    pub(super) async fn ended(&mut self) -> Result<(), EgressError> {
        let Some(mut body) = self.0.take() else { return Ok(()) };
        match std::future::poll_fn(|cx| poll_data(&mut body, cx)).await {
            None => Ok(()),
            Some(Ok(_)) => Err(EgressError::RequestBody),
            Some(Err(failure)) => Err(failure),
        }
    }

    /// Waits until bytes are written to the body.
    pub(super) async fn written(&mut self) -> EgressError {
        std::future::poll_fn(|cx| match self.poll_settled(cx) {
            Poll::Ready(Some(failure)) => Poll::Ready(failure),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Waits until bytes are written to the body or it ends, for a bounded time.
    pub(super) async fn settled(&mut self) -> Option<EgressError> {
        let soon = Duration::from_millis(HTTP_EMPTY_BODY_MS);
        let settled = std::future::poll_fn(|cx| self.poll_settled(cx));
        tokio::time::timeout(soon, settled).await.ok().flatten()
    }

    /// Ready once bytes were written to the body (an error) or it has ended. An aborted empty body counts as ended.
    pub(super) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<Option<EgressError>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let written = std::task::ready!(poll_data(body, cx));
        self.0 = None;
        Poll::Ready(match written {
            Some(Ok(_) | Err(EgressError::RequestTrailers)) => Some(EgressError::RequestBody),
            Some(Err(_)) | None => None,
        })
    }

    /// Moves it out, to be polled elsewhere.
    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }
}
