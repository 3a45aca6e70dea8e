//! A tool as MCP lists it. Hints that the host can prove come from the grants, not from the plugin.

use std::sync::Arc;

use rmcp::model::{Tool, ToolAnnotations};
use toolgate_runtime::snapshot;

/// The listing of a tool.
pub(super) fn listed(tool: &snapshot::tool::Tool) -> Tool {
    let listing = &tool.listing;
    let effects = tool.effects();
    let mut listed =
        Tool::new(listing.name.to_string(), listing.description.clone(), Arc::new(listing.input.clone()));
    listed.output_schema = listing.output.clone().map(Arc::new);
    let harmless = !effects.writes && !effects.reaches_out;
    let mut annotations = ToolAnnotations::new().read_only(harmless).open_world(effects.reaches_out);
    if harmless {
        annotations = annotations.destructive(false);
    }
    listed.annotations = Some(annotations);
    listed
}
