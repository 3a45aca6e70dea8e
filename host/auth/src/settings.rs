//! Settings of authentication, and the keys that go with those in force.

use std::sync::Arc;

use tokio::sync::watch;
use toolgate_policy::InvalidValueError;
use toolgate_policy::limits::auth::ISSUERS_MAX;

use super::apikey::ApiKeys;
use super::explain::{AuthError, AuthFailure, AuthStep, StepLog};
use super::fetch::KeyFetch;
use super::issuer::IssuerSpec;
use super::jwt::{self, Candidate};
use super::keys::{Available, IssuerKeys, KeysError};
use super::scope::ScopeHierarchy;
use super::token::UnverifiedToken;

/// Settings under which credentials are verified.
#[derive(Debug, Clone, Default)]
pub struct AuthSettings {
    /// Issuers of tokens.
    pub issuers: Vec<IssuerSpec>,
    /// API keys.
    pub keys: ApiKeys,
    /// Scopes that imply others.
    pub hierarchy: ScopeHierarchy,
}

/// Settings in force, with the keys of their issuers.
pub(crate) struct LiveSettings {
    /// Issuers.
    pub(crate) issuers: Vec<LiveIssuer>,
    /// API keys.
    pub(crate) keys: ApiKeys,
    /// Scopes that imply others.
    pub(crate) hierarchy: Arc<ScopeHierarchy>,
}

/// An issuer in force.
pub(crate) struct LiveIssuer {
    /// Its configuration.
    pub(crate) spec: Arc<IssuerSpec>,
    /// Its keys.
    pub(crate) keys: Arc<IssuerKeys>,
}

impl LiveSettings {
    /// Puts settings in force. Issuers of `former` that are asked in the same way lend their keys.
    pub(crate) fn new(
        settings: AuthSettings,
        former: &[LiveIssuer],
        fetch: &Arc<dyn KeyFetch>,
        generation: &Arc<watch::Sender<u64>>,
    ) -> Result<Self, InvalidValueError> {
        let AuthSettings { issuers, keys, hierarchy } = settings;
        if issuers.len() > ISSUERS_MAX {
            return Err(InvalidValueError::new(format!("there are more than {ISSUERS_MAX} issuers")));
        }
        let mut live: Vec<LiveIssuer> = Vec::with_capacity(issuers.len());
        for spec in issuers {
            let is_twice = |other: &LiveIssuer| {
                other.spec.id() == spec.id() || other.spec.text().issuer == spec.text().issuer
            };
            if live.iter().any(is_twice) {
                return Err(InvalidValueError::at(
                    spec.id(),
                    "two issuers have this id, or the same `issuer`",
                ));
            }
            let keys = former.iter().find(|other| other.keys.spec().has_keys_of(&spec));
            let keys = keys.map_or_else(
                || {
                    let generation = Arc::clone(generation);
                    let on_change = move || generation.send_modify(|generation| *generation += 1);
                    IssuerKeys::new(spec.clone(), Arc::clone(fetch), Arc::new(on_change))
                },
                |other| Arc::clone(&other.keys),
            );
            live.push(LiveIssuer { spec: Arc::new(spec), keys });
        }
        Ok(Self { issuers: live, keys, hierarchy: Arc::new(hierarchy) })
    }

    /// The issuer of this id.
    pub(crate) fn by_id(&self, id: &str) -> Option<&LiveIssuer> {
        self.issuers.iter().find(|issuer| issuer.spec.id() == id)
    }
}

impl LiveIssuer {
    /// Verifies a token that names this issuer.
    pub(crate) async fn verify(
        &self,
        token: UnverifiedToken<'_>,
        hierarchy: &ScopeHierarchy,
        now_s: impl Fn() -> u64,
        log: &mut StepLog,
    ) -> Result<jwt::Verified, AuthError> {
        let candidate = Candidate::check(token, &self.spec, log)?;
        let unavailable = |error: &KeysError| {
            AuthError::new(AuthFailure::Unavailable, AuthStep::Key, "issuer-unreachable", error.to_string())
                .with_remedy("see what `toolgate auth check` says of the issuer")
        };
        let keys = match self.keys.get(now_s(), |keys| candidate.has_key(keys)).await {
            Available::Keys { keys, .. } if candidate.has_key(&keys) => keys,
            // The key may be a new one: that is not for us to refuse.
            Available::Keys { error: Some(error), .. } | Available::Unreachable(error) => {
                return Err(unavailable(&error));
            }
            Available::Keys { error: None, .. } => {
                return Err(AuthError::invalid(
                    AuthStep::Key,
                    "key",
                    "the issuer has no key that `kid` and `alg` name",
                ));
            }
        };
        // The keys may have been waited for.
        candidate.verify(&self.spec, &keys, hierarchy, now_s(), log)
    }
}
