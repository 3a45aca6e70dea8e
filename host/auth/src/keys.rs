//! Keys of one issuer: fetched, kept, fetched again. At most one request is on its way, and at most one begins in
//! [`KEYS_RETRY_S`], however many tokens name unknown keys. While the issuer cannot be reached its last keys count for a
//! limited time; a key that it no longer publishes counts no more.

use std::sync::{Arc, PoisonError, RwLock};

use toolgate_policy::limits::auth::{
    JWKS_BYTES_MAX, KEYS_AGE_MAX_S, KEYS_AGE_MIN_S, KEYS_AGE_S, KEYS_RETRY_S, METADATA_BYTES_MAX,
};
use toolgate_policy::redact::printable;
use url::Url;

use super::discovery;
use super::fetch::{KeyFetch, KeyFetchError, KeyPlace, KeyRequest, KeyResponse};
use super::issuer::{IssuerSpec, KeySource};
use super::jwks::KeySet;

/// Keys that were not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct KeysError {
    /// Place that was asked last.
    pub place: String,
    /// Reason, printable.
    pub why: String,
}

/// The keys of one issuer.
pub(crate) struct IssuerKeys {
    spec: IssuerSpec,
    fetch: Arc<dyn KeyFetch>,
    /// Told each time the keys are others than before.
    on_change: Arc<dyn Fn() + Send + Sync>,
    /// Held by the one who fetches.
    flight: tokio::sync::Mutex<()>,
    known: RwLock<Known>,
}

/// State between requests. Times are in seconds since 1970.
#[derive(Default)]
struct Known {
    keys: Option<Arc<KeySet>>,
    /// Last success.
    fetched_s: u64,
    /// Age at which to fetch again.
    age_max_s: u64,
    /// Last attempt, whatever its end.
    tried_s: Option<u64>,
    /// The reason why the last attempt failed, if it did.
    error: Option<KeysError>,
    /// Address of the keys in the metadata, and when it was read.
    address: Option<(Url, u64)>,
}

/// Keys to judge a token by.
pub(crate) enum Available {
    /// These count now.
    Keys {
        /// The set.
        keys: Arc<KeySet>,
        /// The reason why the last attempt to get newer ones failed, if it did.
        error: Option<KeysError>,
    },
    /// None count, since the issuer cannot be reached.
    Unreachable(KeysError),
}

impl IssuerKeys {
    /// No keys yet. `spec` says where they are.
    pub(crate) fn new(
        spec: IssuerSpec,
        fetch: Arc<dyn KeyFetch>,
        on_change: Arc<dyn Fn() + Send + Sync>,
    ) -> Arc<Self> {
        let (flight, known) = (tokio::sync::Mutex::new(()), RwLock::default());
        Arc::new(Self { spec, fetch, on_change, flight, known })
    }

    /// The issuer for which they are fetched.
    pub(crate) fn spec(&self) -> &IssuerSpec {
        &self.spec
    }

    /// Keys for a token. Fetches them first if there are none or they are old, and once more if `is_enough` is not content
    /// with them.
    pub(crate) async fn get(self: &Arc<Self>, now_s: u64, is_enough: impl Fn(&KeySet) -> bool) -> Available {
        let wanted = {
            let known = self.read();
            match self.usable(&known, now_s) {
                Some(keys) if is_enough(&keys) && !known.is_old(now_s) => Wanted::Nothing,
                // The last attempt failed: nobody waits for the next.
                Some(keys) if is_enough(&keys) && known.error.is_some() => {
                    if known.may_try(now_s) {
                        Wanted::Later
                    } else {
                        Wanted::Nothing
                    }
                }
                _ if known.may_try(now_s) => Wanted::Now,
                _ => Wanted::Others,
            }
        };
        match wanted {
            Wanted::Nothing => {}
            Wanted::Later => drop(tokio::spawn(Arc::clone(self).fetch_if_due(now_s))),
            // A client that goes away must not end a request that others wait for.
            Wanted::Now => drop(tokio::spawn(Arc::clone(self).fetch_if_due(now_s)).await),
            Wanted::Others => drop(self.flight.lock().await),
        }
        let known = self.read();
        match self.usable(&known, now_s) {
            Some(keys) => Available::Keys { keys, error: known.error.clone() },
            None => Available::Unreachable(known.error.clone().unwrap_or_else(|| KeysError {
                place: self.spec.text().issuer.clone(),
                why: "its keys were not fetched yet".to_owned(),
            })),
        }
    }

    /// Fetches the keys if they are old or missing, and the last attempt was long enough ago.
    pub(crate) async fn refresh(self: &Arc<Self>, now_s: u64) {
        let is_due = {
            let known = self.read();
            known.keys.is_none() || known.is_old(now_s)
        };
        if is_due {
            drop(tokio::spawn(Arc::clone(self).fetch_if_due(now_s)).await);
        }
    }

    /// Keys that count now, without asking for newer ones.
    pub(crate) fn current(&self, now_s: u64) -> Option<Arc<KeySet>> {
        self.usable(&self.read(), now_s)
    }

    /// The reason why the last attempt failed, if it did.
    pub(crate) fn error(&self) -> Option<KeysError> {
        self.read().error.clone()
    }

    /// Keys that count: those that need not be fetched again yet, or not while the issuer cannot be reached.
    fn usable(&self, known: &Known, now_s: u64) -> Option<Arc<KeySet>> {
        let for_s = self.spec.text().outage_s.max(known.age_max_s);
        known.keys.clone().filter(|_| now_s <= known.fetched_s.saturating_add(for_s))
    }

    /// Fetches, unless somebody else has just done so.
    async fn fetch_if_due(self: Arc<Self>, now_s: u64) {
        let _flight = self.flight.lock().await;
        let address = {
            let mut known = self.write();
            if !known.may_try(now_s) {
                return;
            }
            known.tried_s = Some(now_s);
            let is_fresh = |(_, read_s): &(Url, u64)| now_s < read_s.saturating_add(KEYS_AGE_MAX_S);
            known.address.clone().filter(is_fresh)
        };
        // Metadata and keys together: those who wait are not to wait for each place in turn.
        let result =
            tokio::time::timeout(self.spec.text().timeout * 2, self.fetch_keys(address, now_s)).await;
        let late =
            || KeysError { place: self.spec.text().issuer.clone(), why: "no answer in time".to_owned() };
        self.keep(result.unwrap_or_else(|_| Err(late())), now_s);
    }

    /// Keeps what was fetched, or why not.
    fn keep(&self, result: Result<Fetch, KeysError>, now_s: u64) {
        let mut known = self.write();
        let is_changed = match result {
            Ok(Fetch { keys, max_age_s, address }) => {
                let is_same = known.keys.as_ref().is_some_and(|former| former.is_same(&keys));
                known.keys = Some(Arc::new(keys));
                known.fetched_s = now_s;
                known.age_max_s = max_age_s.unwrap_or(KEYS_AGE_S).clamp(KEYS_AGE_MIN_S, KEYS_AGE_MAX_S);
                known.error = None;
                known.address = address;
                !is_same
            }
            Err(error) => {
                known.error = Some(error);
                // They may have moved: the metadata is read again.
                known.address = None;
                false
            }
        };
        drop(known);
        if is_changed {
            (self.on_change)();
        }
    }

    /// Fetches the key set, from `address` if the metadata is known.
    async fn fetch_keys(&self, address: Option<(Url, u64)>, now_s: u64) -> Result<Fetch, KeysError> {
        let text = self.spec.text();
        let (place, address) = match (&text.keys, address) {
            (KeySource::Url(url), _) => (KeyPlace::Url(url.clone()), None),
            (KeySource::File(path), _) => (KeyPlace::File(path.clone()), None),
            (KeySource::Metadata, Some((url, read_s))) => (KeyPlace::Url(url.clone()), Some((url, read_s))),
            (KeySource::Metadata, None) => {
                let url = self.discover().await?;
                (KeyPlace::Url(url.clone()), Some((url, now_s)))
            }
        };
        let response = self.ask(place.clone(), JWKS_BYTES_MAX).await;
        let response = response.map_err(|error| failed(&place, &error))?;
        let keys = KeySet::parse(&response.bytes).map_err(|error| failed(&place, &error))?;
        // A file is read again soon: it costs nothing, and says nothing of its age.
        let is_file = matches!(text.keys, KeySource::File(_));
        let max_age_s = if is_file { Some(KEYS_AGE_MIN_S) } else { response.max_age_s };
        Ok(Fetch { keys, max_age_s, address })
    }

    /// Reads the issuer's metadata, wherever of its places it is.
    async fn discover(&self) -> Result<Url, KeysError> {
        let text = self.spec.text();
        let at_issuer = |why: String| KeysError { place: text.issuer.clone(), why };
        let issuer = Url::parse(&text.issuer).map_err(|error| at_issuer(error.to_string()))?;
        let mut last = at_issuer("it has no metadata".to_owned());
        for place in discovery::places(&issuer).into_iter().map(KeyPlace::Url) {
            match self.ask(place.clone(), METADATA_BYTES_MAX).await {
                Ok(response) => match discovery::keys_address(&response.bytes, &text.issuer, text.private) {
                    Ok(address) => return Ok(address),
                    Err(error) => last = failed(&place, &error),
                },
                Err(error @ KeyFetchError::Status(_)) => last = failed(&place, &error),
                // Who does not answer at all will not answer at the next place either.
                Err(error @ KeyFetchError::Failed(_)) => return Err(failed(&place, &error)),
            }
        }
        Err(last)
    }

    async fn ask(&self, place: KeyPlace, bytes_max: usize) -> Result<KeyResponse, KeyFetchError> {
        let text = self.spec.text();
        let request = KeyRequest {
            place,
            private: text.private,
            ca: text.ca.clone(),
            timeout: text.timeout,
            bytes_max,
        };
        // The fetcher keeps to both bounds; here they are held against a mistake in it.
        let response = tokio::time::timeout(text.timeout, self.fetch.fetch(request)).await;
        let response =
            response.unwrap_or_else(|_| Err(KeyFetchError::Failed("no answer in time".to_owned())))?;
        if response.bytes.len() > bytes_max {
            return Err(KeyFetchError::Failed(format!("the answer has more than {bytes_max} bytes")));
        }
        Ok(response)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a token needs keys to be fetched.
enum Wanted {
    Nothing,
    /// In the background.
    Later,
    Now,
    /// By those who began it, if it is still on its way.
    Others,
}

/// A fetched key set.
struct Fetch {
    keys: KeySet,
    max_age_s: Option<u64>,
    /// Address in the metadata, and when that was read.
    address: Option<(Url, u64)>,
}

impl Known {
    fn is_old(&self, now_s: u64) -> bool {
        now_s >= self.fetched_s.saturating_add(self.age_max_s)
    }

    /// Whether an attempt may begin.
    fn may_try(&self, now_s: u64) -> bool {
        self.tried_s.is_none_or(|tried_s| now_s >= tried_s.saturating_add(KEYS_RETRY_S))
    }
}

fn failed(place: &KeyPlace, error: &dyn std::error::Error) -> KeysError {
    let place = match place {
        KeyPlace::Url(url) => toolgate_policy::redact::url(url.as_str(), 200),
        KeyPlace::File(path) => printable(&path.to_string_lossy(), 200),
    };
    KeysError { place, why: printable(&error.to_string(), 300) }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
