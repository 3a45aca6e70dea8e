//! `http`: wasi:http with our own sender. Each request is normalised, checked against the grant, noted in the record,
//! and only then passed to egress with its pass.

pub(crate) mod exchange;
mod parts;
pub(super) mod remote;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use toolgate_policy::limits::size;

use ::http::{HeaderMap, HeaderName, Request, Response};
use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use toolgate_net::egress::{EgressError, ResponseBody, RuleClient, Timeouts};
use toolgate_policy::capability::attempt::{Attempt, AttemptVerdict};
use toolgate_policy::capability::http::{HttpDeniedError, Pass};
use toolgate_policy::header::ForbiddenHeaderError;
use toolgate_policy::limits::call::{HTTP_FIELD_BYTES_MAX, RECORD_HEADERS_MAX, STREAM_BYTES_MAX};
use toolgate_policy::request::RequestTarget;
use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types};
use wasmtime_wasi_http::p3::bindings::http as p3;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttp, WasiHttpCtx,
    WasiHttpCtxView, WasiHttpHooks,
};

use super::Ctx;
use super::host_calls::{Broker, HostCalls};

/// HTTP state of one call.
pub(crate) struct HttpCtx {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

impl HttpCtx {
    pub(crate) fn new(outside: &HostCalls) -> Self {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(size(HTTP_FIELD_BYTES_MAX));
        Self { ctx, hooks: Hooks(outside.clone()) }
    }
}

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    outgoing_handler::add_to_linker::<Ctx, WasiHttp>(linker, view)?;
    types::add_to_linker::<Ctx, WasiHttp>(linker, &types::LinkOptions::default(), view)?;
    parts::link(linker)
}

pub(super) fn link_p3(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    p3::client::add_to_linker::<Ctx, WasiHttp>(linker, view)?;
    p3::types::add_to_linker::<Ctx, WasiHttp>(linker, view)?;
    parts::link_p3(linker)
}

fn view(ctx: &mut Ctx) -> WasiHttpCtxView<'_> {
    WasiHttpCtxView { hooks: &mut ctx.http.hooks, table: &mut ctx.table, ctx: &mut ctx.http.ctx }
}

/// Sender of requests.
struct Hooks(HostCalls);

type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sending = Box<dyn Future<Output = Result<(Response<WasiBody>, Done), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name))
    }

    fn set_host_header(&mut self) -> bool {
        // Egress sets it from the normalised target that was granted.
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Done,
    ) -> Sending {
        let timeouts =
            options.map(|o| Timeouts { connect: o.connect_timeout, first_byte: o.first_byte_timeout });
        let request = request.map(|body| body.map_err(from_guest));
        let sending = self.0.clone().send_request(request, timeouts.unwrap_or_default());
        Box::new(async move {
            let response = sending.await.map_err(to_guest)?.map(|body| body.map_err(to_guest).boxed_unsync());
            let done: Done = Box::new(async { Ok(()) });
            Ok((response, done))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        size(STREAM_BYTES_MAX)
    }
}

impl Broker {
    /// Sends a request, if it is granted.
    ///
    /// # Errors
    /// [`EgressError`].
    pub(crate) async fn send_request<B>(
        &self,
        request: Request<B>,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, EgressError>
    where
        B: Body<Data = Bytes, Error: Into<EgressError>> + Send + Unpin + 'static,
    {
        self.meter.http_request().map_err(|_| EgressError::Refused)?;
        let pass = self.ask_request(&request)?;
        let link = self.powers.links.get(pass.index()).cloned().ok_or(EgressError::Refused)?;
        self.ask_headers(&pass, &link, request.headers())?;
        let (attempt, host) = (Attempt::Request(pass.target().clone()), host(pass.target()));
        // Noted before it is sent: the call may end meanwhile.
        self.notes.host(&host, AttemptVerdict::Allowed);
        self.notes.attempt(attempt.clone(), AttemptVerdict::Allowed);
        let handed_over = AtomicBool::new(false);
        let hand_over = || handed_over.store(true, Ordering::Relaxed);
        let sent =
            self.powers.egress.send(pass, link, request, timeouts, self.meter.clone(), &hand_over).await;
        match sent {
            // Sent on a pooled connection first, refused only on the retry: the first attempt may have arrived.
            Err(EgressError::Prohibited) if handed_over.into_inner() => {
                self.notes.host(&host, AttemptVerdict::Refused);
                self.notes.attempt(attempt, AttemptVerdict::Refused);
            }
            Err(EgressError::Prohibited) => self.notes.turned_back(attempt, &host),
            Ok(_) | Err(_) => {}
        }
        sent
    }

    /// Checks the header fields of a request, and notes those that are refused.
    fn ask_headers(&self, pass: &Pass, link: &RuleClient, headers: &HeaderMap) -> Result<(), EgressError> {
        let mut forbidden = link.forbidden(pass, headers).peekable();
        if forbidden.peek().is_none() {
            return Ok(());
        }
        self.notes.host(&host(pass.target()), AttemptVerdict::Refused);
        for (name, why) in forbidden.by_ref().take(RECORD_HEADERS_MAX) {
            tracing::debug!(name, %why, "an outbound request was refused for a header");
            let request = pass.target().clone();
            let attempt = match why {
                ForbiddenHeaderError::NotNamed => Attempt::Header { request, name: name.to_owned() },
                ForbiddenHeaderError::Never | ForbiddenHeaderError::Secret => Attempt::NoRequest {
                    text: format!("{} {} with the header {name}", request.method(), request.url()),
                    why: why.to_string(),
                },
            };
            self.notes.attempt(attempt, AttemptVerdict::Refused);
        }
        self.notes.not_listed(forbidden.count());
        Err(EgressError::Header)
    }

    /// Checks a request, and notes it if it is refused.
    fn ask_request<B>(&self, request: &Request<B>) -> Result<Pass, EgressError> {
        let uri = request.uri();
        let scheme = uri.scheme_str().unwrap_or_default();
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let pass = RequestTarget::parse(request.method().as_str(), scheme, authority, path)
            .map_err(Into::into)
            .and_then(|target| self.powers.http.allow(target));
        let refused = match pass {
            Ok(pass) => return Ok(pass),
            Err(refused) => refused,
        };
        tracing::debug!(%refused, "an outbound request was refused");
        self.notes.host(&format!("{scheme}://{authority}"), AttemptVerdict::Refused);
        let text = || format!("{} {scheme}://{authority}{}", request.method(), uri.path());
        let attempt = match refused {
            HttpDeniedError::NotGranted(target) => Attempt::Request(target),
            HttpDeniedError::Malformed(why) => Attempt::NoRequest { text: text(), why: why.to_string() },
        };
        self.notes.attempt(attempt, AttemptVerdict::Refused);
        Err(EgressError::Refused)
    }
}

/// Origin of a request, as in the record.
fn host(target: &RequestTarget) -> String {
    format!("{}://{}:{}", target.scheme(), target.host(), target.port())
}

/// Failure of an exchange, from that of the body that a guest sends.
fn from_guest(error: Error) -> EgressError {
    match error {
        Error::HttpRequestBodySize(_) => EgressError::RequestBody,
        _ => EgressError::Protocol,
    }
}

/// Failure of an exchange as wasi:http names it.
fn to_guest(failure: EgressError) -> Error {
    match failure {
        EgressError::Refused | EgressError::Header => Error::HttpRequestDenied,
        EgressError::RequestBody => Error::HttpRequestBodySize(None),
        EgressError::RequestTrailers => Error::HttpRequestTrailerSectionSize(None),
        EgressError::Coding => Error::HttpResponseContentCoding(None),
        EgressError::Malformed => Error::HttpRequestUriInvalid,
        EgressError::Name => Error::DnsError { rcode: None, info_code: None },
        EgressError::Prohibited => Error::DestinationIpProhibited,
        EgressError::ConnectionRefused => Error::ConnectionRefused,
        EgressError::Unreachable => Error::DestinationUnavailable,
        EgressError::Tls => Error::TlsCertificateError,
        EgressError::ConnectTimeout => Error::ConnectionTimeout,
        EgressError::Timeout => Error::HttpResponseTimeout,
        EgressError::Size => Error::HttpResponseBodySize(None),
        EgressError::Protocol => Error::HttpProtocolError,
    }
}
