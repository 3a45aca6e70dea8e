//! Context of a message, determined by the transport. It passes through the protocol library in an untyped map.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::OptionFuture;
use rmcp::model::Extensions;
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ErrorData, RoleServer};
use tokio_util::sync::CancellationToken;
use toolgate_policy::Principal;
use toolgate_policy::call::{Moment, Transport};
use toolgate_runtime::call::request::Arguments;
use toolgate_runtime::quota::Taken;
use toolgate_runtime::snapshot::Snapshot;
use toolgate_runtime::turns::Caller;

use super::splice::Splice;
use crate::auth::lease::Lease;

/// Context of a message.
#[derive(Clone)]
pub(crate) struct Inbound {
    /// Principal that sent it.
    pub(crate) principal: Principal,
    /// Caller for fair scheduling.
    pub(crate) caller: Caller,
    /// Way on which it arrived.
    pub(crate) transport: Transport,
    /// Address of its sender, where it arrived over a network.
    pub(crate) source: Option<IpAddr>,
    /// Session that it belongs to, or the conversation over stdio.
    pub(crate) conversation: Option<Arc<Conversation>>,
    /// Time for which its streams may stay open; without end if there is none.
    pub(crate) lease: Option<Lease>,
    /// Arguments of a `tools/call`, until they are taken.
    pub(crate) arguments: Arc<Mutex<Option<Arguments>>>,
    /// Place for bytes spliced into the answer, if the transport supports that.
    pub(crate) splice: Option<Splice>,
    /// Resource released when it is answered.
    pub(crate) resources: Option<Arc<dyn Send + Sync>>,
    /// Quota used by a large answer until it is written, if no bytes are spliced.
    pub(crate) answer: Arc<Mutex<Option<Taken>>>,
}

/// State of a session, or of the conversation over stdio.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    over: CancellationToken,
    listens: AtomicBool,
}

impl Inbound {
    /// Creates the context of a message without arguments.
    pub(crate) fn new(principal: Principal, caller: Caller, conversation: Option<Arc<Conversation>>) -> Self {
        Self {
            principal,
            caller,
            transport: Transport::Http,
            source: None,
            conversation,
            lease: None,
            arguments: Arc::default(),
            splice: None,
            resources: None,
            answer: Arc::default(),
        }
    }

    /// The present moment of this message, under the rules of a snapshot.
    pub(crate) fn moment(&self, snapshot: &Snapshot) -> Moment {
        snapshot.moment(self.source, self.transport)
    }

    /// Takes the arguments, once.
    pub(super) fn take_arguments(&self) -> Option<Arguments> {
        self.arguments.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Conversation {
    /// Ends it.
    pub(crate) fn end(&self) {
        self.over.cancel();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) {
        self.over.cancelled().await;
    }

    /// Subscribes its client to changes. Returns whether it was not subscribed before.
    pub(super) fn begins_to_listen(&self) -> bool {
        !self.listens.swap(true, Ordering::Relaxed)
    }
}

/// Context of a request from the transport. A request without it is not answered.
pub(super) fn inbound(context: &RequestContext<RoleServer>) -> Result<Inbound, ErrorData> {
    let found = find(&context.extensions);
    found.cloned().ok_or_else(|| ErrorData::internal_error("the request lost its principal", None))
}

/// Waits until the answer is no longer wanted: the request was cancelled, or its conversation has ended.
pub(super) async fn given_up(context: &RequestContext<RoleServer>, inbound: &Inbound) {
    let over = OptionFuture::from(inbound.conversation.as_ref().map(|conversation| conversation.ended()));
    tokio::select! {
        () = context.ct.cancelled() => {}
        Some(()) = over => {}
    }
}

/// Waits until the sender's credential counts no more, if it has one.
pub(super) async fn lapsed(inbound: &Inbound) {
    match &inbound.lease {
        Some(lease) => lease.ended().await,
        None => std::future::pending().await,
    }
}

/// Conversation that a notification belongs to.
pub(super) fn conversation(context: &NotificationContext<RoleServer>) -> Option<Arc<Conversation>> {
    find(&context.extensions)?.conversation.clone()
}

fn find(extensions: &Extensions) -> Option<&Inbound> {
    let over_http =
        extensions.get::<http::request::Parts>().and_then(|parts| parts.extensions.get::<Inbound>());
    over_http.or_else(|| extensions.get::<Inbound>())
}
