//! Remote sources, fetched for the operator with bounded time, bytes, attempts and redirects, and from registries by
//! the OCI specifications. Responses are not trusted; only their digests count.

pub mod artefact;
mod attached;
pub mod bundle;
mod docker;
mod login;
mod pull;
mod push;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toolgate_base::artifact::Artifact;
use toolgate_base::spec::Remote;
use toolgate_policy::Digest;
use toolgate_policy::limits::load::{
    COMPONENT_BYTES_MAX, FETCH_ATTEMPTS_MAX, FETCH_BACKOFF_MS, FETCH_MS, RETRY_AFTER_S_MAX, TOKEN_BYTES_MAX,
};
use toolgate_policy::load::fetch::{FetchPermit, FetchPermitError, Follow};
use toolgate_policy::redact::printable;
use toolgate_signature::{SignatureFile, Unread};

use crate::egress::fetch::{FetchResponse, RequestError, RequestParts, Terms};
use crate::egress::{Egress, EgressError};
use artefact::ArtefactError;

pub use push::{Parts, Pushed};

/// Client for remote sources. Opens no connection until it is used.
#[derive(Clone)]
pub struct Fetcher {
    name_servers: Vec<SocketAddr>,
    progress: TransferProgress,
    off: CancellationToken,
}

/// Callback with the URL, the bytes transferred, and the total if known.
pub type TransferProgress = Arc<dyn Fn(&str, u64, Option<u64>) + Send + Sync>;

/// Fetching failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The request is not permitted.
    #[error(transparent)]
    FetchPermit(#[from] FetchPermitError),
    /// The request did not get through.
    #[error("reach {0}: {1}")]
    Way(String, String),
    /// The response exceeds its size limit.
    #[error("fetch {0}: it has more than {1} bytes")]
    Size(String, u64),
    /// The response has a content encoding that was not requested.
    #[error("fetch {0}: the answer is packed as `{1}`, and nothing is unpacked")]
    Packed(String, String),
    /// The response has an unexpected status.
    #[error("fetch {url}: the answer was {status}{says}")]
    Status {
        /// URL of the request.
        url: String,
        /// Status of the response.
        status: u16,
        /// Text of the response.
        says: String,
    },
    /// The artefact is not acceptable.
    #[error("use {0}")]
    Artefact(String, #[source] ArtefactError),
    /// Authentication failed.
    #[error("log in to {0}: {1}")]
    Login(String, String),
    /// The fetch was cancelled.
    #[error("fetch it: it was called off")]
    CalledOff,
    /// A local resource (thread, runtime) is missing.
    #[error("fetch it")]
    Host(#[source] std::io::Error),
}

impl FetchError {
    /// Whether nothing was received, rather than something that was rejected.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Way(..) | Self::Status { .. } | Self::Login(..) | Self::CalledOff | Self::Host(_) => true,
            Self::FetchPermit(_) | Self::Size(..) | Self::Packed(..) | Self::Artefact(..) => false,
        }
    }

    fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { status: 404, .. })
    }

    /// Servers that hide their contents answer 403 for missing files, too.
    fn is_nothing_there(&self) -> bool {
        matches!(self, Self::Status { status: 403 | 404 | 410, .. })
    }
}

impl Fetcher {
    /// A fetcher that resolves through these name servers, or the system's if there are none.
    pub fn new(name_servers: Vec<SocketAddr>) -> Self {
        Self { name_servers, progress: Arc::new(|_, _, _| {}), off: CancellationToken::new() }
    }

    /// Cancels running fetches when `off` is cancelled.
    #[must_use]
    pub fn until(self, off: CancellationToken) -> Self {
        Self { off, ..self }
    }

    /// Reports progress to a callback.
    #[must_use]
    pub fn telling(self, progress: TransferProgress) -> Self {
        Self { progress, ..self }
    }

    /// Fetches the file at a URL that the operator wrote, and existing small files beside it. Those are requested only
    /// if the digest matches `pin`, and their failures do not fail the file. Blocks.
    pub fn file(
        &self,
        permit: &FetchPermit,
        remote: &Remote,
        pin: Option<Digest>,
        beside: &[(String, FetchPermit)],
    ) -> Result<Found, FetchError> {
        self.run(remote, async |client| {
            let nothing = RequestParts::default();
            let arrived = client.fetch(permit, &nothing, Follow::Home, COMPONENT_BYTES_MAX).await?;
            let mut found = Found::new(Artifact::of(arrived.bytes), Vec::new());
            if pin.is_some_and(|pin| pin != found.artifact.digest()) {
                return Ok(found);
            }
            let mut failed = None;
            for (name, permit) in beside {
                let bytes_max = toolgate_signature::name::form(name).map_or(0, |(_, bytes_max)| bytes_max);
                match client.fetch(permit, &nothing, Follow::Home, bytes_max).await {
                    Ok(arrived) => {
                        found.signatures.push(SignatureFile { name: name.clone(), bytes: arrived.bytes })
                    }
                    Err(error) if error.is_nothing_there() => {}
                    Err(error) => {
                        found.unread.push(Unread::because(name, &error));
                        failed = failed.or(Some(error).filter(FetchError::is_absence));
                    }
                }
            }
            match failed {
                // The signature may exist, and the server cannot serve it now.
                Some(error) if found.signatures.is_empty() => Err(error),
                _ => Ok(found),
            }
        })
    }

    /// Runs on a separate thread, since the caller's may drive an async runtime.
    fn run<T: Send>(
        &self,
        remote: &Remote,
        work: impl AsyncFnOnce(&Client<'_>) -> Result<T, FetchError> + Send,
    ) -> Result<T, FetchError> {
        std::thread::scope(|scope| {
            let permit = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.map_err(FetchError::Host)?.block_on(async {
                    let by = Instant::now() + Duration::from_millis(FETCH_MS);
                    let egress = Egress::new(self.name_servers.clone());
                    let client = Client { egress: &egress, remote, by, progress: &self.progress };
                    tokio::select! {
                        done = work(&client) => done,
                        () = self.off.cancelled() => Err(FetchError::CalledOff),
                    }
                })
            };
            let thread = std::thread::Builder::new().name("fetch".to_owned()).spawn_scoped(scope, permit);
            let thread = thread.map_err(FetchError::Host)?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// A component, as it was found in a source.
#[derive(Clone)]
pub struct Found {
    /// Bytes of the component.
    pub artifact: Artifact,
    /// Signature files beside them.
    pub signatures: Vec<SignatureFile>,
    /// Other files beside them, which were not read.
    pub unread: Vec<Unread>,
    /// Places that were searched, if the source alone does not tell.
    pub looked: Vec<String>,
    /// Manifest that names the bytes, if they come from a registry.
    pub manifest: Option<Artifact>,
}

impl Found {
    /// Bytes with only signatures beside them.
    pub fn new(artifact: Artifact, signatures: Vec<SignatureFile>) -> Self {
        Self { artifact, signatures, unread: Vec::new(), looked: Vec::new(), manifest: None }
    }
}

/// Sends requests until a deadline.
struct Client<'a> {
    egress: &'a Egress,
    remote: &'a Remote,
    by: Instant,
    progress: &'a TransferProgress,
}

struct Arrived {
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Client<'_> {
    /// A complete response with a status of success. Retried where that may help.
    async fn fetch(
        &self,
        permit: &FetchPermit,
        request_parts: &RequestParts<'_>,
        follow: Follow,
        bytes_max: u64,
    ) -> Result<Arrived, FetchError> {
        let arriving = |arriving| self.whole(permit, arriving, bytes_max);
        self.persist(permit, request_parts, follow, arriving).await
    }

    /// Status and headers of a response, whatever its status.
    async fn head(
        &self,
        permit: &FetchPermit,
        request_parts: &RequestParts<'_>,
    ) -> Result<(StatusCode, HeaderMap), FetchError> {
        let url = permit.target().url();
        let head = async |arriving: FetchResponse| match arriving.status.as_u16() {
            429 | 500..=599 => {
                Err(AttemptError::status(url.clone(), arriving.status, &arriving.headers, &[]))
            }
            _ => Ok((arriving.status, arriving.headers)),
        };
        self.persist(permit, request_parts, Follow::Home, head).await
    }

    async fn persist<T>(
        &self,
        permit: &FetchPermit,
        request_parts: &RequestParts<'_>,
        follow: Follow,
        take: impl AsyncFn(FetchResponse) -> Result<T, AttemptError>,
    ) -> Result<T, FetchError> {
        let mut wait = Duration::from_millis(FETCH_BACKOFF_MS);
        let mut attempt = 1;
        loop {
            let failed = match self.once(permit, request_parts, follow).await {
                Ok(arriving) => match take(arriving).await {
                    Ok(taken) => return Ok(taken),
                    Err(failed) => failed,
                },
                Err(failed) => failed,
            };
            let AttemptError { error, retry_after } = failed;
            let Some(asked) = retry_after else { return Err(error) };
            let pause = wait.max(asked);
            if attempt >= FETCH_ATTEMPTS_MAX
                || asked > Duration::from_secs(RETRY_AFTER_S_MAX)
                || Instant::now() + pause >= self.by
            {
                return Err(error);
            }
            tracing::info!(%error, attempt, "trying again");
            tokio::time::sleep(pause).await;
            wait *= 2;
            attempt += 1;
        }
    }

    /// One attempt, following redirects.
    async fn once(
        &self,
        permit: &FetchPermit,
        request_parts: &RequestParts<'_>,
        follow: Follow,
    ) -> Result<FetchResponse, AttemptError> {
        let mut permit = permit.clone();
        loop {
            let authorization = request_parts.authorization.filter(|_| permit.takes_credentials());
            let request_parts = RequestParts { authorization, ..request_parts.clone() };
            let arriving = self.egress.run(&permit, &request_parts, &self.terms(&permit)).await;
            let arriving = arriving.map_err(|error| AttemptError::on_the_way(&permit, error))?;
            let location = arriving.headers.get(LOCATION).filter(|_| arriving.status.is_redirection());
            let Some(location) = location else { return Ok(arriving) };
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            let method = permit.target().method().to_owned();
            permit = permit
                .led_to(&method, &location, follow)
                .map_err(|error| AttemptError::last(error.into()))?;
        }
    }

    async fn whole(
        &self,
        permit: &FetchPermit,
        arriving: FetchResponse,
        bytes_max: u64,
    ) -> Result<Arrived, AttemptError> {
        let url = permit.target().url();
        let (status, headers) = (arriving.status, arriving.headers.clone());
        if !status.is_success() {
            let body = arriving.read(TOKEN_BYTES_MAX).await.unwrap_or_default();
            return Err(AttemptError::status(url, status, &headers, &body));
        }
        if let Some(packed) = headers.get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
            let packed = printable(&String::from_utf8_lossy(packed.as_bytes()), 50);
            return Err(AttemptError::last(FetchError::Packed(url, packed)));
        }
        match arriving.read(bytes_max).await {
            Ok(bytes) => Ok(Arrived { headers, bytes }),
            Err(EgressError::Size) => Err(AttemptError::last(FetchError::Size(url, bytes_max))),
            Err(failure) => Err(AttemptError::on_the_way(permit, failure.into())),
        }
    }

    fn terms(&self, permit: &FetchPermit) -> Terms {
        let (progress, url) = (Arc::clone(self.progress), permit.target().url());
        Terms {
            ca: self.remote.ca.as_ref().map(|path| path.to_string_lossy().into_owned()),
            by: self.by,
            progress: Arc::new(move |done, total| progress(&url, done, total)),
        }
    }
}

struct AttemptError {
    error: FetchError,
    /// Pause before the next attempt that the server asks for; `None` if another attempt cannot help.
    retry_after: Option<Duration>,
}

impl AttemptError {
    fn last(error: FetchError) -> Self {
        Self { error, retry_after: None }
    }

    fn on_the_way(permit: &FetchPermit, error: RequestError) -> Self {
        let retry_after = match &error {
            RequestError::Failure(
                EgressError::ConnectionRefused
                | EgressError::Unreachable
                | EgressError::ConnectTimeout
                | EgressError::Protocol
                | EgressError::Name,
            ) => Some(Duration::ZERO),
            RequestError::Failure(_) | RequestError::Link(_) => None,
        };
        let mut why = error.to_string();
        if let RequestError::Failure(EgressError::Prohibited) = error {
            why.push_str("; if it lies in a private network and is meant, set `source_private = true`");
        }
        Self { error: FetchError::Way(permit.target().url(), why), retry_after }
    }

    fn status(url: String, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let after = headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.trim().parse().ok());
        let may_help = matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504);
        let retry_after = may_help.then(|| Duration::from_secs(after.unwrap_or(0)));
        let says = printable(String::from_utf8_lossy(body).trim(), 200);
        let says = if says.is_empty() { says } else { format!(": {says}") };
        Self { error: FetchError::Status { url, status: status.as_u16(), says }, retry_after }
    }
}
