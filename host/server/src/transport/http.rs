//! Streamable HTTP at `/mcp`, with `/healthz` and `/readyz` beside it. HTTP/1.1; TLS and HTTP/2 are a proxy's. Every wait
//! on a client has an end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rmcp::transport::streamable_http_server::session::local::{LocalSessionManager, SessionConfig};
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use toolgate_policy::limits::wire::{
    BODY_MS, CONNECTIONS_MAX, HEAD_BYTES_MAX, HEAD_MS, HEADERS_MAX, SESSION_IDLE_MS, SESSIONS_MAX,
};

use super::envelope::Envelope;
use super::guard::Guard;
use crate::auth::local;
use crate::config::ServerConfig;
use crate::mcp::{Handler, Inbound};

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// The HTTP side of the server.
#[derive(Clone)]
pub(crate) struct HttpServer {
    mcp: StreamableHttpService<Handler, LocalSessionManager>,
    sessions: Arc<LocalSessionManager>,
    guard: Guard,
    handler: Handler,
    body_bytes_max: u64,
    cut: CancellationToken,
}

impl HttpServer {
    pub(crate) fn new(config: &ServerConfig, handler: Handler) -> Self {
        let guard = Guard::new(&config.allowed_hosts, &config.allowed_origins);
        let cut = CancellationToken::new();
        let mut session = SessionConfig::default();
        session.keep_alive = Some(Duration::from_millis(SESSION_IDLE_MS));
        // A first event without data makes clients of 2025-06-18 fail.
        session.sse_retry = None;
        let mut sessions = LocalSessionManager::default();
        sessions.session_config = session;
        let sessions = Arc::new(sessions);
        let service = handler.clone();
        let library = StreamableHttpServerConfig::default()
            .with_allowed_hosts(guard.hosts().iter().cloned())
            .with_allowed_origins(guard.origins().iter().cloned())
            .enforce_origin_validation()
            .with_json_response(true)
            .with_sse_retry(None)
            .with_max_request_body_bytes(usize::try_from(config.body_bytes_max).unwrap_or(usize::MAX))
            .with_cancellation_token(cut.clone());
        let mcp = StreamableHttpService::new(move || Ok(service.clone()), Arc::clone(&sessions), library);
        Self { mcp, sessions, guard, handler, body_bytes_max: config.body_bytes_max, cut }
    }

    /// Serves until `stop`, then lets open exchanges end. When `hang_up` comes all calls have ended: what is open after
    /// another moment is cut.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
        hang_up: CancellationToken,
    ) {
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let place = Arc::clone(&places).acquire_owned();
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = async { (place.await, listener.accept().await) } => accepted,
            };
            let (Ok(place), accepted) = accepted else { break };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of descriptors, most likely: others must end first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let connection = graceful.watch(self.connection(stream, peer));
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, %peer, "a connection ended");
                }
                drop(place);
            });
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
        self.cut.cancel();
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> http1::Connection<
        TokioIo<TcpStream>,
        impl hyper::service::HttpService<
            Incoming,
            ResBody = BoxBody<Bytes, Infallible>,
            Error = Infallible,
            Future: Send,
        > + use<>,
    > {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays slow");
        }
        let server = self.clone();
        let service = service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request, peer).await) }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(HEAD_MS))
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service)
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Reply {
        if let Err((status, why)) = self.guard.check(request.uri(), request.headers()) {
            tracing::warn!(%peer, why, "a request was turned away");
            return plain(status, why);
        }
        match (request.uri().path(), request.method()) {
            ("/mcp", _) => self.answer_mcp(request, peer).await,
            ("/healthz", &Method::GET) => plain(StatusCode::OK, "ok\n"),
            ("/readyz", &Method::GET) => {
                let (ready, answer) = self.handler.readiness();
                json(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &answer)
            }
            ("/healthz" | "/readyz", _) => {
                let mut reply = plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
                reply.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET"));
                reply
            }
            _ => plain(StatusCode::NOT_FOUND, "MCP is served at /mcp\n"),
        }
    }

    async fn answer_mcp(&self, request: Request<Incoming>, peer: SocketAddr) -> Reply {
        let principal = local::peer(peer.ip());
        if request.method() != Method::POST {
            let (mut parts, body) = request.into_parts();
            parts.extensions.insert(Inbound { principal, arguments: None });
            let ends_session = parts.method == Method::DELETE;
            let mut reply = self.mcp.handle(Request::from_parts(parts, body)).await;
            // The library accepts what it has already done; official clients take 202 for a failure.
            if ends_session && reply.status() == StatusCode::ACCEPTED {
                *reply.status_mut() = StatusCode::NO_CONTENT;
            }
            return reply;
        }
        let (mut parts, body) = request.into_parts();
        let bytes = match self.collect(body).await {
            Ok(bytes) => bytes,
            Err(reply) => return reply,
        };
        let envelope = match Envelope::read(&bytes, self.body_bytes_max) {
            Ok(envelope) => envelope,
            Err(malformed) => return json(StatusCode::BAD_REQUEST, &malformed.reply()),
        };
        if envelope.method.as_deref() == Some("initialize")
            && self.sessions.sessions.read().await.len() >= SESSIONS_MAX
        {
            let mut reply = plain(StatusCode::SERVICE_UNAVAILABLE, "too many sessions; try again later\n");
            reply.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from_static("60"));
            return reply;
        }
        parts.extensions.insert(Inbound { principal, arguments: envelope.arguments.map(Arc::new) });
        self.mcp.handle(Request::from_parts(parts, Full::new(bytes))).await
    }

    async fn collect(&self, body: Incoming) -> Result<Bytes, Reply> {
        let limited = Limited::new(body, usize::try_from(self.body_bytes_max).unwrap_or(usize::MAX));
        match tokio::time::timeout(Duration::from_millis(BODY_MS), limited.collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(plain(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the message is larger than [server.limits] body_bytes_max\n",
            )),
            Ok(Err(_)) => Err(plain(StatusCode::BAD_REQUEST, "the body broke off\n")),
            Err(_) => Err(plain(StatusCode::REQUEST_TIMEOUT, "the body took too long\n")),
        }
    }
}

/// How long the answers of the last calls may take to be written.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

fn plain(status: StatusCode, text: &'static str) -> Reply {
    reply(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
    reply(status, "application/json", Bytes::from(value.to_string()))
}

fn reply(status: StatusCode, kind: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body).boxed());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    reply
}
