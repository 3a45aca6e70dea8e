//! `http` in a worker: an exchange at the server, one part of a body at a time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::{HeaderMap, Request, Response, StatusCode};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio_util::task::AbortOnDropHandle;
use toolgate_net::egress::{EgressError, ResponseBody, Timeouts};
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use toolgate_policy::limits::size;

use crate::protocol::http::{BodyPart, HttpRequest, HttpResponse, RequestHead, ResponseHead};
use crate::protocol::{HostRequest, HostResponse};
use crate::rpc::client::{RemoteHandle, ResponseReceiver, RpcClient};

/// An exchange at the server. Dropped it is closed.
struct RemoteExchange {
    handle: Arc<RemoteHandle>,
    _pump: Option<AbortOnDropHandle<()>>,
}

impl Drop for RemoteExchange {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// Has a request sent by the server.
///
/// # Errors
/// [`EgressError`].
pub(in crate::imports) async fn send_request<B>(
    client: Arc<RpcClient>,
    request: Request<B>,
    timeouts: Timeouts,
) -> Result<Response<ResponseBody>, EgressError>
where
    B: Body<Data = Bytes, Error: Into<EgressError>> + Send + Unpin + 'static,
{
    // The server counts as well; here it ends an honest guest at once.
    client.meter.http_request().map_err(|_| EgressError::Refused)?;
    let (parts, body) = request.into_parts();
    let head = RequestHead {
        method: parts.method.as_str().to_owned(),
        scheme: parts.uri.scheme_str().map(str::to_owned),
        authority: parts.uri.authority().map(|authority| authority.as_str().to_owned()),
        path: parts.uri.path_and_query().map(|path| path.as_str().to_owned()),
        fields: (&parts.headers).into(),
        connect: timeouts.connect,
        first_byte: timeouts.first_byte,
    };
    let empty = body.is_end_stream();
    let request = HostRequest::Http(HttpRequest::Send { head, empty });
    let (handle, response) = client.open(request).await.ok_or(EgressError::Size)?;
    let handle = Arc::new(handle);
    let pump = || AbortOnDropHandle::new(tokio::spawn(pump_request_body(Arc::clone(&handle), body)));
    let pump = (!empty).then(pump);
    let exchange = RemoteExchange { handle, _pump: pump };
    match response.await {
        Ok(HostResponse::Http(Ok(HttpResponse::Head(ResponseHead { status, fields })))) => {
            let body = RemoteBody { exchange, next: None, over: false };
            let mut response = Response::new(body.boxed_unsync());
            *response.status_mut() = StatusCode::from_u16(status).map_err(|_| EgressError::Protocol)?;
            *response.headers_mut() = HeaderMap::try_from(fields).map_err(|_| EgressError::Protocol)?;
            Ok(response)
        }
        Ok(HostResponse::Http(Err(failure))) => Err(failure),
        Ok(_) | Err(_) => Err(EgressError::Protocol),
    }
}

/// Sends the parts of a request's body, each when the one before was taken.
async fn pump_request_body<B>(handle: Arc<RemoteHandle>, mut body: B)
where
    B: Body<Data = Bytes, Error: Into<EgressError>> + Unpin,
{
    let put = |part| handle.ask(HostRequest::Http(HttpRequest::Put(handle.number, part)), None);
    loop {
        let (parts, is_last) = match body.frame().await {
            None => (vec![BodyPart::End], true),
            Some(Err(error)) => (vec![BodyPart::Broken(error.into())], true),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let chunks = data.chunks(size(STREAM_BYTES_MAX));
                    (chunks.map(|chunk| BodyPart::Data(chunk.into())).collect(), false)
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    (vec![BodyPart::Trailers((&trailers).into())], false)
                }
            },
        };
        for part in parts {
            let trailers = matches!(part, BodyPart::Trailers(_));
            let response = match put(part) {
                // No trailers are sent, and these are too long for a message: the request ends all the same.
                None if trailers => put(BodyPart::Broken(EgressError::RequestTrailers)),
                response => response,
            };
            let Some(response) = response else { return };
            if !matches!(response.await, Ok(HostResponse::Http(Ok(HttpResponse::Done)))) {
                return;
            }
        }
        if is_last {
            return;
        }
    }
}

/// The body of a response.
struct RemoteBody {
    exchange: RemoteExchange,
    next: Option<ResponseReceiver>,
    over: bool,
}

impl Body for RemoteBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        if this.next.is_none() {
            let handle = &this.exchange.handle;
            this.next = handle.ask(HostRequest::Http(HttpRequest::Next(handle.number)), None);
        }
        let response = match &mut this.next {
            Some(next) => std::task::ready!(Pin::new(next).poll(cx)).ok(),
            None => None,
        };
        this.next = None;
        let part = match response {
            Some(HostResponse::Http(Ok(HttpResponse::Part(part)))) => part,
            Some(HostResponse::Http(Err(failure))) => BodyPart::Broken(failure),
            Some(_) | None => BodyPart::Broken(EgressError::Protocol),
        };
        let frame = match part {
            BodyPart::Data(data) => Ok(Frame::data(data.into())),
            BodyPart::Trailers(fields) => {
                HeaderMap::try_from(fields).map(Frame::trailers).map_err(|_| EgressError::Protocol)
            }
            BodyPart::End => {
                this.over = true;
                return Poll::Ready(None);
            }
            BodyPart::Broken(failure) => Err(failure),
        };
        this.over = frame.is_err();
        Poll::Ready(Some(frame))
    }
}
