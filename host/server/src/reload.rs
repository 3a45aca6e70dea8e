//! Reading the configuration again while serving: on SIGHUP. What cannot be read leaves everything as it was and says so.

use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};
use toolgate_runtime::audit::Event;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::reconcile::{Loaded, Report};

use crate::config::Config;

/// Reloads on every SIGHUP.
///
/// # Errors
/// When the signal cannot be listened to.
pub(crate) fn on_hangup(gate: Gate, path: PathBuf) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let (gate, path) = (gate.clone(), path.clone());
            // Compiling takes its time; the protocol goes on meanwhile.
            if let Err(error) = tokio::task::spawn_blocking(move || reload(&gate, &path)).await {
                tracing::error!(%error, "the reload failed; everything is as it was");
            }
        }
    });
    Ok(())
}

fn reload(gate: &Gate, path: &Path) {
    tracing::info!(config = %path.display(), "reloading");
    match Config::load(path) {
        Ok(config) => {
            tell(&gate.reload(&config.spec));
            tracing::info!("reloaded");
            gate.record(&Event::Reloaded { plugins: gate.now().plugins().len(), problems: Vec::new() });
        }
        Err(problems) => {
            let list = problems.list();
            for problem in &list {
                tracing::error!("{problem}");
            }
            tracing::error!("the configuration cannot be used; everything is as it was");
            let problems = list.iter().map(ToString::to_string).collect();
            gate.record(&Event::Reloaded { plugins: gate.now().plugins().len(), problems });
        }
    }
}

/// Says what became of each plugin.
pub(crate) fn tell(report: &Report) {
    for (name, loaded) in &report.plugins {
        match loaded {
            Loaded::Ready { digest, tools, kept } => {
                tracing::info!(plugin = %name, digest = %digest.short(12), tools, kept, "serving");
            }
            Loaded::Not { why, instead } => {
                for reason in &why.reasons {
                    tracing::error!(plugin = %name, "refused: {reason}");
                }
                if let Some(digest) = instead {
                    tracing::warn!(plugin = %name, digest = %digest.short(12), "the version before goes on serving");
                }
            }
        }
    }
    if !report.serves {
        tracing::error!(
            "nothing serves, because a plugin was refused; set [server] on_refused = \"skip\" to serve the others"
        );
    }
}
