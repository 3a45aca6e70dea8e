//! Periodic work of a server. Once a minute it reports plugins that do not serve, applies the trust policy again, and
//! retries unavailable sources. It also ends when no plugin has ever served.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use toolgate_policy::limits::load::REMIND_MS;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::reconcile::LoadReport;

/// Runs until the server stops. If at first all plugins were only `awaited` and none has come to serve, stops the
/// server and returns the load report.
pub(crate) async fn run(gate: Gate, mut awaited: bool, stop: CancellationToken) -> Option<Arc<LoadReport>> {
    let mut status = gate.reconciler.status();
    let mut turn = tokio::time::interval(Duration::from_millis(REMIND_MS));
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    turn.tick().await;
    loop {
        if awaited {
            let report = Arc::clone(&status.borrow_and_update());
            let serves = !gate.now().plugins().is_empty();
            if !serves && report.is_settled() && !report.plugins.is_empty() {
                tracing::error!("no plugin loads, so that nothing serves");
                stop.cancel();
                return Some(report);
            }
            // A server that has served continues, even when all its plugins are removed.
            awaited = !serves && !report.is_settled();
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            changed = status.changed(), if awaited => awaited = changed.is_ok(),
            _ = turn.tick() => {
                let gate = gate.clone();
                if let Err(error) = spawn_blocking(move || gate.look_after()).await {
                    tracing::error!(%error, "what serves was not looked after");
                }
                if let Some(line) = reminder(&status.borrow()) {
                    tracing::error!("{line}");
                }
            }
        }
    }
}

/// One line with everything that does not serve; `None` if all does.
fn reminder(report: &LoadReport) -> Option<String> {
    let refused = report.refused().filter(|(_, _, instead)| instead.is_none());
    let plugins = refused.map(|(name, why, _)| {
        format!("plugin {name}: {}: {}", why.kind().word(), why.reasons(name).join("; "))
    });
    let awaited = report.awaited().map(|name| format!("plugin {name}: being fetched"));
    let folders = report.folders.iter().map(ToString::to_string);
    let all: Vec<String> = plugins.chain(awaited).chain(folders).collect();
    (!all.is_empty()).then(|| format!("not serving: {}", all.join(" | ")))
}

#[cfg(test)]
mod tests {
    use toolgate_policy::Digest;
    use toolgate_policy::load::ClearanceError;
    use toolgate_policy::load::pin::PinChangeError;
    use toolgate_runtime::load::LoadError;
    use toolgate_runtime::reconcile::{FolderProblem, Loaded};

    use super::*;

    #[test]
    fn a_reminder_names_all_that_does_not_serve_in_one_line() {
        assert_eq!(REMIND_MS, 60_000, "each minute");
        assert_eq!(reminder(&LoadReport::default()), None);
        let changes = vec![PinChangeError::New, PinChangeError::Surface];
        let why = Arc::new(LoadError::Clear(Digest::of(b""), ClearanceError::Held(changes)));
        let report = LoadReport {
            plugins: vec![
                ("bad".parse().unwrap(), Loaded::Not { why, instead: None }),
                ("slow".parse().unwrap(), Loaded::Awaited { instead: None }),
            ],
            folders: vec![FolderProblem {
                folder: "/plugins".into(),
                file: Some("x\n2026 INFO all is well.wasm".to_owned()),
                why: "no plugin can have this name".to_owned(),
            }],
            ..LoadReport::default()
        };
        let line = reminder(&report).unwrap();
        assert_eq!(
            line,
            "not serving: plugin bad: held: it is not approved; what a model reads of its tools changed; see `toolgate plugin diff bad`, then \
             `toolgate plugin approve bad` | plugin slow: being fetched | folder /plugins: \
             x\\u{a}2026 INFO all is well.wasm: no plugin can have this name"
        );
    }
}
