//! Streamable HTTP at `/mcp`, with `/healthz` and `/readyz`. HTTP/1.1, and with TLS also HTTP/2. Every wait for a client
//! and every resource of a client is bounded, and the probes are answered whatever clients do.

mod accept;
mod body;
mod checks;
mod connections;
mod cors;
mod forwarded;
mod leased;
mod mirrored;
mod paced;
mod replies;
mod requests;
mod resets;
mod sender;
mod serving;
mod sessions;
mod watched;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, HOST, ORIGIN};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper_util::server::graceful::GracefulShutdown;
use ipnet::IpNet;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, rustls};
use tokio_util::sync::CancellationToken;
use toolgate_auth::challenge::METADATA_PATH;
use toolgate_policy::limits::wire::SPARE_NOTIFICATIONS_MAX;
use toolgate_runtime::quota::Quota;

use super::certificates::Certificates;
use super::guard::{Guard, Scheme, Source};
use crate::auth::Auth;
use crate::config::{ServerConfig, WireLimits};
use crate::mcp::Handler;
use crate::notices::{Notices, Trouble};
use body::Sent;
use connections::{Connection, Connections, peer_of};
use replies::{Reply, json, not_allowed, plain, type_text};
use requests::RequestResources;
use serving::Ends;
use sessions::Sessions;

/// The HTTP server. Clones share state.
#[derive(Clone)]
pub(crate) struct HttpServer(Arc<Inner>);

struct Inner {
    mcp: StreamableHttpService<Handler, Sessions>,
    sessions: Arc<Sessions>,
    guard: Guard,
    acceptor: Option<TlsAcceptor>,
    /// Networks whose word on the source of a request is believed.
    proxies: Vec<IpNet>,
    handler: Handler,
    /// Authentication, if callers must say who they are.
    auth: Option<Arc<Auth>>,
    limits: WireLimits,
    connections: Arc<Connections>,
    requests: Arc<Quota>,
    spare_notifications: Arc<Quota>,
    streams: Arc<Quota>,
    notices: Arc<Notices>,
    cut: CancellationToken,
}

impl HttpServer {
    /// A server, with TLS if there are certificates, and with authentication if callers must say who they are.
    ///
    /// # Errors
    /// The cryptographic library does not offer TLS.
    pub(crate) fn new(
        config: &ServerConfig,
        certificates: Option<Arc<Certificates>>,
        auth: Option<Arc<Auth>>,
        handler: Handler,
    ) -> Result<Self, rustls::Error> {
        let acceptor = certificates.map(Certificates::acceptor).transpose()?;
        let guard = Guard::new(&config.hosts(), &config.allowed_origins);
        let cut = CancellationToken::new();
        let limits = config.wire;
        let quota = |max| Quota::new(max, limits.peer_percent);
        let idle = Duration::from_millis(limits.session_idle_ms);
        let sessions = Arc::new(Sessions::new(quota(limits.sessions_max), idle));
        let service = handler.clone();
        let library = StreamableHttpServerConfig::default()
            .with_allowed_hosts(guard.hosts.iter().cloned())
            .with_allowed_origins(guard.origins.iter().cloned())
            .enforce_origin_validation()
            .with_json_response(true)
            .with_sse_retry(None)
            .with_max_request_body_bytes(usize::try_from(limits.body_bytes_max).unwrap_or(usize::MAX))
            .with_cancellation_token(cut.clone());
        let mcp = StreamableHttpService::new(move || Ok(service.clone()), Arc::clone(&sessions), library);
        let connections = Connections::new(limits.connections_max, quota(limits.connections_max).peer_max);
        Ok(Self(Arc::new(Inner {
            mcp,
            sessions,
            guard,
            acceptor,
            proxies: config.tls.trusted_proxies().to_vec(),
            notices: Arc::clone(&handler.notices),
            handler,
            auth,
            limits,
            connections,
            requests: quota(limits.requests_max),
            spare_notifications: quota(SPARE_NOTIFICATIONS_MAX),
            streams: quota(limits.streams_max),
            cut,
        })))
    }

    /// Serves until `stop`, then lets open exchanges end. At `hang_up` all calls have ended: [`LAST_ANSWERS`] later,
    /// open connections are closed.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
        hang_up: CancellationToken,
    ) {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.take(stream, address, &graceful, &stop),
                Err(error) => {
                    self.0.notices.tell(Trouble::Connections, &error.to_string());
                    // Probably out of descriptors: another connection must end first.
                    self.0.connections.make_room();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        let cut = async {
            hang_up.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            () = graceful.shutdown() => {}
            () = cut => tracing::info!("open streams are cut"),
        }
        self.0.cut.cancel();
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        ends: Ends,
        connection: &Arc<Connection>,
    ) -> Response<Sent<RequestResources>> {
        let is_spare = connection.is_spare();
        let closes = is_spare && request.version() < Version::HTTP_2;
        let finish = |mut reply: Reply, held: RequestResources, source: &Source| {
            if closes {
                reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            self.mark(&mut reply, source);
            reply.map(|body| Sent::new(body, held))
        };
        let address = forwarded::source_of(ends.peer.ip(), request.headers(), &self.0.proxies);
        let peer = address.map_or_else(|_| Arc::clone(connection.peer()), peer_of);
        let held = RequestResources::of(connection, peer);
        let scheme = if ends.is_tls { Scheme::Https } else { Scheme::Http };
        let checked = self.0.guard.check(request.uri(), request.headers(), ends.own, scheme);
        let (source, address) = match checked.and_then(|source| Ok((source, address?))) {
            Ok(both) => both,
            Err((status, why)) => {
                tracing::debug!(address = %ends.peer, why, "a request was turned away");
                self.0.notices.tell(Trouble::TurnedAway, held.peer());
                return finish(plain(status, why), held, &Source::Program);
            }
        };
        if source == Source::Own {
            // The library knows configured origins only.
            request.headers_mut().remove(ORIGIN);
        }
        name_host(&mut request);
        match self.route(request, &source, address, held.clone(), is_spare).await {
            Ok(mut reply) => {
                self.mark(&mut reply, &source);
                reply
            }
            Err(reply) => finish(reply, held, &source),
        }
    }

    /// Adds the headers that every answer has.
    fn mark<B>(&self, reply: &mut Response<B>, source: &Source) {
        let status = reply.status();
        type_text(reply.headers_mut(), status);
        cors::let_read(reply.headers_mut(), source);
        if self.0.auth.is_some() {
            // What one caller is answered is for nobody else, whatever stands between.
            let private = HeaderValue::from_static("private, no-store");
            reply.headers_mut().entry(CACHE_CONTROL).or_insert(private);
        }
        if !self.0.guard.origins.is_empty() {
            cors::vary(reply.headers_mut());
        }
    }

    /// Routes a request. The error is a reply without spliced bytes.
    async fn route(
        &self,
        request: Request<Incoming>,
        source: &Source,
        address: IpAddr,
        held: RequestResources,
        is_spare: bool,
    ) -> Result<Response<Sent<RequestResources>>, Reply> {
        let is_mcp = matches!(request.uri().path(), "/mcp" | "/mcp/");
        if is_mcp && let Some(reply) = cors::preflight(request.method(), request.headers(), source) {
            return Err(reply);
        }
        let is_metadata = is_metadata(request.uri().path());
        Err(match (request.uri().path(), request.method()) {
            ("/healthz", &Method::GET) => plain(StatusCode::OK, "ok\n"),
            ("/readyz", &Method::GET) => {
                let (ready, answer) = self.0.handler.readiness();
                json(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &answer)
            }
            ("/healthz" | "/readyz", _) => not_allowed("GET", "GET only\n"),
            (_, &Method::GET | &Method::HEAD) if is_metadata => self.metadata(),
            _ if is_metadata => not_allowed("GET, HEAD", "GET and HEAD only\n"),
            _ if is_spare => self.busy(Trouble::Connections, &held, Some(request)),
            (_, &Method::POST) if is_mcp => return self.post(request, address, held).await,
            (_, &Method::GET | &Method::DELETE) if is_mcp => return self.other(request, address, held).await,
            _ if is_mcp => not_allowed("GET, POST, DELETE", "GET, POST and DELETE only\n"),
            _ => plain(StatusCode::NOT_FOUND, "MCP is served at /mcp\n"),
        })
    }
}

/// Whether this is a path of the resource's metadata: the root form, or the form with the endpoint's path (RFC 9728 §3.1).
fn is_metadata(path: &str) -> bool {
    path.strip_prefix(METADATA_PATH).is_some_and(|rest| rest.is_empty() || rest == "/mcp")
}

/// Gives a request of HTTP/2, which names its host in the target, the header that the library reads.
fn name_host(request: &mut Request<Incoming>) {
    let named = request.uri().authority().map(|host| HeaderValue::from_str(host.as_str()));
    if let Some(Ok(host)) = named
        && !request.headers().contains_key(HOST)
    {
        request.headers_mut().insert(HOST, host);
    }
}

/// Time for writing the answers of the last calls.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;
