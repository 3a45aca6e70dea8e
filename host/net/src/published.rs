//! Small documents that others publish, such as the keys of an issuer of tokens. One request without credentials; redirects
//! are not followed, and nothing is decompressed.

use std::time::Duration;

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING};
use tokio::time::Instant;
use toolgate_base::outcome::with_causes;
use toolgate_policy::load::fetch::FetchPermit;

use crate::egress::Egress;
use crate::egress::fetch::{RequestError, RequestParts, Terms};

/// A document that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedDocument {
    /// Content.
    pub bytes: Vec<u8>,
    /// `max-age` of `Cache-Control` (RFC 9111 §5.2.2.1), in seconds, if there is one.
    pub max_age_s: Option<u64>,
}

/// Reason that there is no document.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// The answer has another status than 200. Redirects count.
    #[error("the answer has status {0}")]
    Status(StatusCode),
    /// The answer is compressed, although nothing asked for that.
    #[error("the answer is compressed")]
    Packed,
    /// It did not come whole within time and size, or from an allowed address.
    #[error("{0}")]
    Failed(String),
}

impl Egress {
    /// Fetches a document of at most `bytes_max` bytes within `timeout`. `ca` is a file of certificate authorities to trust
    /// instead of the system's.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub async fn published(
        &self,
        permit: &FetchPermit,
        ca: Option<String>,
        timeout: Duration,
        bytes_max: u64,
    ) -> Result<PublishedDocument, PublishedError> {
        let by = Instant::now() + timeout;
        let terms = Terms { ca, by, progress: std::sync::Arc::new(|_, _| {}) };
        let parts = RequestParts::default();
        let response =
            self.run(permit, &parts, &terms).await.map_err(|error| PublishedError::from(&error))?;
        if response.status != StatusCode::OK {
            return Err(PublishedError::Status(response.status));
        }
        if response.headers.contains_key(CONTENT_ENCODING) {
            return Err(PublishedError::Packed);
        }
        let directives =
            response.headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        let max_age_s = directives.flat_map(|value| value.split(',')).find_map(max_age);
        let bytes =
            response.read(bytes_max).await.map_err(|error| PublishedError::Failed(with_causes(&error)))?;
        Ok(PublishedDocument { bytes, max_age_s })
    }
}

/// Seconds of a `max-age` directive. `no-store` and `no-cache` ask for a new look at once.
fn max_age(directive: &str) -> Option<u64> {
    let directive = directive.trim().to_ascii_lowercase();
    if directive == "no-store" || directive == "no-cache" {
        return Some(0);
    }
    directive.strip_prefix("max-age=")?.trim_matches('"').parse().ok()
}

impl From<&RequestError> for PublishedError {
    fn from(error: &RequestError) -> Self {
        Self::Failed(with_causes(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_document_is_read_from_its_directives() {
        assert_eq!(max_age(" Max-Age=60"), Some(60));
        assert_eq!(max_age("no-store"), Some(0));
        for other in ["public", "max-age=", "max-age=-1", "s-maxage=5"] {
            assert_eq!(max_age(other), None, "{other}");
        }
    }
}
