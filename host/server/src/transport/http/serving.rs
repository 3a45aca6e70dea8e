//! One connection, from its acceptance to its end: the handshake of TLS, then HTTP/1.1 or HTTP/2 as agreed in it.
//! Without TLS there is HTTP/1.1 only.

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toolgate_net::socket::acknowledge;
use toolgate_policy::limits::wire::{
    H2_HEADERS_BYTES_MAX, H2_PART_BYTES, H2_PING_ANSWER_MS, H2_PING_MS, H2_RESETS_MAX, H2_STREAMS_MAX,
    H2_WINDOW_BYTES, HEAD_BYTES_MAX, HEAD_MS, HEADERS_MAX, SPARE_MS,
};

use super::HttpServer;
use super::body::Sent;
use super::connections::{AdmitResult, Connection, peer_of};
use super::forwarded::is_trusted;
use super::paced::{HandedOver, Paced};
use super::requests::RequestResources;
use super::resets::{CountedResets, is_too_many};
use super::watched::{Watched, is_unread, unread};
use crate::notices::Trouble;
use crate::transport::certificates::H2;

/// Reason why a connection ended.
type ConnectionError = Box<dyn Error + Send + Sync>;

/// Work on the answer to one request.
type AnswerFuture =
    Pin<Box<dyn Future<Output = Result<Response<Sent<RequestResources>>, Infallible>> + Send>>;

/// Both ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    /// The peer's.
    pub(super) peer: SocketAddr,
    /// The server's.
    pub(super) own: Option<SocketAddr>,
    /// Whether TLS ends here.
    pub(super) is_tls: bool,
}

impl HttpServer {
    /// Serves one connection, until it ends or the server stops.
    pub(super) fn take(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        graceful: &GracefulShutdown,
        stop: &CancellationToken,
    ) {
        let peer = peer_of(address.ip());
        let is_proxy = is_trusted(address.ip(), &self.0.proxies);
        let Some((connection, accepted)) = self.0.connections.accept(&peer, is_proxy) else {
            self.0.notices.tell(Trouble::Connections, &peer);
            return;
        };
        if accepted == AdmitResult::MadeRoom {
            self.0.notices.tell(Trouble::ConnectionMadeRoom, &peer);
        }
        let connection = Arc::new(connection);
        let (server, watcher, stop) = (self.clone(), graceful.watcher(), stop.clone());
        tokio::spawn(async move {
            let late = async {
                tokio::time::sleep(Duration::from_millis(SPARE_MS)).await;
                if !connection.is_spare() {
                    pending::<()>().await;
                }
            };
            tokio::select! {
                ended = server.connection(stream, address, &connection, watcher, stop) => {
                    if let Err(error) = ended {
                        server.tell_end(&*error, &connection);
                        tracing::debug!(%error, %address, "a connection ended");
                    }
                }
                () = connection.cut() => tracing::debug!(%address, "a connection made room for another"),
                () = late, if accepted == AdmitResult::Spare => {}
            }
        });
    }

    fn tell_end(&self, error: &(dyn Error + 'static), connection: &Connection) {
        if is_unread(error) {
            self.0.notices.tell(Trouble::Unread, connection.peer());
        }
        if is_too_many(error) {
            self.0.notices.tell(Trouble::Resets, connection.peer());
        }
    }

    async fn connection(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        connection: &Arc<Connection>,
        watcher: Watcher,
        stop: CancellationToken,
    ) -> Result<(), ConnectionError> {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays slow");
        }
        let mut ends = Ends { peer: address, own: stream.local_addr().ok(), is_tls: false };
        let stream = Watched::new(stream, self.write_patience(), |stream| acknowledge(stream));
        let Some(acceptor) = &self.0.acceptor else {
            return Ok(self.http1(stream, ends, connection, watcher).await?);
        };
        // The handshake is part of the wait for the first head.
        let until = Instant::now() + Duration::from_millis(HEAD_MS);
        let accepted = tokio::select! {
            accepted = tokio::time::timeout_at(until, acceptor.accept(stream)) => accepted,
            () = stop.cancelled() => return Ok(()),
        };
        let stream = accepted.map_err(|_| "the handshake took too long")??;
        ends.is_tls = true;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
        let silent = async {
            tokio::time::sleep_until(until).await;
            if connection.has_asked() {
                pending::<()>().await;
            }
        };
        let serving = async {
            match is_h2 {
                true => self.http2(CountedResets::new(stream), ends, connection, watcher, stop).await,
                false => Ok(self.http1(stream, ends, connection, watcher).await?),
            }
        };
        tokio::select! {
            ended = serving => ended,
            () = silent => Err("the first request took too long".into()),
        }
    }

    async fn http1<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        &self,
        stream: S,
        ends: Ends,
        connection: &Arc<Connection>,
        watcher: Watcher,
    ) -> Result<(), hyper::Error> {
        let service = service_fn(self.service(ends, connection));
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(HEAD_MS))
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        watcher.watch(serving).await
    }

    async fn http2<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        &self,
        stream: S,
        ends: Ends,
        connection: &Arc<Connection>,
        // Held until the connection has ended: a stop waits for it.
        _watcher: Watcher,
        stop: CancellationToken,
    ) -> Result<(), ConnectionError> {
        let handed_over = Arc::<HandedOver>::default();
        let (answer, paced) = (self.service(ends, connection), Arc::clone(&handed_over));
        let service = service_fn(move |request| {
            let (answering, paced) = (answer(request), Arc::clone(&paced));
            async move { answering.await.map(|reply| reply.map(|body| Paced::new(body, &paced))) }
        });
        let serving = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(H2_STREAMS_MAX)
            .max_header_list_size(H2_HEADERS_BYTES_MAX)
            .max_pending_accept_reset_streams(H2_RESETS_MAX)
            .max_local_error_reset_streams(H2_RESETS_MAX)
            .initial_connection_window_size(H2_WINDOW_BYTES)
            .initial_stream_window_size(H2_WINDOW_BYTES)
            .max_send_buf_size(H2_PART_BYTES)
            .keep_alive_interval(Duration::from_millis(H2_PING_MS))
            .keep_alive_timeout(Duration::from_millis(H2_PING_ANSWER_MS))
            .serve_connection(TokioIo::new(stream), service);
        let mut serving = pin!(serving);
        let mut stalled = pin!(handed_over.stalled(self.write_patience()));
        let head = Duration::from_millis(HEAD_MS);
        tokio::select! {
            ended = serving.as_mut() => return Ok(ended?),
            () = stalled.as_mut() => return Err(unread().into()),
            () = stop.cancelled() => {}
            () = connection.idle(head) => {}
        }
        // Streams that are open end; no new ones begin.
        serving.as_mut().graceful_shutdown();
        let gone = async {
            tokio::time::sleep(head).await;
            connection.idle(head).await;
        };
        tokio::select! {
            ended = serving => Ok(ended?),
            () = stalled => Err(unread().into()),
            () = gone => Err("the client did not close an idle connection".into()),
        }
    }

    /// Answers requests of a connection.
    fn service(
        &self,
        ends: Ends,
        connection: &Arc<Connection>,
    ) -> impl Fn(Request<Incoming>) -> AnswerFuture + Send + 'static + use<> {
        let (server, connection) = (self.clone(), Arc::clone(connection));
        move |request| {
            let (server, connection) = (server.clone(), Arc::clone(&connection));
            Box::pin(async move { Ok(server.answer(request, ends, &connection).await) })
        }
    }

    fn write_patience(&self) -> Duration {
        Duration::from_millis(self.0.limits.write_ms)
    }
}
