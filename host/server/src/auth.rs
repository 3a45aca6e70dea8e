//! Authentication of this server: the settings in force, and what goes with them. Verification itself is in crate
//! `toolgate_auth`.

mod key_fetch;
pub(crate) mod lease;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::HeaderMap;
use toolgate_auth::challenge::ChallengeAnswer;
use toolgate_auth::{AuthError, Authenticated, Authenticator};
use toolgate_net::egress::Egress;
use toolgate_policy::limits::auth::KEYS_RETRY_S;
use toolgate_policy::{InvalidValueError, Principal};
use toolgate_state::StateDir;
use toolgate_state::key_uses::KeyUses;

use crate::config::{AuthConfig, StepUp};
use key_fetch::IssuerFetch;

/// Parent of this process, over stdio or the command line.
pub(crate) fn parent() -> Principal {
    toolgate_auth::local::parent(rustix::process::getuid().as_raw())
}

/// Authentication of callers. Replaced as a whole when the configuration changes.
pub(crate) struct Auth {
    pub(crate) authenticator: Authenticator,
    view: RwLock<Arc<AuthView>>,
    /// Uses of API keys since the last time that they were stored.
    uses: Mutex<BTreeMap<String, SystemTime>>,
}

/// The parts of the configuration that answers are made of.
struct AuthView {
    config: AuthConfig,
    metadata: Bytes,
}

impl Auth {
    /// Authentication by this configuration. Issuers are reached through name servers of the configuration, if there are
    /// any.
    ///
    /// # Errors
    /// Two issuers cannot be told apart, or there are too many.
    pub(crate) fn new(config: AuthConfig, name_servers: Vec<SocketAddr>) -> Result<Self, InvalidValueError> {
        let fetch = Arc::new(IssuerFetch::new(Egress::new(name_servers)));
        let settings = config.settings.clone();
        let authenticator = Authenticator::new(settings, fetch, Arc::new(SystemTime::now))?;
        let view = RwLock::new(Arc::new(AuthView::of(config)));
        Ok(Self { authenticator, view, uses: Mutex::default() })
    }

    /// Puts another configuration in force.
    ///
    /// # Errors
    /// As for [`Auth::new`]; the former one then stays.
    pub(crate) fn replace(&self, config: AuthConfig) -> Result<(), InvalidValueError> {
        self.authenticator.replace(config.settings.clone())?;
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(AuthView::of(config));
        Ok(())
    }

    /// Fetches keys of issuers before they are needed, and stores when API keys were used, for as long as the server runs.
    pub(crate) async fn keep_fresh(self: Arc<Self>, state: StateDir) {
        let state = Arc::new(state);
        let mut turn = tokio::time::interval(Duration::from_secs(KEYS_RETRY_S));
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            self.authenticator.refresh().await;
            self.store_uses(&state).await;
        }
    }

    /// Holder of a request's credential.
    ///
    /// # Errors
    /// The refusal; [`Auth::answer`] makes the answer to it.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        source: IpAddr,
    ) -> Result<Authenticated, AuthError> {
        let holder = self.authenticator.authenticate(headers, query, source).await?;
        if let Some(id) = &holder.credential.key_id {
            let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
            uses.insert(id.clone(), SystemTime::now());
        }
        Ok(holder)
    }

    async fn store_uses(&self, state: &Arc<StateDir>) {
        let uses = std::mem::take(&mut *self.uses.lock().unwrap_or_else(PoisonError::into_inner));
        if uses.is_empty() {
            return;
        }
        let state = Arc::clone(state);
        let stored = tokio::task::spawn_blocking(move || KeyUses::store(&state, &uses)).await;
        if let Ok(Err(error)) = stored {
            tracing::warn!(%error, "the last uses of API keys could not be stored");
        }
    }

    /// Answer to a refused request.
    pub(crate) fn answer(&self, error: &AuthError) -> ChallengeAnswer {
        self.view().config.resource.answer(error)
    }

    /// Answer to a call that lacks these scopes; `None` where the call itself says so.
    pub(crate) fn step_up(&self, scopes: &[String]) -> Option<ChallengeAnswer> {
        let view = self.view();
        match view.config.step_up {
            StepUp::Http => view.config.resource.insufficient_scope(scopes).ok(),
            StepUp::InBand => None,
        }
    }

    /// Metadata of this protected resource, as JSON (RFC 9728 §3.2).
    pub(crate) fn metadata(&self) -> Bytes {
        self.view().metadata.clone()
    }

    /// Names of the issuers whose tokens cannot be verified now.
    pub(crate) fn unready(&self) -> Vec<String> {
        self.authenticator.unready().into_iter().map(|(issuer, _)| issuer).collect()
    }

    fn view(&self) -> Arc<AuthView> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AuthView {
    fn of(config: AuthConfig) -> Self {
        Self { metadata: config.metadata().into(), config }
    }
}
