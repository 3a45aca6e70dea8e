//! `toolgate check`: everything that `serve` would load, loaded; every problem told.

use serde_json::{Value, json};
use toolgate_runtime::load::Kind;
use toolgate_runtime::reconcile::{Loaded, Report};

use super::exit::{Exit, reasons};
use super::{ConfigArg, output, serve};
use crate::config::Config;

/// What `check` takes.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let config = Config::load(&args.config.config)?;
    let gate = serve::open(&config)?;
    let report = gate.check(&config.spec);
    if args.json {
        output::print_json(&as_json(&report));
    } else {
        output::print(&as_text(&report));
    }
    let all_load = report.plugins.iter().all(|(_, loaded)| matches!(loaded, Loaded::Ready { .. }));
    if all_load { Ok(()) } else { Err(Exit::not_loaded(&report)) }
}

fn as_text(report: &Report) -> String {
    if report.plugins.is_empty() {
        return "no plugins are configured".to_owned();
    }
    let line = |(name, loaded): &(toolgate_policy::PluginName, Loaded)| match loaded {
        Loaded::Ready { digest, tools, .. } => vec![format!("plugin {name}: ok: {tools} tools, {digest}")],
        Loaded::Not { why, .. } => {
            let count = reasons(name.as_str(), why).len();
            let digest = why.digest.map(|digest| format!(", {digest}")).unwrap_or_default();
            vec![format!("plugin {name}: not ok: {count} reasons below{digest}")]
        }
    };
    report.plugins.iter().flat_map(line).collect::<Vec<_>>().join("\n")
}

fn as_json(report: &Report) -> Value {
    let plugin = |(name, loaded): &(toolgate_policy::PluginName, Loaded)| match loaded {
        Loaded::Ready { digest, tools, .. } => {
            json!({ "name": name.as_str(), "ok": true, "digest": digest.to_string(), "tools": tools })
        }
        Loaded::Not { why, .. } => json!({
            "name": name.as_str(),
            "ok": false,
            "digest": why.digest.map(|digest| digest.to_string()),
            "kind": match why.kind { Kind::Refused => "refused", Kind::Failed => "failed" },
            "reasons": why.reasons,
        }),
    };
    json!({ "plugins": report.plugins.iter().map(plugin).collect::<Vec<_>>() })
}
