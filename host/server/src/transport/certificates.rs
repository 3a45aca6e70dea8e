//! TLS of the server: version, cipher suites and protocols by the library's defaults, and a certificate that can be
//! replaced while connections last.

use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self};

use crate::config::ServerCertificate;

/// The certificate in force, with its key.
#[derive(Debug)]
pub(crate) struct Certificates(RwLock<Arc<CertifiedKey>>);

/// Name of HTTP/2 in a handshake (RFC 9113, section 3.1).
pub(super) const H2: &[u8] = b"h2";

/// The same of HTTP/1.1 (RFC 7301, section 6).
const HTTP_1_1: &[u8] = b"http/1.1";

impl Certificates {
    /// Begins with this certificate.
    pub(crate) fn new(first: &ServerCertificate) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::clone(&first.certified))))
    }

    /// Replaces it for handshakes from now on. Open connections last.
    pub(crate) fn replace(&self, new: &ServerCertificate) {
        let mut served = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if served.cert == new.certified.cert {
            return;
        }
        *served = Arc::clone(&new.certified);
        drop(served);
        tracing::info!("new connections get the new certificate");
        if let Some(warning) = new.warning() {
            tracing::warn!("{warning}");
        }
    }

    /// Accepts TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1.
    pub(super) fn acceptor(self: Arc<Self>) -> Result<TlsAcceptor, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12])?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self);
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        Ok(Arc::new(config).into())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}
