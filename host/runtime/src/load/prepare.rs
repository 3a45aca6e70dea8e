//! The last stage: a cleared plugin is compiled and linked, and asked for its tools where it names them only when it runs.

use std::sync::Arc;

use toolgate_policy::Digest;
use toolgate_policy::load::ClearanceError;
use toolgate_policy::load::clear::check_lints;

use super::LoadError;
use super::clear::Cleared;
use super::dynamic::{self, DynamicToolsError};
use crate::artifact::Artifact;
use crate::sandbox::Sandbox;
use crate::sandbox::export::Export;
use crate::sandbox::export_request::{ExportRequest, Given};
use crate::snapshot::plugin::{Plugin, Surfaces};
use crate::snapshot::tool::ReadyTool;
use crate::spec::PluginSpec;

/// Makes a cleared plugin ready to be called.
///
/// # Errors
/// [`LoadError::Prepare`], [`LoadError::Dynamic`]; [`LoadError::Clear`] for what it says when it is asked for its tools.
pub(crate) fn prepare(
    sandbox: &Sandbox,
    spec: &PluginSpec,
    mut cleared: Cleared,
) -> Result<Plugin, LoadError> {
    let clearance = &cleared.clearance;
    let mut exports = sandbox
        .prepare(clearance, &cleared.fetched.found.artifact, requests(&cleared), &spec.name, &spec.secrets)
        .map_err(|error| LoadError::Prepare(clearance.digest(), error))?;
    let further = exports.split_off(cleared.listings.len());
    let tools = std::mem::take(&mut cleared.listings).into_iter().zip(exports);
    let mut tools: Vec<ReadyTool> =
        tools.map(|(listing, export)| ReadyTool { listing: Arc::new(listing), export, own: None }).collect();
    let former = cleared.former.take();
    let (former, unseen) = former.map(|it| (vec![it.surface], it.unseen)).unwrap_or_default();
    let mut surfaces = Surfaces { all: vec![cleared.surface.clone()], former, unseen };
    if let [list, call, before @ ..] = further.as_slice() {
        add_dynamic(sandbox, spec, &cleared, [list, call], before.first(), &mut tools, &mut surfaces)?;
    }
    let Cleared { clearance, version, .. } = cleared;
    let said = |surfaces: &[Artifact]| clearance.check_dynamic_surface(surfaces.get(1).map(Artifact::digest));
    said(&surfaces.all)
        .or_else(|change| said(&surfaces.former).map_err(|_| change))
        .map_err(|change| LoadError::Clear(clearance.digest(), ClearanceError::Held(vec![change])))?;
    if tools.is_empty() {
        return Err(LoadError::Dynamic(clearance.digest(), DynamicToolsError::None));
    }
    Ok(Plugin::new(spec.clone(), clearance, surfaces, tools, version))
}

/// The functions to be made ready: a tool each, then those by which it names further ones when it runs.
fn requests(cleared: &Cleared) -> Vec<ExportRequest> {
    let tools = cleared.listings.iter().map(|listing| ExportRequest {
        tool: listing.name.clone(),
        path: listing.path.clone(),
        function: listing.function.clone(),
        reply: listing.reply.clone(),
        given: Given::Grants,
    });
    let dynamic = cleared.dynamic.iter().flat_map(|interface| dynamic::wanted(interface));
    // What was approved of it may be what it said by the clock of the former release.
    let before = cleared.dynamic.iter().filter(|_| cleared.former.is_some());
    tools.chain(dynamic).chain(before.map(|interface| dynamic::as_before(interface))).collect()
}

/// Asks a plugin for the tools that it names when it runs, and adds them. `before`: its function as the former release called it.
fn add_dynamic(
    sandbox: &Sandbox,
    spec: &PluginSpec,
    cleared: &Cleared,
    [list, call]: [&Arc<Export>; 2],
    before: Option<&Arc<Export>>,
    tools: &mut Vec<ReadyTool>,
    surfaces: &mut Surfaces,
) -> Result<(), LoadError> {
    let digest: Digest = cleared.clearance.digest();
    let failed = |error| LoadError::Dynamic(digest, error);
    let ask = |list| dynamic::ask(sandbox, &cleared.clearance, list, &spec.name, &spec.prefix);
    let said = ask(list).map_err(failed)?;
    // Some runtimes end where a clock stands at 0: nothing was approved of them there.
    if let Some(Ok(before)) = before.map(ask) {
        surfaces.former.extend(said.as_approved_before(before));
    }
    check_lints(&said.findings, &spec.allow_lints)
        .map_err(|reasons| LoadError::Clear(digest, ClearanceError::Refused(reasons)))?;
    surfaces.all.push(said.surface);
    for (own, listing) in dynamic::compile(said.tools).map_err(failed)? {
        if let Some(tool) = tools.iter().find(|tool| tool.listing.name == listing.name) {
            return Err(failed(DynamicToolsError::Taken(own.name, tool.listing.path.clone())));
        }
        let export = Arc::new(call.named(listing.name.clone()));
        tools.push(ReadyTool { listing: Arc::new(listing), export, own: Some(own) });
    }
    Ok(())
}
