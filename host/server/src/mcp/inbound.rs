//! What a message brings besides itself, found out by the transport. It travels through the protocol's library in a bag that
//! knows no types.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::OptionFuture;
use rmcp::model::Extensions;
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ErrorData, RoleServer};
use tokio_util::sync::CancellationToken;
use toolgate_policy::Principal;
use toolgate_runtime::call::request::Arguments;
use toolgate_runtime::quota::Taken;
use toolgate_runtime::turns::Caller;

use super::splice::Splice;

/// What a message brings besides itself.
#[derive(Clone)]
pub(crate) struct Inbound {
    /// Who sent it.
    pub(crate) principal: Principal,
    /// Whose turn it is.
    pub(crate) caller: Caller,
    /// Whether it came over stdio, and over no network.
    pub(crate) is_local: bool,
    /// The session, or the one conversation over stdio, that it belongs to.
    pub(crate) conversation: Option<Arc<Conversation>>,
    /// The arguments of a `tools/call`, as they were written, until they are taken.
    pub(crate) arguments: Arc<Mutex<Option<Arguments>>>,
    /// Where bytes are put into the answer, if the transport does that.
    pub(crate) splice: Option<Splice>,
    /// What is given back when it is answered.
    pub(crate) held: Option<Arc<dyn Send + Sync>>,
    /// What a large answer takes until it is written, where no bytes are put into it.
    pub(crate) answer: Arc<Mutex<Option<Taken>>>,
}

/// What belongs to a session, or to the conversation over stdio, as a whole.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    over: CancellationToken,
    listens: AtomicBool,
}

impl Inbound {
    /// What a message without arguments brings.
    pub(crate) fn new(principal: Principal, caller: Caller, conversation: Option<Arc<Conversation>>) -> Self {
        Self {
            principal,
            caller,
            is_local: false,
            conversation,
            arguments: Arc::default(),
            splice: None,
            held: None,
            answer: Arc::default(),
        }
    }

    /// The arguments, once.
    pub(super) fn take_arguments(&self) -> Option<Arguments> {
        self.arguments.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Conversation {
    /// It is over.
    pub(crate) fn end(&self) {
        self.over.cancel();
    }

    /// Waits until it is over.
    pub(crate) async fn ended(&self) {
        self.over.cancelled().await;
    }

    /// Whether its client is told of changes from now on, and was not before.
    pub(super) fn begins_to_listen(&self) -> bool {
        !self.listens.swap(true, Ordering::Relaxed)
    }
}

/// What the transport found out about a request. Without it nothing is answered.
pub(super) fn inbound(context: &RequestContext<RoleServer>) -> Result<Inbound, ErrorData> {
    let found = find(&context.extensions);
    found.cloned().ok_or_else(|| ErrorData::internal_error("the request lost its principal", None))
}

/// Waits until nobody waits for the answer: the request was cancelled, or its conversation is over.
pub(super) async fn given_up(context: &RequestContext<RoleServer>, inbound: &Inbound) {
    let over = OptionFuture::from(inbound.conversation.as_ref().map(|conversation| conversation.ended()));
    tokio::select! {
        () = context.ct.cancelled() => {}
        Some(()) = over => {}
    }
}

/// The conversation that a notification belongs to.
pub(super) fn conversation(context: &NotificationContext<RoleServer>) -> Option<Arc<Conversation>> {
    find(&context.extensions)?.conversation.clone()
}

fn find(extensions: &Extensions) -> Option<&Inbound> {
    let over_http =
        extensions.get::<http::request::Parts>().and_then(|parts| parts.extensions.get::<Inbound>());
    over_http.or_else(|| extensions.get::<Inbound>())
}
