//! Name clashes between a plugin about to be approved and those approved already. Only names are compared. Nothing is
//! compiled, except a plugin with dynamic tools whose list is not stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use toolgate_base::spec::PluginSpec;
use toolgate_policy::load::Pin;
use toolgate_policy::load::pin::Approved;
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::{Digest, PluginName, ToolName};

use super::Reconciler;
use super::assemble::order;
use crate::load::source::{Found, Sources};
use crate::load::{self, Against, Kind, LoadError, Origin};
use crate::snapshot::names::{TakenNames, WantedNames};
use crate::snapshot::plugin::Plugin;
use crate::spec::Spec;

/// Names of approved plugins, as far as they were needed so far.
#[derive(Default)]
pub struct Rivals {
    /// Digest of the policy that they were judged by.
    trust: Option<Digest>,
    /// Tools of each plugin, with their inputs; none for a plugin that would not serve.
    known: BTreeMap<PluginName, (PluginSpec, Pin, Option<Vec<ToolName>>)>,
}

/// Unknown names of an approved plugin. It may serve later or on another host, so its names must stay reserved.
#[derive(Debug, thiserror::Error)]
pub enum RivalsError {
    /// It would have to be fetched.
    #[error(
        "compare its names with those of plugin {0}: that would have to be fetched; run the command again"
    )]
    SourceError(PluginName),
    /// It cannot be read or fetched.
    #[error(
        "compare its names with those of plugin {0}, which is approved and cannot be loaded: {1}; make it available, or take it \
         out with `toolgate plugin remove {0}`"
    )]
    Failed(PluginName, String),
}

impl Reconciler {
    /// Newcomers and approved plugins whose names clash, each with the reason. `spec` has the approvals.
    ///
    /// # Errors
    /// [`RivalsError`] if names are not known: a plugin would have to be fetched and may not be, or cannot be loaded.
    pub fn clashes(
        &self,
        spec: &Spec,
        newcomers: &[Arc<Plugin>],
        rivals: &mut Rivals,
        may_fetch: bool,
    ) -> Result<Vec<(PluginName, String)>, RivalsError> {
        if rivals.trust != Some(spec.trust.sha256) {
            *rivals = Rivals { trust: Some(spec.trust.sha256), known: BTreeMap::new() };
        }
        // A policy that is refused lets nothing serve.
        let Ok(now) = self.services.rollback.judge(&spec.trust, load::now()) else { return Ok(Vec::new()) };
        let is_new = |wanted: &PluginSpec| newcomers.iter().any(|plugin| *plugin.name() == wanted.name);
        let (mut names, mut clashes) = (TakenNames::default(), Vec::new());
        for wanted in order(spec).into_iter().filter_map(|index| spec.plugins.get(index)) {
            let Approved::Asked(Some(pin)) = spec.approvals.of(&wanted.name) else { continue };
            if is_new(wanted) || pin.revoked.is_some() {
                continue;
            }
            if !rivals.known.get(&wanted.name).is_some_and(|(was, by, _)| was == wanted && by == pin) {
                let tools = self.tools_of(spec, wanted, pin, now, may_fetch)?;
                rivals.known.insert(wanted.name.clone(), (wanted.clone(), pin.clone(), tools));
            }
            if let Some((_, _, Some(tools))) = rivals.known.get(&wanted.name) {
                let (plugin, prefix) = (&wanted.name, &wanted.prefix);
                let may_be_similar = wanted.may_be_similar();
                let wants = WantedNames { plugin, prefix, tools: tools.iter().collect(), may_be_similar };
                // An older release approved both, or a prefix was changed.
                clashes.extend(names.take(&wants).err().map(|clash| (plugin.clone(), clash.to_string())));
            }
        }
        // Among newcomers the order of the configuration decides.
        for wanted in &spec.plugins {
            for plugin in newcomers.iter().filter(|plugin| *plugin.name() == wanted.name) {
                if let Err(clash) = names.take(&plugin.names()) {
                    clashes.push((wanted.name.clone(), clash.to_string()));
                }
            }
        }
        Ok(clashes)
    }

    /// Tools of an approved plugin; none if it would not serve.
    fn tools_of(
        &self,
        spec: &Spec,
        wanted: &PluginSpec,
        pin: &Pin,
        now: UnixTime,
        may_fetch: bool,
    ) -> Result<Option<Vec<ToolName>>, RivalsError> {
        let against = Against { trust: &spec.trust, approved: Approved::Asked(Some(pin)), now };
        let sources = Sources::of(&self.services);
        let origin = match self.services.blobs.get(pin.digest) {
            Some((artifact, signatures)) => Origin::Kept(Found::new(artifact, signatures)),
            None if wanted.source.is_elsewhere() && !may_fetch => {
                return Err(RivalsError::SourceError(wanted.name.clone()));
            }
            None => match would_serve(wanted, load::fetch(&sources, wanted, against, Origin::Source))? {
                Some(fetched) if fetched.found.artifact.digest() == pin.digest => {
                    Origin::Fetched(Box::new(fetched))
                }
                Some(_) | None => return Ok(None),
            },
        };
        let wanted = PluginSpec { digest: None, ..wanted.clone() };
        let cleared = would_serve(&wanted, load::clear(&sources, &wanted, against, origin))?;
        let Some(cleared) = cleared else { return Ok(None) };
        let surface = pin
            .surfaces
            .get(1)
            .and_then(|surface| self.services.blobs.get(*surface))
            .map(|(surface, _)| surface);
        if let Some(tools) = cleared.tools(&wanted.prefix, surface.as_ref()) {
            return Ok(Some(tools));
        }
        let plugin = would_serve(&wanted, load::prepare(&self.services.sandbox, &wanted, cleared))?;
        let tools = |plugin: Plugin| plugin.tools().iter().map(|tool| tool.listing.name.clone()).collect();
        Ok(plugin.map(tools))
    }
}

/// Result of a step of loading an approved plugin; none if a server would refuse the plugin itself.
///
/// # Errors
/// [`RivalsError::Failed`] if the step failed for another reason.
fn would_serve<T>(wanted: &PluginSpec, step: Result<T, LoadError>) -> Result<Option<T>, RivalsError> {
    match step {
        Ok(step) => Ok(Some(step)),
        Err(not) if not.kind() == Kind::Failed => {
            Err(RivalsError::Failed(wanted.name.clone(), not.reasons(&wanted.name).join("; ")))
        }
        Err(_) => Ok(None),
    }
}
