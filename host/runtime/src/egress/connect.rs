//! Connections to addresses that were checked, with the name that was granted for TLS.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use toolgate_policy::address::Host;
use toolgate_policy::capability::http::Rule;
use toolgate_policy::limits::call::HTTP_CONNECT_MS;
use toolgate_policy::request::Scheme;

use super::{Failure, NoLink};

/// A connection, plain or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The system's certificate authorities, read when the first rule needs them.
#[derive(Default)]
pub(super) struct Roots(OnceLock<Result<Arc<ClientConfig>, String>>);

/// Whom to trust at the other end.
#[derive(Clone)]
pub(super) enum Trust {
    /// Plain HTTP: nobody is asked.
    Plain,
    /// TLS.
    Tls(Arc<ClientConfig>),
}

impl Roots {
    pub(super) fn trust(&self, rule: &Rule) -> Result<Trust, NoLink> {
        match rule.scheme {
            Scheme::Http => Ok(Trust::Plain),
            Scheme::Https => self.tls(rule.ca.as_deref()),
        }
    }

    /// Those in `ca`, or the system's.
    pub(super) fn tls(&self, ca: Option<&str>) -> Result<Trust, NoLink> {
        match ca {
            None => self.system().map(Trust::Tls).map_err(NoLink::Tls),
            Some(file) => {
                let unusable = |why: String| NoLink::Certificates(file.to_owned(), why);
                let pem = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
                let mut store = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(&pem) {
                    let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                    store.add(certificate).map_err(|error| unusable(error.to_string()))?;
                }
                if store.is_empty() {
                    return Err(unusable("there is none in it".to_owned()));
                }
                config(store).map(Trust::Tls).map_err(NoLink::Tls)
            }
        }
    }

    fn system(&self) -> Result<Arc<ClientConfig>, String> {
        let load = || {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err("the system has no certificate authorities; install ca-certificates or set `ca`"
                    .to_owned());
            }
            config(store)
        };
        self.0.get_or_init(load).clone()
    }
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config =
        builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Connects to the first address that answers. Only these addresses are tried.
pub(super) async fn connect(
    host: &Host,
    trust: &Trust,
    addresses: &[SocketAddr],
) -> Result<Pin<Box<dyn Stream>>, Failure> {
    let each = Duration::from_millis(HTTP_CONNECT_MS);
    let mut last = Failure::Unreachable;
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
            Err(_) => last = Failure::ConnectTimeout,
        }
    }
    let tcp = tcp.ok_or(last)?;
    // A request is written at once; waiting to fill a segment would only delay it.
    tcp.set_nodelay(true).map_err(|_| Failure::Unreachable)?;
    match trust {
        Trust::Plain => Ok(Box::pin(tcp)),
        Trust::Tls(config) => {
            let name = match host {
                Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| Failure::Tls)?,
                Host::Address(address) => ServerName::from(*address),
            };
            let tls = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.map_err(|error| {
                tracing::info!(%error, %host, "TLS to an outbound host failed");
                Failure::Tls
            })?;
            Ok(Box::pin(tls))
        }
    }
}

fn refused(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => Failure::ConnectionRefused,
        std::io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        _ => Failure::Unreachable,
    }
}
