//! Connects to checked addresses, with TLS for the granted name, for HTTP/1.1.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::task::AbortOnDropHandle;
use toolgate_policy::address::Host;
use toolgate_policy::limits::call::{HTTP_CONNECT_MS, HTTP_FIELD_BYTES_MAX};
use toolgate_policy::limits::size;
use toolgate_policy::limits::wire::HEADERS_MAX;

use super::EgressError;
use super::authorities::Tls;
use super::wire::{Wire, WireAccount};

/// Connection, plain or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects for requests, as [`connect`] does. The task drives the connection.
pub(super) async fn open<B>(
    host: &Host,
    tls: Tls,
    addresses: &[SocketAddr],
    account: &Arc<WireAccount>,
) -> Result<(http1::SendRequest<B>, AbortOnDropHandle<()>), EgressError>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let stream = connect(host, tls, addresses, account).await?;
    #[expect(clippy::disallowed_methods, reason = "each request comes with its pass or its permit")]
    let mut builder = http1::Builder::new();
    builder.max_buf_size(size(HTTP_FIELD_BYTES_MAX) * 2).max_headers(HEADERS_MAX);
    let (sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|_| EgressError::Protocol)?;
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an outbound connection ended");
        }
    }));
    Ok((sender, task))
}

/// Connects to the first of these addresses that accepts, and no other. Bytes are counted on `account`.
pub(super) async fn connect(
    host: &Host,
    tls: Tls,
    addresses: &[SocketAddr],
    account: &Arc<WireAccount>,
) -> Result<Pin<Box<dyn Stream>>, EgressError> {
    let each = Duration::from_millis(HTTP_CONNECT_MS);
    let mut last = EgressError::Unreachable;
    let mut tcp = None;
    for address in addresses {
        #[expect(clippy::disallowed_methods, reason = "these addresses were judged")]
        let connecting = TcpStream::connect(address);
        match tokio::time::timeout(each, connecting).await {
            Ok(Ok(stream)) => {
                tcp = Some(stream);
                break;
            }
            Ok(Err(error)) => last = refused(&error),
            Err(_) => last = EgressError::ConnectTimeout,
        }
    }
    let tcp = tcp.ok_or(last)?;
    // Requests are written in one piece; Nagle's algorithm would only delay them.
    tcp.set_nodelay(true).map_err(|_| EgressError::Unreachable)?;
    let wire = Wire::new(tcp, Arc::clone(account));
    let Some(config) = tls else {
        account.expect_request();
        return Ok(Box::pin(wire));
    };
    let name = match host {
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| EgressError::Tls)?,
        Host::Address(address) => ServerName::from(*address),
    };
    let tls = TlsConnector::from(config).connect(name, wire).await.map_err(|error| {
        tracing::info!(%error, %host, "TLS to an outbound host failed");
        account.failure().unwrap_or(EgressError::Tls)
    })?;
    Ok(Box::pin(tls))
}

fn refused(error: &std::io::Error) -> EgressError {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => EgressError::ConnectionRefused,
        std::io::ErrorKind::TimedOut => EgressError::ConnectTimeout,
        _ => EgressError::Unreachable,
    }
}
