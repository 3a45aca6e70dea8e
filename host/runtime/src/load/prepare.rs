//! The last stage: a cleared plugin is compiled, linked, and asked for its dynamic tools.

use std::sync::Arc;

use toolgate_base::artifact::Artifact;
use toolgate_base::spec::PluginSpec;
use toolgate_policy::load::ClearanceError;
use toolgate_policy::load::clear::check_lints;
use toolgate_sandbox::Sandbox;
use toolgate_sandbox::export::Export;
use toolgate_sandbox::export_request::{ExportRequest, Given};

use super::LoadError;
use super::clear::Cleared;
use super::dynamic::{self, DynamicToolsError};
use crate::snapshot::plugin::{Plugin, Surfaces};
use crate::snapshot::tool::{ReadyTool, ToolListing};

/// Prepares a cleared plugin for calls.
///
/// # Errors
/// [`LoadError::Prepare`], [`LoadError::Dynamic`]; [`LoadError::Clear`] for the texts of dynamic tools.
pub(crate) fn prepare(sandbox: &Sandbox, spec: &PluginSpec, cleared: Cleared) -> Result<Plugin, LoadError> {
    let requests = requests(&cleared);
    let Cleared { fetched, clearance, inspected, described, former } = cleared;
    let digest = clearance.digest();
    let mut exports = sandbox
        .prepare(&clearance, &fetched.found.artifact, requests, &spec.name, &spec.secrets)
        .map_err(|error| LoadError::Prepare(digest, error))?;
    let further = exports.split_off(described.listings.len());
    let (former, unseen) = former.map(|it| (vec![it.surface], it.unseen)).unwrap_or_default();
    let mut surfaces = Surfaces { all: vec![described.surface], former, unseen };
    let ready = |(listing, export)| ReadyTool { listing: Arc::new(listing), export, own: None };
    let mut tools: Vec<ReadyTool> = described.listings.into_iter().zip(exports).map(ready).collect();
    if let [list, call, before @ ..] = further.as_slice() {
        let ask = |list| dynamic::ask(sandbox, &clearance, list, &spec.name, &spec.prefix);
        let listed = ask(list).map_err(|error| LoadError::Dynamic(digest, error))?;
        // Some runtimes fail when a clock is at 0; then there is no such approval.
        if let Some(Ok(before)) = before.first().map(ask) {
            surfaces.former.extend(listed.as_approved_before(before));
        }
        check_lints(&listed.findings, &spec.allow_lints)
            .map_err(|reasons| LoadError::Clear(digest, ClearanceError::Refused(reasons)))?;
        surfaces.all.push(listed.surface);
        add(&mut tools, listed.tools, call).map_err(|error| LoadError::Dynamic(digest, error))?;
    }
    let check =
        |surfaces: &[Artifact]| clearance.check_dynamic_surface(surfaces.get(1).map(Artifact::digest));
    check(&surfaces.all)
        .or_else(|change| check(&surfaces.former).map_err(|_| change))
        .map_err(|change| LoadError::Clear(digest, ClearanceError::Held(vec![change])))?;
    if tools.is_empty() {
        return Err(LoadError::Dynamic(digest, DynamicToolsError::None));
    }
    Ok(Plugin::new(spec.clone(), clearance, surfaces, tools, inspected.manifest.version))
}

/// Functions to instantiate: one for each tool, then those for dynamic tools.
fn requests(cleared: &Cleared) -> Vec<ExportRequest> {
    let tools = cleared.described.listings.iter().map(|listing| ExportRequest {
        tool: listing.name.clone(),
        path: listing.path.clone(),
        function: listing.function.clone(),
        reply: listing.reply.clone(),
        given: Given::Grants,
    });
    let dynamic = cleared.inspected.dynamic.iter().flat_map(|interface| dynamic::wanted(interface));
    // The approved surface may have been listed with the clock of the former release.
    let before = cleared.inspected.dynamic.iter().filter(|_| cleared.former.is_some());
    tools.chain(dynamic).chain(before.map(|interface| dynamic::as_before(interface))).collect()
}

/// Adds dynamic tools. All are called through one function.
fn add(
    tools: &mut Vec<ReadyTool>,
    dynamic: Vec<(String, ToolListing)>,
    call: &Export,
) -> Result<(), DynamicToolsError> {
    for (own, listing) in dynamic::compile(dynamic)? {
        if let Some(tool) = tools.iter().find(|tool| tool.listing.name == listing.name) {
            return Err(DynamicToolsError::Taken(own.name, tool.listing.path.clone()));
        }
        let export = Arc::new(call.named(listing.name.clone()));
        tools.push(ReadyTool { listing: Arc::new(listing), export, own: Some(own) });
    }
    Ok(())
}
