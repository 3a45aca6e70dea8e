//! Authentication of requests: reads the credential, verifies it under the settings in force, remembers it for a moment, and
//! counts failures. Settings are replaced in one step; what was verified under former ones can be told apart.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use tokio::sync::watch;
use toolgate_policy::limits::auth::DATE_MAX_S;
use toolgate_policy::{Digest, InvalidValueError};

use super::authenticated::{Authenticated, CredentialId, Proof, ProofKind, principal, short};
use super::bearer::{self, Presented};
use super::cache::VerifiedTokens;
use super::explain::{AuthError, AuthFailure, AuthStep, StepLog};
use super::failures::Failures;
use super::fetch::KeyFetch;
use super::jwks::KeySet;
use super::jwt;
use super::keys::KeysError;
use super::settings::LiveSettings;

pub use super::settings::AuthSettings;

/// The time of the machine.
pub type TimeSource = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Verifies credentials. Needs a Tokio runtime, on which keys are fetched.
pub struct Authenticator {
    live: RwLock<Arc<LiveSettings>>,
    tokens: Mutex<VerifiedTokens>,
    failures: Mutex<Failures>,
    fetch: Arc<dyn KeyFetch>,
    time: TimeSource,
    /// Latest time that was seen, in seconds since 1970.
    seen_s: AtomicU64,
    generation: Arc<watch::Sender<u64>>,
}

/// Steps of a verification, and its end.
pub struct Explanation {
    /// Steps that were passed, each with what was found.
    pub steps: Vec<(AuthStep, String)>,
    /// The holder, or the step that failed and why.
    pub result: Result<Authenticated, AuthError>,
}

/// Keys of an issuer, as found just now.
pub struct IssuerCheck {
    /// Keys that count.
    pub keys: Option<Arc<KeySet>>,
    /// The reason why the last request failed, if it did.
    pub error: Option<KeysError>,
    /// Algorithms of the configuration for which it has no key.
    pub without_key: Vec<&'static str>,
}

/// Reasons why a credential that was good counts no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialEnd {
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
    /// Settings or keys are others than those by which it was verified.
    Changed,
}

impl Authenticator {
    /// An authenticator under these settings.
    ///
    /// # Errors
    /// [`InvalidValueError`] if two issuers cannot be told apart, or there are too many.
    pub fn new(
        settings: AuthSettings,
        fetch: Arc<dyn KeyFetch>,
        time: TimeSource,
    ) -> Result<Self, InvalidValueError> {
        let generation = Arc::new(watch::Sender::new(0));
        let live = LiveSettings::new(settings, &[], &fetch, &generation)?;
        Ok(Self {
            live: RwLock::new(Arc::new(live)),
            tokens: Mutex::default(),
            failures: Mutex::default(),
            fetch,
            time,
            seen_s: AtomicU64::new(0),
            generation,
        })
    }

    /// Puts other settings in force, in one step. Keys of issuers that are asked as before stay.
    ///
    /// # Errors
    /// [`InvalidValueError`] as for [`Self::new`]; the former settings then stay.
    pub fn replace(&self, settings: AuthSettings) -> Result<(), InvalidValueError> {
        let former = self.live();
        let live = LiveSettings::new(settings, &former.issuers, &self.fetch, &self.generation)?;
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
        self.generation.send_modify(|generation| *generation += 1);
        Ok(())
    }

    /// Signals each change of settings or keys. Who has an open stream then asks [`Self::is_current`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// The holder of a request's credential. `query` is the query of its target.
    ///
    /// # Errors
    /// [`AuthError`] for the first step that fails.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        source: IpAddr,
    ) -> Result<Authenticated, AuthError> {
        let result = match bearer::read(headers, query) {
            Ok(presented) => self.verify(presented, source).await,
            Err(error) => Err(error),
        };
        result.map_err(|error| {
            let is_first = error.failure.counts() && lock(&self.failures).count(source, self.now_s());
            AuthError { is_first, ..error }
        })
    }

    /// Verifies a credential by the same steps as [`Self::authenticate`], and says what each found. Nothing is remembered or
    /// counted.
    pub async fn explain(&self, credential: &str, source: IpAddr) -> Explanation {
        let mut log = StepLog::on();
        let result = match bearer::classify(credential) {
            Ok(Presented::ApiKey(text)) => self.verify_key(text, source, &mut log),
            Ok(Presented::Jwt(text)) => {
                self.verify_token(text, Digest::of(text.as_bytes()), &mut log).await.map(|(holder, _)| holder)
            }
            Err(error) => Err(error),
        };
        Explanation { steps: log.into_steps(), result }
    }

    /// Whether a credential that was good still counts. Cheap: no signature is verified.
    ///
    /// # Errors
    /// [`CredentialEnd`] says why not.
    pub fn is_current(&self, holder: &Authenticated) -> Result<(), CredentialEnd> {
        let now_s = self.now_s();
        if at(now_s) >= holder.expires_at {
            return Err(CredentialEnd::Expired);
        }
        let live = self.live();
        if live.hierarchy != holder.proof.hierarchy {
            return Err(CredentialEnd::Changed);
        }
        let is_same = match &holder.proof.of {
            ProofKind::ApiKey(row) => match live.keys.row(&row.id) {
                Some(now) if now.revoked.is_some() => return Err(CredentialEnd::Revoked),
                now => now == Some(row.as_ref()),
            },
            ProofKind::Token { issuer, key } => live.by_id(issuer.id()).is_some_and(|now| {
                let keys = now.keys.current(now_s);
                now.spec == *issuer
                    && keys.is_some_and(|keys| keys.iter().any(|other| other.key().fingerprint() == *key))
            }),
        };
        if is_same { Ok(()) } else { Err(CredentialEnd::Changed) }
    }

    /// Fetches keys that are missing or old. To be called every few seconds, so that requests need not wait for it.
    pub async fn refresh(&self) {
        let (live, now_s) = (self.live(), self.now_s());
        futures::future::join_all(live.issuers.iter().map(|issuer| issuer.keys.refresh(now_s))).await;
    }

    /// Issuers whose tokens cannot be verified now, and why.
    pub fn unready(&self) -> Vec<(String, Option<KeysError>)> {
        let (live, now_s) = (self.live(), self.now_s());
        let unready = live.issuers.iter().filter(|issuer| issuer.keys.current(now_s).is_none());
        unready.map(|issuer| (issuer.spec.id().to_owned(), issuer.keys.error())).collect()
    }

    /// Fetches the keys of an issuer, and says what will not work with them. `None` if there is no such issuer.
    pub async fn check_issuer(&self, id: &str) -> Option<IssuerCheck> {
        let live = self.live();
        let issuer = live.by_id(id)?;
        issuer.keys.refresh(self.now_s()).await;
        let keys = issuer.keys.current(self.now_s());
        let algorithms = issuer.spec.text().algorithms.iter();
        let has_key = |set: &KeySet, algorithm| set.iter().any(|key| key.fits(algorithm));
        let without =
            algorithms.filter(|algorithm| keys.as_ref().is_none_or(|set| !has_key(set, **algorithm)));
        let without_key = without.map(|algorithm| algorithm.name()).collect();
        Some(IssuerCheck { keys, error: issuer.keys.error(), without_key })
    }

    async fn verify(&self, presented: Presented<'_>, source: IpAddr) -> Result<Authenticated, AuthError> {
        let text = match presented {
            Presented::ApiKey(text) => {
                self.check_flood(source)?;
                return self.verify_key(text, source, &mut StepLog::off());
            }
            Presented::Jwt(text) => text,
        };
        let digest = Digest::of(text.as_bytes());
        // Before settings and keys are read: what changes meanwhile makes it old.
        let generation = *self.generation.borrow();
        if let Some(holder) = lock(&self.tokens).get(generation, &digest, self.now_s()) {
            return Ok(holder);
        }
        self.check_flood(source)?;
        let (holder, expires_s) = self.verify_token(text, digest, &mut StepLog::off()).await?;
        let generations = (generation, *self.generation.borrow());
        lock(&self.tokens).put(generations, digest, holder.clone(), (expires_s, self.now_s()));
        Ok(holder)
    }

    fn verify_key(&self, text: &str, source: IpAddr, log: &mut StepLog) -> Result<Authenticated, AuthError> {
        let live = self.live();
        live.keys.verify(text, source, at(self.now_s()), &live.hierarchy, log)
    }

    /// Verifies a token. Returns its holder and the second at which it expires.
    async fn verify_token(
        &self,
        text: &str,
        digest: Digest,
        log: &mut StepLog,
    ) -> Result<(Authenticated, u64), AuthError> {
        let live = self.live();
        let (token, claimed) = jwt::read(text, log)?;
        let issuer = live.issuers.iter().find(|issuer| issuer.spec.text().issuer == claimed);
        let issuer = issuer.ok_or_else(|| {
            AuthError::invalid(
                AuthStep::Issuer,
                "issuer",
                format!("`iss` is `{claimed}`, which is not configured"),
            )
            .with_remedy("if it is yours, add an [[auth.issuer]] whose `issuer` is the same, byte for byte")
        })?;
        log.pass(AuthStep::Issuer, || format!("{} ({claimed})", issuer.spec.id()));
        let verified = issuer.verify(token, &live.hierarchy, || self.now_s(), log).await;
        let verified =
            verified.map_err(|error| AuthError { issuer: Some(issuer.spec.id().to_owned()), ..error })?;
        let credential = CredentialId {
            hash: short(&digest),
            issuer: issuer.spec.id().to_owned(),
            key_id: None,
            token_id: verified.id.as_ref().map(short),
            other_audiences: verified.other_audiences,
        };
        let of = ProofKind::Token { issuer: Arc::clone(&issuer.spec), key: verified.key };
        let holder = Authenticated {
            principal: principal(verified.identity),
            expires_at: at(verified.expires_s),
            credential: Arc::new(credential),
            proof: Proof { hierarchy: Arc::clone(&live.hierarchy), of },
        };
        Ok((holder, verified.expires_s))
    }

    fn check_flood(&self, source: IpAddr) -> Result<(), AuthError> {
        match lock(&self.failures).refused_for_s(source, self.now_s()) {
            None => Ok(()),
            Some(retry_after_s) => Err(AuthError::new(
                AuthFailure::TooMany { retry_after_s },
                AuthStep::Flood,
                "too-many",
                "too many failed attempts of this source",
            )),
        }
    }

    /// Seconds since 1970. They never go back: what has expired stays so when somebody turns the clock.
    fn now_s(&self) -> u64 {
        let now = (self.time)().duration_since(UNIX_EPOCH);
        // A clock that is before 1970, or beyond any date, says nothing: everything has expired until the next start.
        let now_s = now.map(|now| now.as_secs()).ok().filter(|now_s| *now_s <= DATE_MAX_S);
        let now_s = now_s.unwrap_or(NO_TIME_S);
        self.seen_s.fetch_max(now_s, Ordering::Relaxed).max(now_s)
    }

    fn live(&self) -> Arc<LiveSettings> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A time after every date, which leaves room to be added to.
const NO_TIME_S: u64 = u64::MAX / 4;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds.min(DATE_MAX_S))).unwrap_or(UNIX_EPOCH)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "authenticator_tests.rs"]
mod tests;
