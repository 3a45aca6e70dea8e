//! Changes about callers while serving: API keys, access rules, issuers.

use std::sync::{Arc, PoisonError};

use toolgate_policy::Digest;
use toolgate_runtime::spec::AccessRules;
use toolgate_state::audit::Event;

use super::Reload;
use crate::config::{AuthConfig, Config};

impl Reload {
    /// Applies the files about callers only: the API keys, and the rules.
    pub(super) fn take_callers(&self) {
        self.take_keys();
        self.take_rules();
    }

    /// Applies the present files of rules, all of them or none. Waits for a load that is running.
    fn take_rules(&self) {
        // Held throughout, so that of two changes the later one is applied last.
        let access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        let rules = access
            .load(&self.config)
            .map_err(|problems| problems.list().iter().map(ToString::to_string).collect::<Vec<_>>());
        let reconciler = &self.gate.reconciler;
        let before = digests(&reconciler.rules());
        if rules.as_ref().is_ok_and(|rules| digests(rules) == before) {
            return;
        }
        let taken = rules
            .and_then(|rules| reconciler.rule(&Arc::new(rules)).map_err(|misfits| vec![misfits.to_string()]));
        let policy = reconciler.rules().set.digest();
        let problems = taken.err().unwrap_or_default();
        for problem in &problems {
            tracing::error!("the access rules cannot be used; those before go on: {problem}");
        }
        if problems.is_empty() {
            tracing::info!("the access rules were read again");
        }
        self.gate.record(&Event::Rules { policy: policy.to_string(), problems });
    }

    fn take_keys(&self) {
        let Some((auth, config)) = &self.auth else { return };
        let mut config = config.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = config.reread().map_err(|problems| problems.to_string());
        let taken =
            taken.and_then(|next| auth.replace(next.clone()).map_err(|error| error.why).map(|()| next));
        match taken {
            Ok(next) => {
                *config = next;
                tracing::info!("the API keys were read again");
            }
            Err(why) => tracing::error!("the API keys cannot be used; those before go on: {why}"),
        }
    }

    /// Leaves the rules as they are if those of a whole configuration do not fit the plugins that serve.
    pub(super) fn check_rules(&self, config: &mut Config) {
        let reconciler = &self.gate.reconciler;
        match reconciler.check_rules(&config.spec.rules) {
            Ok(()) => *self.access.lock().unwrap_or_else(PoisonError::into_inner) = config.access.clone(),
            Err(misfits) => {
                tracing::error!("the access rules cannot be used; those before go on: {misfits}");
                config.spec.rules = reconciler.rules();
            }
        }
    }

    /// Applies `[auth]` of a whole configuration.
    pub(super) fn take_auth(&self, next: Option<&AuthConfig>) {
        match (&self.auth, next) {
            (Some((auth, config)), Some(next)) => {
                let mut config = config.lock().unwrap_or_else(PoisonError::into_inner);
                match auth.replace(next.clone()) {
                    Ok(()) => *config = next.clone(),
                    Err(error) => tracing::error!("[auth] cannot be used; it is as before: {}", error.why),
                }
            }
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => {
                tracing::warn!("[auth] was added or removed since the start; that takes a restart");
            }
        }
    }
}

/// Digests of the rules in force and of those that are tried.
fn digests(rules: &AccessRules) -> (Digest, Option<Digest>) {
    (rules.set.digest(), rules.shadow.as_ref().map(|shadow| shadow.digest()))
}
