//! How far each plugin has come, and what may serve where it does not load.

use std::sync::{Arc, Mutex, PoisonError};

use toolgate_base::artifact::Artifact;
use toolgate_base::spec::{PluginSpec, Source};
use toolgate_net::remote::artefact::component_of;
use toolgate_policy::Digest;
use toolgate_policy::limits::load::LOADS_AT_ONCE;
use toolgate_policy::load::pin::Approved;
use toolgate_policy::load::signer::UnixTime;

use super::Fetching;
use crate::load::source::{Found, Sources};
use crate::load::{self, Against, LoadError, Origin, ReadyPlugin};
use crate::services::Services;
use crate::snapshot::Snapshot;
use crate::snapshot::plugin::Plugin;
use crate::spec::Spec;

/// How far a plugin has come.
pub(crate) enum LoadState {
    /// It may serve.
    Ready(ReadyPlugin),
    /// It does not load; what may serve instead.
    Not { why: Arc<LoadError>, instead: Option<Arc<Plugin>> },
    /// It is being fetched; what may serve meanwhile.
    Awaited { instead: Option<Arc<Plugin>> },
}

impl LoadState {
    /// What may serve of it now.
    pub(super) fn serving(&self) -> Option<&Arc<Plugin>> {
        match self {
            Self::Ready(ready) => Some(&ready.plugin),
            Self::Not { instead, .. } | Self::Awaited { instead } => instead.as_ref(),
        }
    }
}

/// The version of a plugin that serves.
fn before<'a>(old: &'a Snapshot, wanted: &PluginSpec) -> Option<&'a Arc<Plugin>> {
    old.plugins().iter().find(|plugin| *plugin.name() == wanted.name)
}

/// What should serve, with the plugins that serve from folders that cannot be looked through now: what lies in such a folder is
/// not known, so what is known of it stays.
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

/// Loads all of them, a few at once: one that is slow to compile does not hold up the others. In the operator's order.
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
            (at, load(services, wanted, against, before(old, wanted), fetching))
        };
        std::iter::from_fn(take).map(load).collect::<Vec<_>>()
    };
    let (least, most) = LOADS_AT_ONCE;
    let at_once = std::thread::available_parallelism().map_or(least, usize::from).clamp(least, most);
    std::thread::scope(|scope| {
        // Where no more threads can be started, fewer load.
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
    finish(services, wanted, against, origin, before)
}

/// Loads a plugin. `before` is what serves of it.
pub(super) fn finish(
    services: &Services,
    wanted: &PluginSpec,
    against: Against<'_>,
    origin: Origin<'_>,
    before: Option<&Arc<Plugin>>,
) -> LoadState {
    match load::run(services, wanted, against, origin, before) {
        Ok(ready) => LoadState::Ready(ready),
        Err(why) => {
            LoadState::Not { why: Arc::new(why), instead: instead(services, wanted, against, before) }
        }
    }
}

/// What may serve where `wanted` does not: the version that serves, or the one that was approved and kept. Of a plugin from
/// elsewhere also the bytes that serve, with what is given now. Never other bytes than the configuration pins.
fn instead(
    services: &Services,
    wanted: &PluginSpec,
    against: Against<'_>,
    before: Option<&Arc<Plugin>>,
) -> Option<Arc<Plugin>> {
    let approved = match against.approved {
        Approved::NotAsked => None,
        // What nobody approves any more serves no more.
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
    let (artifact, signatures) = services.kept.get(digest)?;
    let origin = Origin::Kept(Found::new(artifact, signatures));
    load::run(services, wanted, against, origin, before).ok().map(|ready| ready.plugin)
}

/// Whether the configuration lets a plugin have these bytes: by its `digest`, and by the digest in `oci://…@sha256:…`. That one is of a
/// manifest, and the manifest names the bytes. It is kept; where it is not, a plugin that serves from it has its bytes.
fn is_pinned(services: &Services, wanted: &PluginSpec, digest: Digest, before: Option<&Arc<Plugin>>) -> bool {
    if wanted.digest.is_some_and(|pin| pin != digest) {
        return false;
    }
    let Some(manifest) = wanted.source.manifest() else { return true };
    let serves_from_it =
        |plugin: &&Arc<Plugin>| plugin.digest() == digest && plugin.source().manifest() == Some(manifest);
    let names_it = |(kept, _): (Artifact, _)| component_of(kept.bytes()) == Some(digest);
    before.filter(serves_from_it).is_some() || services.kept.get(manifest).is_some_and(names_it)
}
