//! Notifications of changes to the list of tools: on the subscription stream of a modern client, and on the session of
//! a legacy one.

use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, SubscriptionContext};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;
use toolgate_base::relay::ProgressReport;
use toolgate_runtime::gate::Gate;

use super::inbound::{self, Conversation, Inbound};

/// Notifies a modern client until it disconnects, its credential counts no more, or the host stops.
pub(super) async fn modern(
    gate: &Gate,
    context: &SubscriptionContext,
    inbound: &Inbound,
    stopping: &CancellationToken,
) {
    let mut changes = gate.watch();
    loop {
        tokio::select! {
            () = inbound::given_up(context.request_context(), inbound) => return,
            () = stopping.cancelled() => return,
            () = inbound::lapsed(inbound) => return,
            changed = changes.changed() => {
                let delivered = context.accepted().tools_list_changed != Some(true)
                    || context.sink().notify_tool_list_changed().await.is_ok();
                if changed.is_err() || !delivered {
                    return;
                }
            }
        }
    }
}

/// Forwards progress reports of a call until it has ended and all of them are forwarded. A disconnected client is
/// handled by the call.
pub(super) async fn progress(
    peer: Peer<RoleServer>,
    token: ProgressToken,
    mut reports: Receiver<ProgressReport>,
    over: CancellationToken,
) {
    loop {
        let report = tokio::select! {
            biased;
            report = reports.recv() => report,
            () = over.cancelled() => None,
        };
        let Some(report) = report else { return };
        let mut param = ProgressNotificationParam::new(token.clone(), report.progress);
        param.total = report.total;
        param.message = report.message;
        if let Err(error) = peer.notify_progress(param).await {
            tracing::debug!(%error, "a report of progress did not arrive");
        }
    }
}

/// Notifies a legacy client until its session ends or the host stops.
pub(super) fn legacy(
    gate: Gate,
    peer: Peer<RoleServer>,
    stopping: CancellationToken,
    conversation: Arc<Conversation>,
) {
    /// Interval at which an idle session is checked.
    const LOOK: std::time::Duration = std::time::Duration::from_secs(30);
    tokio::spawn(async move {
        let mut changes = gate.watch();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = conversation.ended() => return,
                () = tokio::time::sleep(LOOK) => {
                    if peer.is_transport_closed() {
                        return;
                    }
                }
                changed = changes.changed() => {
                    if changed.is_err() || peer.notify_tool_list_changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    });
}
