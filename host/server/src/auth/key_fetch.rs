//! Fetches the keys and metadata of issuers: from files, and through egress with its address rules.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use toolgate_auth::fetch::{KeyFetch, KeyFetchError, KeyPlace, KeyRequest, KeyResponse};
use toolgate_net::egress::Egress;
use toolgate_net::published::PublishedError;
use toolgate_policy::load::fetch::FetchPermit;

use crate::config::read_public;

/// Fetches for an authenticator.
pub(crate) struct IssuerFetch(Arc<Egress>);

impl IssuerFetch {
    pub(crate) fn new(egress: Arc<Egress>) -> Self {
        Self(egress)
    }
}

impl KeyFetch for IssuerFetch {
    fn fetch(&self, request: KeyRequest) -> BoxFuture<'static, Result<KeyResponse, KeyFetchError>> {
        let egress = Arc::clone(&self.0);
        fetch(egress, request).boxed()
    }
}

async fn fetch(egress: Arc<Egress>, request: KeyRequest) -> Result<KeyResponse, KeyFetchError> {
    let failed = |error: String| KeyFetchError::Failed(error);
    let bytes_max = request.bytes_max as u64;
    match request.place {
        KeyPlace::File(path) => {
            let read = tokio::task::spawn_blocking(move || read_public(&path, bytes_max)).await;
            let text = read.map_err(|_| failed("reading it panicked".to_owned()))?.map_err(failed)?;
            Ok(KeyResponse { bytes: text.into_bytes(), max_age_s: None })
        }
        KeyPlace::Url(url) => {
            let permit = FetchPermit::new("GET", url.as_str(), request.private);
            let permit = permit.map_err(|error| failed(error.to_string()))?;
            let ca = request.ca.map(|path| path.to_string_lossy().into_owned());
            match egress.published(&permit, ca, request.timeout, bytes_max).await {
                Ok(document) => Ok(KeyResponse { bytes: document.bytes, max_age_s: document.max_age_s }),
                Err(PublishedError::Status(status)) => Err(KeyFetchError::Status(status.as_u16())),
                Err(error) => Err(failed(error.to_string())),
            }
        }
    }
}
