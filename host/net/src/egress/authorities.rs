//! Certificate authorities trusted by connections. They are read again when they may have changed, so that one removed
//! by the operator is no longer trusted.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use toolgate_policy::limits::http::{AUTHORITIES_AGE_MS, AUTHORITIES_BYTES_MAX};
use toolgate_policy::request::Scheme;

use super::{EgressError, RuleClientError};

/// TLS configuration; `None` for plain HTTP.
pub(super) type Tls = Option<Arc<ClientConfig>>;

/// System's certificate authorities, read when the first rule needs them.
#[derive(Default)]
pub(super) struct Roots(OnceLock<Result<Arc<Authorities>, String>>);

/// Trust of a connection.
#[derive(Clone)]
pub(super) enum TlsTrust {
    /// Plain HTTP, without authentication.
    Plain,
    Tls(Arc<Authorities>),
}

/// Certificate authorities as last read.
pub(super) struct Authorities {
    source: Source,
    known: Mutex<Known>,
}

#[derive(Clone)]
enum Source {
    System,
    File(String),
}

#[derive(Clone)]
struct Known {
    config: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
    read: Instant,
    stamp: Stamp,
}

/// Identity of a file's content: device, inode, size, mtime and ctime (s and ns). `None` for the system's store.
pub(super) type Stamp = Option<(u64, u64, u64, i64, i64, i64, i64)>;

impl Roots {
    /// Trust in the authorities in the file `ca`, or the system's; none for plain HTTP.
    pub(super) fn trust(&self, scheme: Scheme, ca: Option<&str>) -> Result<TlsTrust, RuleClientError> {
        let authorities = match ca {
            _ if scheme == Scheme::Http => return Ok(TlsTrust::Plain),
            None => {
                let read = || Authorities::read(Source::System).map(Arc::new);
                self.0.get_or_init(read).clone().map_err(RuleClientError::Tls)?
            }
            Some(file) => {
                let read = Authorities::read(Source::File(file.to_owned()));
                Arc::new(read.map_err(|why| RuleClientError::Certificates(file.to_owned(), why))?)
            }
        };
        Ok(TlsTrust::Tls(authorities))
    }
}

impl TlsTrust {
    /// Current TLS configuration; a new one after the authorities changed. An error if they can no longer be read.
    pub(super) async fn config(&self) -> Result<Tls, EgressError> {
        match self {
            Self::Plain => Ok(None),
            Self::Tls(authorities) => authorities.config().await.map(Some),
        }
    }
}

impl Authorities {
    fn read(source: Source) -> Result<Self, String> {
        let known = source.read()?;
        Ok(Self { source, known: Mutex::new(known) })
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, EgressError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.source.is_unchanged(&known) {
            return Ok(known.config);
        }
        let source = self.source.clone();
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        match read.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(mut now) => {
                // Unchanged certificates keep the configuration, so that idle connections stay usable.
                if known.roots.roots == now.roots.roots {
                    now.config = known.config;
                }
                let config = Arc::clone(&now.config);
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = now;
                Ok(config)
            }
            Err(why) => {
                let file = match &self.source {
                    Source::System => "the system's store",
                    Source::File(file) => file,
                };
                tracing::warn!(file, why, "certificate authorities cannot be read; nothing is sent");
                Err(EgressError::Tls)
            }
        }
    }
}

impl Source {
    fn is_unchanged(&self, known: &Known) -> bool {
        match self {
            Self::System => known.read.elapsed() < Duration::from_millis(AUTHORITIES_AGE_MS),
            Self::File(file) => known.stamp.is_some() && stamp(file) == known.stamp,
        }
    }

    fn read(&self) -> Result<Known, String> {
        let read = Instant::now();
        let mut store = RootCertStore::empty();
        let (stamp, none) = match self {
            Self::System => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                (None, "the system has no certificate authorities; install ca-certificates or set `ca`")
            }
            Self::File(file) => {
                // Stamped before reading: a change while reading is noticed next time.
                let stamp = stamp(file);
                for certificate in certificates_in(file)? {
                    store.add(certificate).map_err(|error| error.to_string())?;
                }
                (stamp, "there is none in it")
            }
        };
        if store.is_empty() {
            return Err(none.to_owned());
        }
        let roots = Arc::new(store);
        Ok(Known { config: config(&roots)?, roots, read, stamp })
    }
}

pub(super) fn stamp(file: &str) -> Stamp {
    let of = |file: std::fs::Metadata| {
        let changed = (file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec());
        (file.dev(), file.ino(), file.len(), changed.0, changed.1, changed.2, changed.3)
    };
    std::fs::metadata(file).ok().map(of)
}

fn certificates_in(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut pem = Vec::new();
    let opened = toolgate_base::file::open(Path::new(file)).map_err(|error| error.to_string())?;
    if !opened.metadata().map_err(|error| error.to_string())?.is_file() {
        return Err("it is not a regular file; write the path of a file with certificates in PEM".to_owned());
    }
    let read =
        opened.take(AUTHORITIES_BYTES_MAX + 1).read_to_end(&mut pem).map_err(|error| error.to_string())?;
    if read as u64 > AUTHORITIES_BYTES_MAX {
        return Err(format!("it has more than {AUTHORITIES_BYTES_MAX} bytes"));
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    certificates.map_err(|error| error.to_string())
}

fn config(roots: &Arc<RootCertStore>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder
        .map_err(|error| error.to_string())?
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would not present the certificate again.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
