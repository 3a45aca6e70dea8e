//! Loading under the newest trust policy. Another process may accept a newer one, such as a revocation, while this one
//! loads. Then the policy is read again instead of failing.

use std::path::Path;
use std::sync::Arc;

use toolgate_base::spec::PluginSpec;
use toolgate_policy::limits::load::TRUST_READS_MAX;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::reconcile::LoadReport;
use toolgate_runtime::snapshot::Snapshot;
use toolgate_runtime::snapshot::plugin::Plugin;
use toolgate_runtime::spec::{Approvals, Spec};

use super::exit::Exit;
use crate::config::{Config, load_trust};

/// Loads a configuration under the current version of its trust policy.
pub(super) fn load(config: &Config, load: impl Fn(&Spec) -> LoadReport) -> LoadReport {
    look(&config.policy, config.spec.clone(), |spec| ((), load(spec))).1
}

/// The plugin alone, as it would serve under these approvals.
pub(super) fn plugin(
    gate: &Gate,
    config: &Config,
    spec: &PluginSpec,
    approvals: Approvals,
) -> Result<Arc<Plugin>, Exit> {
    plugin_with_rules(gate, config, spec, approvals).map(|(plugin, _)| plugin)
}

/// The same, with the snapshot in which it alone serves.
pub(super) fn plugin_with_rules(
    gate: &Gate,
    config: &Config,
    spec: &PluginSpec,
    approvals: Approvals,
) -> Result<(Arc<Plugin>, Snapshot), Exit> {
    let alone = config.spec.of(spec.clone(), approvals);
    let (would_serve, report) = look(&config.policy, alone, |spec| gate.reconciler.look(spec));
    if !report.is_whole() {
        return Err(Exit::not_loaded(&report));
    }
    let plugin = would_serve.plugins().first().cloned();
    let plugin = plugin.ok_or_else(|| Exit::host_failed("the plugin loaded and is not there"))?;
    Ok((plugin, would_serve))
}

/// Loads `spec`. Repeats that while its trust policy is refused and the file has a higher version than the tried one. A
/// restored older file has none.
pub(super) fn look<T>(
    policy: &Path,
    mut spec: Spec,
    load: impl Fn(&Spec) -> (T, LoadReport),
) -> (T, LoadReport) {
    let mut loaded = load(&spec);
    for _ in 0..TRUST_READS_MAX {
        if loaded.1.problem.is_none() {
            break;
        }
        match load_trust(policy) {
            Ok(trust) if trust.policy.version() > spec.trust.policy.version() => spec.trust = Arc::new(trust),
            Ok(_) | Err(_) => break,
        }
        loaded = load(&spec);
    }
    loaded
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use toolgate_runtime::spec::OnRefused;

    use super::*;

    /// The tried versions, when the file then contains `is` and no version below `remembered` is accepted.
    fn tried(was: u64, is: &str, remembered: u64) -> Vec<u64> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trust.toml");
        std::fs::write(&path, format!("version = {was}\n")).unwrap();
        let trust = Arc::new(load_trust(&path).unwrap());
        std::fs::write(&path, is).unwrap();
        let (plugins, folders) = (Vec::new(), Vec::new());
        let (approvals, on_refused) = (Approvals::NotAsked, OnRefused::Skip);
        let spec = Spec { plugins, trust, approvals, rules: Arc::default(), on_refused, folders };
        let tried = RefCell::new(Vec::new());
        let (version, report) = look(&path, spec, |spec| {
            let version = spec.trust.policy.version();
            tried.borrow_mut().push(version);
            let problem = (version < remembered).then(|| "it is older".to_owned());
            (version, LoadReport { problem, ..LoadReport::default() })
        });
        assert_eq!(report.problem.is_none(), version >= remembered);
        tried.into_inner()
    }

    #[test]
    fn a_policy_that_became_newer_meanwhile_is_read_again_and_one_that_was_put_back_is_not() {
        assert_eq!(tried(1, "version = 2\n", 2), [1, 2]);
        assert_eq!(tried(1, "version = 2\n", 1), [1], "nothing is the matter");
        assert_eq!(tried(1, "version = 1\n", 2), [1], "put back");
        assert_eq!(tried(2, "version = 1\n", 3), [2], "put back even further");
        assert_eq!(tried(1, "version = 2\n", 3), [1, 2], "still older, and no newer one is there");
        assert_eq!(tried(1, "version =", 2), [1], "it cannot be read");
    }
}
