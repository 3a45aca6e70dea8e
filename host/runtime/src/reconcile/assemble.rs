//! From loaded plugins to those that serve: name clashes are resolved, and the report is made.

use std::sync::Arc;

use toolgate_base::spec::PluginSpec;
use toolgate_policy::load::pin::Approved;

use super::loading::LoadState;
use super::{FolderProblem, LoadReport, Loaded, Occasion};
use crate::load::LoadError;
use crate::snapshot::names::TakenNames;
use crate::snapshot::plugin::Plugin;
use crate::spec::{Approvals, OnRefused, Spec};

/// Plugins that serve, in the operator's order, and the result for each.
pub(super) fn assemble(
    spec: &Spec,
    states: &[LoadState],
    occasion: Occasion,
) -> (Vec<Arc<Plugin>>, LoadReport) {
    let mut names = TakenNames::default();
    let mut results: Vec<Option<(Loaded, Option<Arc<Plugin>>)>> = states.iter().map(|_| None).collect();
    for index in order(spec) {
        let (Some(state), Some(result)) = (states.get(index), results.get_mut(index)) else { continue };
        *result = Some(place(&mut names, state));
    }
    let mut plugins = Vec::new();
    let mut report = LoadReport { folders: problems(spec), ..LoadReport::default() };
    for (wanted, result) in spec.plugins.iter().zip(results) {
        let Some((loaded, plugin)) = result else { continue };
        plugins.extend(plugin);
        report.plugins.push((wanted.name.clone(), loaded));
    }
    let starting = report.awaited().next().is_some();
    report.starting = starting;
    report.serves = serves(spec, &report, occasion);
    (plugins, report)
}

/// Order in which plugins take their names: by time of approval, then by position in the configuration.
pub(super) fn order(spec: &Spec) -> Vec<usize> {
    let mut order: Vec<usize> = (0..spec.plugins.len()).collect();
    let at = |index: &usize| {
        spec.plugins.get(*index).map_or(i64::MAX, |wanted| approved_at(&spec.approvals, wanted))
    };
    order.sort_by_key(at);
    order
}

fn approved_at(approvals: &Approvals, wanted: &PluginSpec) -> i64 {
    match approvals.of(&wanted.name) {
        Approved::Asked(Some(pin)) => pin.approval.at.0,
        Approved::Asked(None) | Approved::NotAsked => i64::MAX,
    }
}

/// Takes the names of a plugin. It serves only if they are free.
fn place(names: &mut TakenNames, state: &LoadState) -> (Loaded, Option<Arc<Plugin>>) {
    let mut take = |plugin: &Arc<Plugin>| {
        let taken = names.take(&plugin.names()).map(|()| Arc::clone(plugin));
        taken.map_err(|clash| Arc::new(LoadError::Names(plugin.digest(), clash)))
    };
    let digest = |plugin: &Option<Arc<Plugin>>| plugin.as_ref().map(|plugin| plugin.digest());
    match state {
        LoadState::Ready(ready) => match take(&ready.plugin) {
            Ok(plugin) => {
                let (digest, tools) = (plugin.digest(), plugin.tools().len());
                let (kept, set_aside) = (ready.is_unchanged, ready.set_aside.clone());
                let warnings = plugin.warnings();
                (Loaded::Ready { digest, tools, kept, set_aside, warnings }, Some(plugin))
            }
            Err(why) => (Loaded::Not { why, instead: None }, None),
        },
        LoadState::Not { why, instead } => {
            let plugin = instead.as_ref().and_then(|plugin| take(plugin).ok());
            (Loaded::Not { why: Arc::clone(why), instead: digest(&plugin) }, plugin)
        }
        LoadState::Awaited { instead } => {
            let plugin = instead.as_ref().and_then(|plugin| take(plugin).ok());
            (Loaded::Awaited { instead: digest(&plugin) }, plugin)
        }
    }
}

fn problems(spec: &Spec) -> Vec<FolderProblem> {
    let mut problems = Vec::new();
    for folder in &spec.folders {
        let problem = |file: Option<&String>, why: &String| FolderProblem {
            folder: folder.path.clone(),
            file: file.cloned(),
            why: why.clone(),
        };
        problems.extend(folder.unreadable.iter().map(|why| problem(None, why)));
        problems.extend(folder.problems.iter().map(|(file, why)| problem(Some(file), why)));
    }
    problems
}

fn serves(spec: &Spec, report: &LoadReport, occasion: Occasion) -> bool {
    let none = report.plugins.is_empty() && report.folders.is_empty();
    let refused = report.refused().any(|(_, _, instead)| instead.is_none()) || !report.folders.is_empty();
    match (occasion, spec.on_refused) {
        (Occasion::Reload | Occasion::Arrival, _) => true,
        (Occasion::Start, OnRefused::Stop) => !refused,
        (Occasion::Start, OnRefused::Skip) => none || report.has_any(),
    }
}
