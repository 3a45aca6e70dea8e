//! `toolgate check`: loads everything that `serve` would load, and reports every problem.

use serde_json::{Value, json};
use toolgate_runtime::reconcile::{FolderProblem, LoadReport, Loaded};

use super::exit::Exit;
use super::policy::NOTHING_PERMITTED;
use super::{PrintArgs, newest, output, serve};
use crate::config::Config;

pub(super) fn run(args: &PrintArgs) -> Result<(), Exit> {
    let config = Config::load(&args.config.config)?;
    config.warn();
    let gate = serve::open(&config)?;
    let (snapshot, report) =
        newest::look(&config.policy, config.spec.clone(), |spec| gate.reconciler.look(spec));
    if report.problem.is_none() && snapshot.rules().permits_nothing() {
        output::complain(&format!("warning: {NOTHING_PERMITTED}"));
    }
    if args.json {
        output::print_json(&as_json(&report));
    } else if report.problem.is_none() {
        output::print(&as_text(&report));
    }
    if report.is_whole() { Ok(()) } else { Err(Exit::not_loaded(&report)) }
}

fn as_text(report: &LoadReport) -> String {
    if report.plugins.is_empty() && report.folders.is_empty() {
        return "no plugins are configured".to_owned();
    }
    let line = |(name, loaded): &(toolgate_policy::PluginName, Loaded)| match loaded {
        Loaded::Ready { digest, tools, set_aside, warnings, .. } => {
            let ignored = set_aside.iter().map(|what| format!("  ignored: {what}"));
            let ignored = ignored.chain(warnings.iter().map(|warning| format!("  warning: {warning}")));
            std::iter::once(format!("plugin {name}: ok: {tools} tools, {digest}")).chain(ignored).collect()
        }
        Loaded::Not { why, instead } => {
            let reasons = match why.reasons(name).len() {
                1 => "1 reason".to_owned(),
                count => format!("{count} reasons"),
            };
            let digest = why.digest().map(|digest| format!(", {digest}")).unwrap_or_default();
            let instead = instead.map(|digest| format!("; the version before would serve: {digest}"));
            vec![format!("plugin {name}: not ok: {reasons} below{digest}{}", instead.unwrap_or_default())]
        }
        // `check` waits until everything is fetched.
        Loaded::Awaited { .. } => vec![format!("plugin {name}: not ok: it is still being fetched")],
    };
    let folders =
        report.folders.iter().map(|problem| format!("folder {}: not ok: see below", problem.place()));
    report.plugins.iter().flat_map(line).chain(folders).collect::<Vec<_>>().join("\n")
}

fn as_json(report: &LoadReport) -> Value {
    let plugin = |(name, loaded): &(toolgate_policy::PluginName, Loaded)| match loaded {
        Loaded::Ready { digest, tools, set_aside, warnings, .. } => json!({
            "name": name.as_str(),
            "ok": true,
            "digest": digest.to_string(),
            "tools": tools,
            "ignored": set_aside,
            "warnings": warnings,
        }),
        Loaded::Not { why, instead } => json!({
            "name": name.as_str(),
            "ok": false,
            "instead": instead.map(|digest| digest.to_string()),
            "digest": why.digest().map(|digest| digest.to_string()),
            "kind": why.kind().word(),
            "reasons": why.reasons(name),
        }),
        Loaded::Awaited { instead } => json!({
            "name": name.as_str(),
            "ok": false,
            "instead": instead.map(|digest| digest.to_string()),
            "kind": "awaited",
        }),
    };
    let folder = |problem: &FolderProblem| json!({ "place": problem.place(), "reasons": [problem.why] });
    let plugins = report.plugins.iter().map(plugin).collect::<Vec<_>>();
    let mut json = serde_json::Map::from_iter([("plugins".to_owned(), Value::from(plugins))]);
    if !report.folders.is_empty() {
        json.insert("folders".to_owned(), report.folders.iter().map(folder).collect());
    }
    if let Some(problem) = &report.problem {
        json.insert("problem".to_owned(), problem.as_str().into());
    }
    Value::Object(json)
}
