//! `http` for a worker: a request that is sent for it, and its response, one part of a body at a time.

use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::uri::{Authority, Parts, PathAndQuery, Scheme};
use ::http::{Error, HeaderMap, Method, Request, Uri};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;
use toolgate_net::egress::{EgressError, ResponseBody, Timeouts};

use crate::imports::host_calls::Broker;
use crate::protocol::http::{BodyPart, HttpRequest, HttpResponse, RequestHead, ResponseHead};

/// A request and its response.
#[derive(Default)]
pub(crate) struct Exchange {
    /// The worker has closed it.
    pub(crate) closed: CancellationToken,
    /// The parts of the request's body go here, until the last.
    outgoing: Mutex<Option<Sender<OutgoingPart>>>,
    /// The body of the response, once its head is there and until its end.
    incoming: Mutex<Option<ResponseBody>>,
}

/// A part of a request's body; nothing at its end, which must be sent.
type OutgoingPart = Option<Result<Frame<Bytes>, EgressError>>;

impl Broker {
    /// Performs a step of an exchange. Nothing if that is closed before.
    pub(in crate::imports) async fn perform_http(
        &self,
        request: HttpRequest,
        exchange: &Exchange,
    ) -> Option<Result<HttpResponse, EgressError>> {
        let step = async {
            match request {
                HttpRequest::Send { head, empty } => {
                    self.begin_exchange(head, empty, exchange).await.map(HttpResponse::Head)
                }
                HttpRequest::Put(_, part) => exchange.put(part).await,
                HttpRequest::Next(_) => Ok(HttpResponse::Part(exchange.next().await)),
            }
        };
        // First: a request that was closed is not sent although it could be by now.
        tokio::select! {
            biased;
            () = exchange.closed.cancelled() => None,
            done = step => Some(done),
        }
    }

    async fn begin_exchange(
        &self,
        head: RequestHead,
        empty: bool,
        exchange: &Exchange,
    ) -> Result<ResponseHead, EgressError> {
        let timeouts = Timeouts { connect: head.connect, first_byte: head.first_byte };
        let (to, parts) = channel(1);
        let body = OutgoingBody { parts: (!empty).then_some(parts) };
        if !empty {
            *exchange.outgoing.lock().await = Some(to);
        }
        let request = request(head, body).map_err(|_| EgressError::Malformed)?;
        let (head, body) = self.send_request(request, timeouts).await?.into_parts();
        *exchange.incoming.lock().await = Some(body);
        Ok(ResponseHead { status: head.status.as_u16(), fields: (&head.headers).into() })
    }
}

/// A request as it left its guest, if it is one.
fn request(head: RequestHead, body: OutgoingBody) -> Result<Request<OutgoingBody>, Error> {
    let mut parts = Parts::default();
    parts.scheme = head.scheme.map(|scheme| Scheme::try_from(scheme.as_str())).transpose()?;
    parts.authority = head.authority.map(Authority::try_from).transpose()?;
    parts.path_and_query = head.path.map(PathAndQuery::try_from).transpose()?;
    let mut request = Request::new(body);
    *request.method_mut() = Method::try_from(head.method.as_str())?;
    *request.uri_mut() = Uri::from_parts(parts)?;
    *request.headers_mut() = HeaderMap::try_from(head.fields)?;
    Ok(request)
}

impl Exchange {
    /// Passes on a part of the request's body, when the one before was taken.
    async fn put(&self, part: BodyPart) -> Result<HttpResponse, EgressError> {
        let (part, is_last) = match part {
            BodyPart::Data(data) => (Some(Ok(Frame::data(data.into()))), false),
            BodyPart::Trailers(fields) => match HeaderMap::try_from(fields) {
                Ok(trailers) => (Some(Ok(Frame::trailers(trailers))), false),
                Err(_) => (Some(Err(EgressError::Malformed)), true),
            },
            BodyPart::End => (None, true),
            BodyPart::Broken(failure) => (Some(Err(failure)), true),
        };
        let mut outgoing = self.outgoing.lock().await;
        let taken = match outgoing.as_ref() {
            Some(to) => to.send(part).await.is_ok(),
            None => false,
        };
        if is_last || !taken {
            *outgoing = None;
        }
        if taken { Ok(HttpResponse::Done) } else { Err(EgressError::Protocol) }
    }

    /// The next part of the response's body.
    async fn next(&self) -> BodyPart {
        let mut incoming = self.incoming.lock().await;
        let Some(body) = incoming.as_mut() else { return BodyPart::Broken(EgressError::Protocol) };
        let part = match body.frame().await {
            None => BodyPart::End,
            Some(Err(failure)) => BodyPart::Broken(failure),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => return BodyPart::Data(data.as_ref().into()),
                Err(frame) => {
                    return BodyPart::Trailers((&frame.into_trailers().unwrap_or_default()).into());
                }
            },
        };
        // Nothing comes after that. The connection is given back, or closed.
        *incoming = None;
        part
    }
}

/// The body of a request, as its parts arrive.
struct OutgoingBody {
    parts: Option<Receiver<OutgoingPart>>,
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let Some(parts) = &mut self.parts else { return Poll::Ready(None) };
        // One that was closed before its end was sent is broken, and not short.
        let part = std::task::ready!(parts.poll_recv(cx)).unwrap_or(Some(Err(EgressError::Protocol)));
        if !matches!(part, Some(Ok(_))) {
            self.parts = None;
        }
        Poll::Ready(part)
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_none()
    }
}
