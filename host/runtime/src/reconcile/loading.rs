//! Progress of each plugin, and the version that may serve if it does not load.

use std::sync::{Arc, Mutex, PoisonError};

use toolgate_base::artifact::Artifact;
use toolgate_base::spec::{PluginSpec, Source};
use toolgate_net::remote::artefact::component_of;
use toolgate_policy::Digest;
use toolgate_policy::limits::load::LOADS_AT_ONCE;
use toolgate_policy::load::pin::Approved;
use toolgate_policy::load::signer::UnixTime;

use super::Fetching;
use crate::load::error::AccessMisfitError;
use crate::load::source::{Found, Sources};
use crate::load::{self, Against, LoadError, Origin, ReadyPlugin};
use crate::services::Services;
use crate::snapshot::Snapshot;
use crate::snapshot::plugin::Plugin;
use crate::spec::{AccessRules, Spec};

/// Progress of a plugin.
pub(crate) enum LoadState {
    /// It may serve.
    Ready(ReadyPlugin),
    /// It does not load; `instead` may serve.
    Not { why: Arc<LoadError>, instead: Option<Arc<Plugin>> },
    /// It is being fetched; `instead` may serve meanwhile.
    Awaited { instead: Option<Arc<Plugin>> },
}

impl LoadState {
    /// Version that may serve now.
    pub(super) fn serving(&self) -> Option<&Arc<Plugin>> {
        match self {
            Self::Ready(ready) => Some(&ready.plugin),
            Self::Not { instead, .. } | Self::Awaited { instead } => instead.as_ref(),
        }
    }
}

/// Version of a plugin that serves.
fn before<'a>(old: &'a Snapshot, wanted: &PluginSpec) -> Option<&'a Arc<Plugin>> {
    old.plugins().iter().find(|plugin| *plugin.name() == wanted.name)
}

/// Adds the plugins that serve from unreadable folders to the specification: such a folder's content is unknown, so its
/// plugins stay.
pub(super) fn with_hidden(spec: &Spec, old: &Snapshot) -> Spec {
    let mut spec = spec.clone();
    for folder in spec.folders.clone().iter().filter(|folder| folder.unreadable.is_some()) {
        for plugin in old.plugins() {
            let is_known = spec.plugins.iter().any(|wanted| wanted.name == *plugin.name());
            match plugin.source() {
                Source::Within { folder: other, name } if *other == folder.path && !is_known => {
                    let hidden = folder.template.within(&folder.path, plugin.name().clone(), name.clone());
                    spec.plugins.push(hidden);
                }
                _ => {}
            }
        }
    }
    spec
}

/// Loads all plugins, a few at once, so that a slow one does not hold up the rest. In the operator's order.
pub(super) fn load_all(
    services: &Services,
    spec: &Spec,
    old: &Snapshot,
    now: UnixTime,
    fetching: Fetching,
) -> Vec<LoadState> {
    let next = Mutex::new(spec.plugins.iter().enumerate());
    let loader = || {
        let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
        let load = |(at, wanted): (usize, &PluginSpec)| {
            let approved = spec.approvals.of(&wanted.name);
            let against = Against { trust: &spec.trust, approved, now };
            (at, load(services, wanted, against, &spec.rules, before(old, wanted), fetching))
        };
        std::iter::from_fn(take).map(load).collect::<Vec<_>>()
    };
    let (least, most) = LOADS_AT_ONCE;
    let at_once = std::thread::available_parallelism().map_or(least, usize::from).clamp(least, most);
    std::thread::scope(|scope| {
        // If threads cannot be started, fewer load at once.
        let start = |_| std::thread::Builder::new().name("load".to_owned()).spawn_scoped(scope, loader).ok();
        let others: Vec<_> = (1..at_once.min(spec.plugins.len())).filter_map(start).collect();
        let mut all = loader();
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all.sort_by_key(|(at, _)| *at);
        all.into_iter().map(|(_, state)| state).collect()
    })
}

fn load(
    services: &Services,
    wanted: &PluginSpec,
    against: Against<'_>,
    rules: &AccessRules,
    before: Option<&Arc<Plugin>>,
    fetching: Fetching,
) -> LoadState {
    tracing::debug!(plugin = %wanted.name, "loading");
    let origin = match fetching {
        Fetching::Later if wanted.source.is_elsewhere() => {
            match load::fetched_before(&Sources::of(services), wanted, against) {
                Some(Ok(fetched)) => Origin::Fetched(Box::new(fetched)),
                Some(Err(_)) | None => {
                    return LoadState::Awaited { instead: instead(services, wanted, against, before) };
                }
            }
        }
        Fetching::Now | Fetching::Later => Origin::Source,
    };
    finish(services, wanted, against, rules, origin, before)
}

/// Loads a plugin. `before` is its version that serves.
pub(super) fn finish(
    services: &Services,
    wanted: &PluginSpec,
    against: Against<'_>,
    rules: &AccessRules,
    origin: Origin<'_>,
    before: Option<&Arc<Plugin>>,
) -> LoadState {
    let ready = load::run(services, wanted, against, origin, before);
    match ready.and_then(|ready| fits(rules, &ready.plugin).map(|()| ready)) {
        Ok(ready) => LoadState::Ready(ready),
        Err(why) => {
            let before = before.filter(|plugin| fits(rules, plugin).is_ok());
            LoadState::Not { why: Arc::new(why), instead: instead(services, wanted, against, before) }
        }
    }
}

/// Checks that access rules about arguments fit the types of a plugin's tools.
fn fits(rules: &AccessRules, plugin: &Plugin) -> Result<(), LoadError> {
    let served: Vec<_> = plugin.tools().iter().map(|tool| tool.served()).collect();
    let sets = [Some(&rules.set), rules.shadow.as_ref()];
    let misfits: Vec<_> = sets.into_iter().flatten().flat_map(|set| set.bind(&served).1).collect();
    if misfits.is_empty() {
        return Ok(());
    }
    Err(LoadError::Access(plugin.digest(), AccessMisfitError(misfits)))
}

/// Version that may serve in place of `wanted`: the one that serves, or the one approved and stored. For a remote
/// plugin also the bytes that serve, with the present grants. Never bytes other than the pinned ones.
fn instead(
    services: &Services,
    wanted: &PluginSpec,
    against: Against<'_>,
    before: Option<&Arc<Plugin>>,
) -> Option<Arc<Plugin>> {
    let approved = match against.approved {
        Approved::NotAsked => None,
        // Without an approval it must not serve on.
        Approved::Asked(pin) => Some(pin.filter(|pin| pin.revoked.is_none())?),
    };
    let goes_on = before.filter(|plugin| {
        plugin.has_what_is_given_in(wanted)
            && is_pinned(services, wanted, plugin.digest(), Some(plugin))
            && plugin.trusted_by(&against.trust.policy, against.now).is_ok()
            && plugin.clearance().pin() == approved
    });
    if let Some(plugin) = goes_on {
        return Some(Arc::clone(plugin));
    }
    let same_place =
        |plugin: &&Arc<Plugin>| wanted.source.is_elsewhere() && *plugin.source() == wanted.source;
    let digest = match approved {
        Some(pin) => pin.digest,
        None => before.filter(same_place)?.digest(),
    };
    if !is_pinned(services, wanted, digest, before) {
        return None;
    }
    let (artifact, signatures) = services.blobs.get(digest)?;
    let origin = Origin::Kept(Found::new(artifact, signatures));
    load::run(services, wanted, against, origin, before).ok().map(|ready| ready.plugin)
}

/// Whether the pins of a plugin allow these bytes: its `digest`, and the manifest digest in `oci://…@sha256:…`. The
/// manifest names the bytes. If it is not stored, a plugin that serves from it has the right ones.
fn is_pinned(services: &Services, wanted: &PluginSpec, digest: Digest, before: Option<&Arc<Plugin>>) -> bool {
    if wanted.digest.is_some_and(|pin| pin != digest) {
        return false;
    }
    let Some(manifest) = wanted.source.manifest() else { return true };
    let serves_from_it =
        |plugin: &&Arc<Plugin>| plugin.digest() == digest && plugin.source().manifest() == Some(manifest);
    let names_it = |(artifact, _): (Artifact, _)| component_of(artifact.bytes()) == Some(digest);
    before.filter(serves_from_it).is_some() || services.blobs.get(manifest).is_some_and(names_it)
}
