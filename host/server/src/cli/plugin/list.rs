//! `toolgate plugin list`: every plugin of the configuration and the lock, with state, signers and approver.

use serde_json::{Value, json};
use toolgate_policy::PluginName;
use toolgate_policy::redact::printable;
use toolgate_runtime::load::{Kind, to_date};
use toolgate_runtime::reconcile::Loaded;
use toolgate_state::lockfile::Entry;

use crate::cli::exit::Exit;
use crate::cli::{PrintArgs, newest, output, serve};
use crate::config::Config;

struct Row {
    name: PluginName,
    state: &'static str,
    digest: Option<String>,
    version: Option<String>,
    source: String,
    signers: Vec<String>,
    entry: Option<Entry>,
    reasons: Vec<String>,
    instead: Option<String>,
}

pub(super) fn run(args: &PrintArgs) -> Result<(), Exit> {
    let config = Config::load(&args.config.config)?;
    let gate = serve::open(&config)?;
    let (would_serve, report) =
        newest::look(&config.policy, config.spec.clone(), |spec| gate.reconciler.look(spec));
    if report.problem.is_some() {
        return Err(Exit::not_loaded(&report));
    }
    let entry = |name: &PluginName| config.lock.as_ref().and_then(|lock| lock.file.0.get(name)).cloned();
    let mut rows = Vec::new();
    for (spec, (name, loaded)) in config.spec.plugins.iter().zip(&report.plugins) {
        let plugin = would_serve.plugins().iter().find(|plugin| plugin.name() == name);
        let entry = entry(name);
        let revoked = entry.as_ref().is_some_and(|entry| entry.pin.revoked.is_some());
        let (state, digest, reasons, instead) = match loaded {
            Loaded::Ready { digest, .. } => {
                let state = if config.lock.is_some() { "active" } else { "active, lock off" };
                (state, Some(*digest), Vec::new(), None)
            }
            Loaded::Not { why, instead } => {
                let is_revoked =
                    why.digest().is_some_and(|digest| config.spec.trust.policy.revoked(&digest).is_some());
                let state = match why.kind() {
                    _ if revoked || is_revoked => "revoked",
                    Kind::Held => "quarantined",
                    Kind::Refused => "refused",
                    Kind::Failed => "failed",
                };
                (state, why.digest(), why.reasons(name), *instead)
            }
            Loaded::Awaited { instead } => ("awaited", None, Vec::new(), *instead),
        };
        rows.push(Row {
            name: name.clone(),
            state,
            digest: digest.map(|digest| digest.to_string()),
            version: plugin.and_then(|plugin| plugin.provenance.version.clone()),
            source: spec.source.to_string(),
            signers: plugin.map(|plugin| plugin.provenance.signers.clone()).unwrap_or_default(),
            entry,
            reasons,
            instead: instead.map(|digest| digest.to_string()),
        });
    }
    let known = |name: &PluginName| config.spec.plugins.iter().any(|spec| spec.name == *name);
    for (name, entry) in config.lock.iter().flat_map(|lock| lock.file.0.iter()) {
        if !known(name) {
            rows.push(Row {
                name: name.clone(),
                state: if entry.pin.revoked.is_some() { "revoked" } else { "not configured" },
                digest: Some(entry.pin.digest.to_string()),
                version: entry.version.clone(),
                source: entry.source.clone(),
                signers: entry.signers.clone(),
                entry: Some(entry.clone()),
                reasons: Vec::new(),
                instead: None,
            });
        }
    }
    if args.json {
        output::print_json(&json!({ "plugins": rows.iter().map(as_json).collect::<Vec<_>>() }));
    } else if rows.is_empty() {
        output::print("no plugins are configured; `toolgate plugin add` adds one");
    } else {
        output::print(&rows.iter().map(as_text).collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

/// Approver, and the time if it is a date.
fn approval(row: &Row) -> Option<(String, Option<String>)> {
    let approval = &row.entry.as_ref()?.pin.approval;
    Some((printable(&approval.by, 200), to_date(approval.at)))
}

/// Revoked digest of the lock's entry, if other bytes are there now.
fn revoked_before(row: &Row) -> Option<String> {
    let pin = &row.entry.as_ref()?.pin;
    let digest = pin.digest.to_string();
    let is_other = pin.revoked.is_some() && row.digest.as_ref().is_some_and(|there| *there != digest);
    is_other.then_some(digest)
}

fn as_text(row: &Row) -> String {
    let shown = |text: &str| printable(text, 300);
    let version = row.version.as_deref().map(|version| format!(" {}", shown(version))).unwrap_or_default();
    let mut lines = vec![format!("{}{version}: {}", row.name, row.state)];
    let revoked = revoked_before(row);
    let others = if revoked.is_some() { ", not those that were revoked" } else { "" };
    lines.extend(row.digest.as_ref().map(|digest| format!("  bytes     {digest}{others}")));
    lines.extend(revoked.map(|digest| format!("  revoked   {digest}")));
    lines.push(format!("  source    {}", shown(&row.source)));
    if !row.signers.is_empty() {
        lines.push(format!("  signed    {}", shown(&row.signers.join("; "))));
    }
    lines.extend(approval(row).map(|(by, at)| match at {
        Some(at) => format!("  approved  {by}, {at}"),
        None => format!("  approved  {by}, at a time that is not a date"),
    }));
    lines.extend(row.instead.as_ref().map(|digest| format!("  serves    the version before, {digest}")));
    lines.extend(row.reasons.iter().map(|reason| format!("  why       {}", printable(reason, 2_000))));
    lines.join("\n")
}

fn as_json(row: &Row) -> Value {
    let approval = approval(row);
    json!({
        "name": row.name.as_str(),
        "state": row.state,
        "digest": row.digest,
        "revoked_digest": revoked_before(row),
        "version": row.version,
        "source": row.source,
        "signers": row.signers,
        "approved_by": approval.as_ref().map(|(by, _)| by),
        "approved_at": approval.as_ref().map(|(_, at)| at),
        "serves_instead": row.instead,
        "reasons": row.reasons,
    })
}
