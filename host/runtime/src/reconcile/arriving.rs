//! Arrival of fetched plugins for a plan that serves already. They are judged by the trust policy now in force, loaded
//! as at a start, and added.

use std::sync::Arc;

use toolgate_base::outcome::with_causes;

use super::fetches::Fetch;
use super::loading::{self, LoadState};
use super::report::log;
use super::{Occasion, Plan, Reconciler};
use crate::load::source::{Found, SourceError};
use crate::load::{self, Against, Kind, LoadError, Origin};
use crate::spec::Spec;

impl Plan {
    /// Fetches that it waits for.
    pub(super) fn fetches(&self) -> Vec<Fetch> {
        self.fetches_where(|state| matches!(state, LoadState::Awaited { .. }))
    }

    /// Fetches that failed.
    pub(super) fn failed_fetches(&self) -> Vec<Fetch> {
        self.fetches_where(|state| {
            matches!(state, LoadState::Not { why, .. } if matches!(**why, LoadError::Fetch(_)) && why.kind() == Kind::Failed)
        })
    }

    fn fetches_where(&self, is_meant: impl Fn(&LoadState) -> bool) -> Vec<Fetch> {
        let plugins = self.spec.plugins.iter().zip(&self.states);
        let meant = plugins.filter(|(wanted, state)| wanted.source.is_elsewhere() && is_meant(state));
        meant.map(|(wanted, _)| Fetch::of(wanted, &self.spec.trust)).collect()
    }
}

impl Reconciler {
    /// Loads the plugins that waited for this fetch.
    pub(super) fn arrived(&self, fetch: &Fetch, fetched: &Result<Found, Arc<SourceError>>) {
        let mut plan = self.plan();
        let Some(plan) = plan.as_mut() else { return };
        // A newer policy may have been accepted during the fetch.
        if let Some(trust) = self.services.snapshots.trust() {
            plan.spec.trust = trust;
        }
        let Spec { plugins, trust, approvals, rules, .. } = &plan.spec;
        let now = match self.services.rollback.judge(trust, load::now()) {
            Ok(now) => now,
            Err(error) => {
                tracing::error!("{}; what was fetched is not looked at", with_causes(&error));
                return;
            }
        };
        let mut touched = Vec::new();
        for (wanted, state) in plugins.iter().zip(&mut plan.states) {
            if wanted.source != fetch.source || wanted.digest != fetch.pin {
                continue;
            }
            let against = Against { trust, approved: approvals.of(&wanted.name), now };
            let before = state.serving().cloned();
            let origin = Origin::Arrived(fetched);
            *state = loading::finish(&self.services, wanted, against, rules, origin, before.as_ref());
            touched.push(wanted.name.clone());
        }
        let report = self.publish(plan, Occasion::Arrival, now);
        report
            .plugins
            .iter()
            .filter(|(name, _)| touched.contains(name))
            .for_each(|(name, loaded)| log(name, loaded));
    }
}
