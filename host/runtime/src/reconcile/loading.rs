//! How far one plugin has come, and the steps that bring it further: from where its bytes are, or from what was kept of it.

use std::sync::{Arc, Mutex, PoisonError};

use toolgate_base::artifact::Artifact;
use toolgate_base::spec::{PluginSpec, Source};
use toolgate_net::remote::artefact::component_of;
use toolgate_policy::Digest;
use toolgate_policy::limits::load::LOADS_AT_ONCE;
use toolgate_policy::load::pin::Approved;
use toolgate_policy::load::signer::UnixTime;
use toolgate_signature::SignatureFile;
use toolgate_signature::trust::TrustSpec;
use toolgate_state::blobs::{BlobStoreError, SignatureRank};

use super::Fetching;
use crate::load::source::{Found, Sources};
use crate::load::verify::{self, By};
use crate::load::{self, Against, Cleared, LoadError, clear_found};
use crate::services::Services;
use crate::snapshot::Snapshot;
use crate::snapshot::plugin::Plugin;
use crate::spec::Spec;

/// How far a plugin has come.
pub(crate) enum LoadState {
    /// It may serve.
    Ready(ReadyPlugin),
    /// It does not load; what may serve instead.
    Not { why: LoadError, instead: Option<Arc<Plugin>> },
    /// It is being fetched; what may serve meanwhile.
    Awaited { instead: Option<Arc<Plugin>> },
}

/// A plugin that may serve.
pub(crate) struct ReadyPlugin {
    pub(super) plugin: Arc<Plugin>,
    /// Whether it did before, unchanged.
    pub(super) kept: bool,
    /// A sentence for each thing beside it that was set aside.
    pub(super) set_aside: Vec<String>,
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
    let sources = Sources::of(services);
    let found = match fetching {
        Fetching::Later if wanted.source.is_elsewhere() => {
            match load::fetched_before(&sources, wanted, against) {
                Some(Ok(found)) => Ok(found),
                Some(Err(_)) | None => {
                    return LoadState::Awaited { instead: instead(services, wanted, against, before) };
                }
            }
        }
        Fetching::Now | Fetching::Later => load::fetch(&sources, wanted, against),
    };
    finish(services, wanted, against, found, before)
}

/// Loads what was found. `before` is what serves of the plugin.
pub(super) fn finish(
    services: &Services,
    wanted: &PluginSpec,
    against: Against<'_>,
    found: Result<Found, LoadError>,
    before: Option<&Arc<Plugin>>,
) -> LoadState {
    match found.and_then(|found| load_found(services, wanted, found, against, before)) {
        Ok(ready) => LoadState::Ready(ready),
        Err(why) => LoadState::Not { why, instead: instead(services, wanted, against, before) },
    }
}

fn load_found(
    services: &Services,
    wanted: &PluginSpec,
    found: Found,
    against: Against<'_>,
    before: Option<&Arc<Plugin>>,
) -> Result<ReadyPlugin, LoadError> {
    let cleared = clear_found(wanted, found, against)?;
    let set_aside = cleared.set_aside().to_vec();
    if !set_aside.is_empty() {
        tracing::info!(plugin = %wanted.name, ?set_aside, "files beside it are not signatures of it");
    }
    if cleared.clearance().pin().is_some() || wanted.source.is_elsewhere() {
        keep(services, against.trust, cleared.found());
    }
    if let Some(plugin) = before.filter(|plugin| plugin.is(wanted, cleared.clearance())) {
        return Ok(ReadyPlugin { plugin: Arc::clone(plugin), kept: true, set_aside });
    }
    let plugin = prepare(services, wanted, cleared)?;
    if plugin.clearance().pin().is_some() {
        // What was read when it was approved, so that a change can be shown.
        for surface in plugin.surfaces().iter().filter(|surface| !services.kept.has(surface.digest(), &[])) {
            told(services.kept.put(surface, &[]));
        }
    }
    Ok(ReadyPlugin { plugin: Arc::new(plugin), kept: false, set_aside })
}

/// Makes a cleared plugin ready to be called.
pub(super) fn prepare(
    services: &Services,
    wanted: &PluginSpec,
    cleared: Cleared,
) -> Result<Plugin, LoadError> {
    cleared.prepare(wanted, &services.sandbox)
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
    let found = Found::new(artifact, signatures);
    load_found(services, wanted, found, against, before).ok().map(|ready| ready.plugin)
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

/// Keeps what was approved, with every signature that has been found beside it so far: the key of the first may be the
/// first whose time is over.
fn keep(services: &Services, trust: &TrustSpec, found: &Found) {
    if let Some(manifest) =
        found.manifest.as_ref().filter(|manifest| !services.kept.has(manifest.digest(), &[]))
    {
        told(services.kept.put(manifest, &[]));
    }
    let signatures = verify::worth_keeping(trust, found);
    if services.kept.has(found.artifact.digest(), &signatures) {
        return;
    }
    let mut proved = Vec::new();
    let worth = |file: &SignatureFile| {
        let alone = Found::new(found.artifact.clone(), vec![file.clone()]);
        match verify::examine(trust, &alone).pop().map(|one| one.by) {
            Some(By::Signer(signature)) if proved.contains(&signature) => SignatureRank::Copy,
            Some(By::Signer(signature)) => {
                proved.push(signature);
                SignatureRank::Counts
            }
            Some(By::Stranger(_)) => SignatureRank::MayCount,
            Some(By::Nobody(_)) | None => SignatureRank::Nothing,
        }
    };
    told(services.kept.add(&found.artifact, &signatures, worth));
}

/// What is not kept serves all the same.
fn told(kept: Result<(), BlobStoreError>) {
    if let Err(error) = kept {
        let error = load::told(&error);
        tracing::warn!(error, "what was approved is not kept; when its source changes it cannot serve on");
    }
}
