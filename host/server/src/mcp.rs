//! MCP: each method in a few lines over the protocol library. Calls are authorised elsewhere; the three revisions
//! differ only in `era`.

mod catalog;
mod era;
mod inbound;
mod lifecycle;
mod message;
mod notify;
mod reply;
mod splice;
mod tools;

pub(crate) use era::{is_served, repeats_arguments};
pub(crate) use inbound::{Conversation, Inbound};
pub(crate) use lifecycle::Lifecycle;
pub(crate) use message::{MessageError, message, not_found, outward};
pub(crate) use reply::content;
pub(crate) use splice::Splice;

use std::borrow::Cow;
use std::sync::Arc;

use futures::future::OptionFuture;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult,
    CustomRequest, CustomResult, DiscoverResult, ErrorCode, Implementation, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ProtocolVersion, ServerCapabilities, ServerConfig, SubscriptionFilter,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio_util::sync::CancellationToken;
use toolgate_base::interrupt::Interrupt;
use toolgate_base::relay::Relay;
use toolgate_policy::PluginName;
use toolgate_runtime::call::request::Request;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::quota::Quota;

use crate::auth::Auth;
use crate::notices::Notices;
use catalog::Catalog;
use inbound::inbound;

/// Answers MCP requests. Cheap to clone; all clones answer for one gate.
#[derive(Clone)]
pub(crate) struct Handler {
    /// Gate through which calls are made.
    pub(crate) gate: Gate,
    /// Authentication, if callers must say who they are.
    auth: Option<Arc<Auth>>,
    stopping: CancellationToken,
    catalog: Arc<Catalog>,
    /// Quota for large answers that wait to be written.
    answers: Arc<Quota>,
    /// Notices about clients with problems.
    pub(crate) notices: Arc<Notices>,
}

/// Time for which a client may cache a list. A change by a reload is also notified.
const LIST_TTL_MS: u64 = 5_000;

impl Handler {
    /// Creates a handler. `stopping` ends subscription streams; `answers` bounds answers that wait to be written.
    pub(crate) fn new(
        gate: Gate,
        auth: Option<Arc<Auth>>,
        stopping: CancellationToken,
        answers: Arc<Quota>,
    ) -> Self {
        Self { gate, auth, stopping, catalog: Arc::default(), answers, notices: Arc::default() }
    }

    /// Whether calls are accepted, with the names of plugins that do not serve, and nothing else about them.
    pub(crate) fn readiness(&self) -> (bool, serde_json::Value) {
        let report = self.gate.reconciler.status().borrow().clone();
        let audit = self.gate.is_ready();
        let issuers = self.auth.as_ref().map(|auth| auth.unready()).unwrap_or_default();
        let ready = !self.stopping.is_cancelled() && audit && !report.starting && issuers.is_empty();
        let awaited: Vec<&str> = report.awaited().map(PluginName::as_str).collect();
        let refused = report.refused().filter(|(_, _, instead)| instead.is_none());
        let refused: Vec<&str> = refused.map(|(name, ..)| name.as_str()).collect();
        let answer = serde_json::json!({
            "ready": ready,
            "audit": audit,
            "issuers": issuers,
            "plugins": { "awaited": awaited, "refused": refused },
            "folder_problems": report.folders.len(),
        });
        (ready, answer)
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        ServerConfig::new(capabilities)
            .with_server_info(
                Implementation::new("toolgate", env!("CARGO_PKG_VERSION")).with_title("Toolgate"),
            )
            .with_protocol_version(era::NEWEST_WITH_HANDSHAKE)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(era::SUPPORTED)
    }

    async fn discover(&self, _context: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let mut result = DiscoverResult::from_server_info(era::SUPPORTED.to_vec(), self.get_info());
        result.ttl_ms = LIST_TTL_MS;
        result.cache_scope = CacheScope::Private;
        Ok(result)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let inbound = inbound(&context)?;
        let cursor = request.and_then(|request| request.cursor);
        let page = self.catalog.page(&self.gate, &inbound, cursor.as_deref()).await?;
        let mut result = ListToolsResult::with_all_items(page.tools(inbound.splice.as_ref()));
        result.next_cursor = page.next;
        if era::of(&context) == era::Era::Modern {
            result = result.with_ttl_ms(LIST_TTL_MS).with_cache_scope(CacheScope::Private);
            result.meta = Some(reply::meta());
        }
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let inbound = inbound(&context)?;
        let arguments = inbound.take_arguments();
        let arguments =
            arguments.ok_or_else(|| ErrorData::internal_error("the request lost its arguments", None))?;
        let interrupt = Interrupt::default();
        let mut call =
            Request::new(inbound.principal.clone(), request.name.as_ref(), arguments, interrupt.clone());
        call.caller = inbound.caller.clone();
        (call.transport, call.source) = (inbound.transport, inbound.source);
        let over = CancellationToken::new();
        let telling = context.meta.get_progress_token().map(|token| {
            let (relay, reports) = Relay::open();
            call.relay = relay;
            notify::progress(context.peer.clone(), token, reports, over.clone())
        });
        let call = async {
            let call = self.gate.call(call);
            tokio::pin!(call);
            let closed = tokio::select! {
                closed = &mut call => closed,
                () = inbound::given_up(&context, &inbound) => {
                    interrupt.cancel();
                    call.await
                }
            };
            over.cancel();
            closed
        };
        let (closed, _) = tokio::join!(call, OptionFuture::from(telling));
        reply::reply(self, closed, era::of(&context), &inbound).await.map(Into::into)
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let mut accepted = SubscriptionFilter::new();
        accepted.tools_list_changed = requested.tools_list_changed;
        Some(accepted)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let inbound = inbound(context.request_context())?;
        notify::modern(&self.gate, &context, &inbound, &self.stopping).await;
        Ok(())
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        if let Some(conversation) = inbound::conversation(&context)
            && conversation.begins_to_listen()
        {
            notify::legacy(self.gate.clone(), context.peer, self.stopping.clone(), conversation);
        }
    }

    async fn complete(
        &self,
        _request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(not_served("completion/complete"))
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(not_served("prompts/list"))
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(not_served("resources/list"))
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(not_served("resources/templates/list"))
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        // The library also passes known methods here if it cannot read their parameters.
        if era::is_known(&request.method, era::of(&context)) {
            let problem = message::problem(&request.method, request.params.as_ref());
            return Err(ErrorData::invalid_params(problem, None));
        }
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, request.method, None))
    }
}

fn not_served(method: &'static str) -> ErrorData {
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None)
}
