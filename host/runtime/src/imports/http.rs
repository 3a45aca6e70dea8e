//! `http`: wasi:http, with a sender of our own behind it. Each request is brought into normal form, asked for, noted in the
//! record and only then handed to egress with its pass.

mod parts;

use std::sync::Arc;

use ::http::{HeaderName, Request, Response};
use http_body_util::BodyExt as _;
use toolgate_policy::capability::attempt::{Attempt, Judged};
use toolgate_policy::capability::http::{Grant, Refused};
use toolgate_policy::limits::call::{HTTP_FIELD_BYTES_MAX, STREAM_BYTES_MAX};
use toolgate_policy::request::Target;
use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types};
use wasmtime_wasi_http::p3::bindings::http as p3;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttp, WasiHttpCtx,
    WasiHttpCtxView, WasiHttpHooks,
};

use super::Ctx;
use crate::audit::record::Notes;
use crate::egress::{Failure, Link, Timeouts};
use crate::meter::Meter;

/// How this plugin's requests leave, made once a plugin.
pub(crate) struct Prototype {
    /// One link for each rule of the grant: its certificates, its secret.
    pub(crate) links: Vec<Arc<Link>>,
}

/// What one call holds.
pub(crate) struct State {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

impl State {
    pub(crate) fn new(prototype: &Arc<super::Prototype>, meter: &Meter, notes: &Notes) -> Self {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(HTTP_FIELD_BYTES_MAX as usize);
        let hooks = Hooks { prototype: Arc::clone(prototype), meter: meter.clone(), notes: notes.clone() };
        Self { ctx, hooks }
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

struct Hooks {
    prototype: Arc<super::Prototype>,
    meter: Meter,
    notes: Notes,
}

impl Hooks {
    fn grant(&self) -> &Grant {
        &self.prototype.effective.http
    }
}

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
        // Egress sets it, from the normal form of what was granted.
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Done,
    ) -> Sending {
        let refuse = |error: Error| -> Sending { Box::new(async move { Err(error) }) };
        if self.meter.http_request().is_err() {
            return refuse(Error::HttpRequestDenied);
        }
        let uri = request.uri();
        let scheme = uri.scheme_str().unwrap_or_default();
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let pass = Target::parse(request.method().as_str(), scheme, authority, path)
            .map_err(Into::into)
            .and_then(|target| self.grant().allow(target));
        let pass = match pass {
            Ok(pass) => pass,
            Err(refused) => {
                self.notes.host(&format!("refused: {scheme}://{authority}"));
                let text = || format!("{} {scheme}://{authority}{}", request.method(), uri.path());
                let attempt = match &refused {
                    Refused::NotGranted(target) => Attempt::Request(target.clone()),
                    Refused::Malformed(why) => Attempt::NoRequest { text: text(), why: why.to_string() },
                };
                self.notes.attempt(attempt, Judged::Refused);
                tracing::debug!(%refused, "an outbound request was refused");
                return refuse(Error::HttpRequestDenied);
            }
        };
        let target = pass.target();
        self.notes.host(&format!("{}://{}:{}", target.scheme(), target.host(), target.port()));
        let attempt = Attempt::Request(target.clone());
        self.notes.attempt(attempt.clone(), Judged::Allowed);
        let Some(link) = self.prototype.http.links.get(pass.index()).cloned() else {
            return refuse(Error::HttpRequestDenied);
        };
        let egress = Arc::clone(&self.prototype.egress);
        let (meter, notes) = (self.meter.clone(), self.notes.clone());
        let timeouts =
            options.map(|o| Timeouts { connect: o.connect_timeout, first_byte: o.first_byte_timeout });
        Box::new(async move {
            let sent = egress.send(pass, link, request, timeouts.unwrap_or_default(), meter).await;
            if let Err(Failure::Prohibited) = sent {
                notes.attempt(attempt, Judged::Refused);
            }
            let response = sent.map_err(told)?.map(|body| body.map_err(told).boxed_unsync());
            let done: Done = Box::new(async { Ok(()) });
            Ok((response, done))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        STREAM_BYTES_MAX as usize
    }
}

/// What a guest learns of a failure, in the words of wasi:http.
fn told(failure: Failure) -> Error {
    match failure {
        Failure::Refused => Error::HttpRequestDenied,
        Failure::Malformed => Error::HttpRequestUriInvalid,
        Failure::Name => Error::DnsError { rcode: None, info_code: None },
        Failure::Prohibited => Error::DestinationIpProhibited,
        Failure::ConnectionRefused => Error::ConnectionRefused,
        Failure::Unreachable => Error::DestinationUnavailable,
        Failure::Tls => Error::TlsCertificateError,
        Failure::ConnectTimeout => Error::ConnectionTimeout,
        Failure::Timeout => Error::HttpResponseTimeout,
        Failure::Size => Error::HttpResponseBodySize(None),
        Failure::Protocol => Error::HttpProtocolError,
    }
}
