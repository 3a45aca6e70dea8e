//! Audit events of a start, a reload or an arrival: each plugin that changed, without repetition.

use std::sync::Arc;

use jiff::Timestamp;
use toolgate_policy::load::{Pin, TrustError};
use toolgate_policy::redact::printable;
use toolgate_state::audit::{Event, Recorder};

use super::newest::{KnownApproval, Newest};
use super::{LoadReport, Loaded, Occasion};
use crate::load::Kind;
use crate::snapshot::Snapshot;
use crate::snapshot::plugin::Plugin;

/// Records plugins that do not load. A start and a reload record all of them; an arrival only those that changed.
pub(super) fn refused(audit: &Recorder, before: &LoadReport, report: &LoadReport, occasion: Occasion) {
    for (name, loaded) in &report.plugins {
        let was = before.plugins.iter().find(|(other, _)| other == name).map(|(_, loaded)| loaded);
        let is_new = occasion != Occasion::Arrival || !was.is_some_and(|was| was.is_like(loaded, name));
        let Loaded::Not { why, .. } = loaded else { continue };
        if is_new {
            audit.event(&Event::Refused {
                plugin: name.as_str(),
                held: why.kind() == Kind::Held,
                digest: why.digest().map(|digest| digest.to_string()),
                reasons: why.reasons(name),
            });
        }
    }
    for problem in report.folders.iter().filter(|_| occasion != Occasion::Arrival) {
        audit.event(&Event::Refused {
            plugin: &problem.place(),
            held: false,
            digest: None,
            reasons: vec![problem.why.clone()],
        });
    }
}

/// Records plugins that begin or stop to serve, and those that serve past an expiry date.
pub(super) fn serving(audit: &Recorder, newest: &Newest, old: &Snapshot, new: &Snapshot, occasion: Occasion) {
    for plugin in new.plugins() {
        let is_new = !old.plugins().iter().any(|other| Arc::ptr_eq(other, plugin));
        if is_new {
            serves(audit, plugin);
            newest.take(plugin).into_iter().for_each(|before| went_back(audit, &before, plugin));
        }
        if is_new || occasion != Occasion::Arrival {
            for overdue in plugin.clearance().trusted().overdue() {
                tracing::error!(plugin = %plugin.name(), "ALARM: {overdue}");
                audit.event(&Event::Overdue { plugin: plugin.name().as_str(), what: overdue.to_string() });
            }
        }
    }
    let is_gone = |plugin: &&Arc<Plugin>| {
        let is_it = |other: &Arc<Plugin>| other.name() == plugin.name() && other.digest() == plugin.digest();
        !new.plugins().iter().any(is_it)
    };
    for plugin in old.plugins().iter().filter(is_gone) {
        audit.event(&Event::Retired { plugin: plugin.name().as_str(), digest: plugin.digest().to_string() });
    }
}

fn serves(audit: &Recorder, plugin: &Plugin) {
    let provenance = &plugin.provenance;
    audit.event(&Event::Loaded {
        plugin: plugin.name().as_str(),
        digest: plugin.digest().to_string(),
        version: provenance.version.as_deref(),
        signers: provenance.signers.clone(),
        approved_by: provenance.approval.as_ref().map(|approval| approval.by.as_str()),
        tools: plugin.tools().len(),
    });
}

/// Reports that an older approval is in force again because an older lock was restored. This is not refused, since it
/// may be intended. To prevent it, bytes are revoked in the trust policy, which cannot go back.
fn went_back(audit: &Recorder, before: &KnownApproval, plugin: &Plugin) {
    let Some(pin) = plugin.clearance().pin() else { return };
    let side = |pin: &Pin, version: Option<&str>| {
        let at = pin.approval.at.0;
        let at = Timestamp::from_second(at).map_or_else(|_| format!("second {at}"), |at| at.to_string());
        [printable(version.unwrap_or("unknown"), 60), pin.digest.to_string(), at]
    };
    let from = side(&before.pin, before.version.as_deref());
    let to = side(pin, plugin.provenance.version.as_deref());
    let [version, digest, at] = &to;
    let [old_version, old_digest, old_at] = &from;
    let taken_back = if before.pin.revoked.is_some() { " and taken back since" } else { "" };
    tracing::warn!(
        plugin = %plugin.name(),
        "an older lock was put back: version {version} ({digest}), approved at {at}, serves again in place of {old_version} \
         ({old_digest}), approved at {old_at}{taken_back}; if that is not meant, revoke those bytes"
    );
    audit.event(&Event::LockWentBack { plugin: plugin.name().as_str(), from, to });
}

/// Records and logs the plugins that are revoked.
pub(super) fn revoked(audit: &Recorder, ended: &[Arc<Plugin>]) {
    for plugin in ended {
        let (name, digest) = (plugin.name(), plugin.digest());
        tracing::error!(plugin = %name, %digest, "revoked: it serves no more, and its calls were ended");
        audit.event(&Event::Revoked { plugin: name.as_str(), digest: digest.to_string() });
    }
}

/// Records and logs the plugins that a newer trust policy does not trust.
pub(super) fn distrusted(audit: &Recorder, gone: &[(Arc<Plugin>, TrustError)]) {
    for (plugin, why) in gone {
        let (name, digest) = (plugin.name(), plugin.digest());
        tracing::error!(plugin = %name, %digest, "the trust policy trusts it no more, and it serves no more: {why}");
        audit.event(&Event::Refused {
            plugin: name.as_str(),
            held: false,
            digest: Some(digest.to_string()),
            reasons: vec![why.to_string()],
        });
        audit.event(&Event::Retired { plugin: name.as_str(), digest: digest.to_string() });
    }
}
