//! Fetching of keys and metadata, handed in: this crate opens no connection and no file.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;
use url::Url;

/// Something to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    /// Place.
    pub place: KeyPlace,
    /// Whether the address may be private, or on this machine.
    pub private: bool,
    /// File with the certificate authorities to trust; those of the system if absent.
    pub ca: Option<PathBuf>,
    /// Time for the whole answer.
    pub timeout: Duration,
    /// Bytes of the answer, unpacked. A longer one is an error.
    pub bytes_max: usize,
}

/// Place of keys or metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// An address. Redirects are not followed: they would lead where the configuration does not.
    Url(Url),
    /// A file.
    File(PathBuf),
}

/// An answer with status 200, or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyResponse {
    /// Content.
    pub bytes: Vec<u8>,
    /// `max-age` of `Cache-Control`, in seconds, if there is one.
    pub max_age_s: Option<u64>,
}

/// An answer that did not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFetchError {
    /// The server answered with another status than 200.
    #[error("the answer has status {0}")]
    Status(u16),
    /// No usable answer: refused address, no connection, no trust, too slow, too long.
    #[error("{0}")]
    Failed(String),
}

/// Fetches what issuers publish. It must keep to address, time and length of a request, and must not follow redirects.
pub trait KeyFetch: Send + Sync {
    /// Starts to fetch.
    fn fetch(&self, request: KeyRequest) -> BoxFuture<'static, Result<KeyResponse, KeyFetchError>>;
}
