//! A tool as MCP lists it. Hints that the host can prove come from the grants, not from the plugin.

use std::sync::Arc;

use rmcp::model::{Icon, MetaObject, Tool, ToolAnnotations};
use serde_json::json;
use toolgate_policy::load::Provenance;
use toolgate_policy::redact::printable;
use toolgate_runtime::load::to_date;
use toolgate_runtime::snapshot;
use toolgate_sandbox::inspect::manifest;

/// Converts a tool to its MCP listing.
pub(super) fn listed(tool: &snapshot::tool::Tool) -> Tool {
    let listing = &tool.listing;
    let effects = tool.effects();
    let mut listed =
        Tool::new(listing.name.to_string(), listing.description.clone(), Arc::new(listing.input.clone()));
    listed.output_schema = listing.output.clone().map(Arc::new);
    listed.title.clone_from(&listing.title);
    if !listing.icons.is_empty() {
        let icon = |icon: &manifest::Icon| Icon::new(icon.src.clone()).with_mime_type(icon.mime.clone());
        listed.icons = Some(listing.icons.iter().map(icon).collect());
    }
    let harmless = !effects.writes && !effects.reaches_out;
    let mut annotations = ToolAnnotations::new().read_only(harmless).open_world(effects.reaches_out);
    // A plugin's own claims count only where they make callers more careful.
    if harmless {
        annotations = annotations.destructive(false);
    } else if listing.claims.destructive == Some(true) {
        annotations = annotations.destructive(true);
    }
    listed.annotations = Some(annotations);
    listed.meta = Some(provenance(&tool.provenance));
    listed
}

/// Provenance of the tool, for clients that show it.
fn provenance(of: &Provenance) -> MetaObject {
    let approved =
        of.approval.as_ref().map(|approval| json!({ "by": approval.by, "at": to_date(approval.at) }));
    let provenance = json!({
        "digest": of.digest.to_string(),
        "version": of.version.as_ref().map(|version| printable(version, 100)),
        "signers": of.signers,
        "approved": approved,
    });
    let mut meta = MetaObject::default();
    meta.0.insert("toolgate/provenance".to_owned(), provenance);
    meta
}
