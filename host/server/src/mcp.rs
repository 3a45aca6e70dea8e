//! MCP: each method a line, over the protocol's library. What a call may do is not decided here; the three revisions differ
//! only in `era`.

mod era;
mod notify;
mod reply;
mod tools;

pub(crate) use reply::content;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
use toolgate_policy::limits::wire::LISTENERS_MAX;
use toolgate_policy::{PluginName, Principal};
use toolgate_runtime::call::request::Request;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::json::Json;
use toolgate_runtime::relay::Relay;
use toolgate_runtime::sandbox::interrupt::Interrupt;

/// Answers MCP requests. Cheap to clone; all clones answer for one gate.
#[derive(Clone)]
pub(crate) struct Handler {
    gate: Gate,
    stopping: CancellationToken,
    listeners: Arc<AtomicUsize>,
}

/// What a message brings besides itself, found out by the transport. Travels with it through the protocol's library.
#[derive(Clone)]
pub(crate) struct Inbound {
    /// Who sent it.
    pub(crate) principal: Principal,
    /// The arguments of a `tools/call`, as they were written.
    pub(crate) arguments: Option<Arc<Json>>,
}

/// How long a client may keep a list without asking again: a reload changes it, and says so.
const LIST_TTL_MS: u64 = 5_000;

impl Handler {
    /// `stopping` ends streams on which clients wait for changes.
    pub(crate) fn new(gate: Gate, stopping: CancellationToken) -> Self {
        Self { gate, stopping, listeners: Arc::default() }
    }

    /// Whether calls would be taken, and what is not served: names of plugins, and nothing else of them.
    pub(crate) fn readiness(&self) -> (bool, serde_json::Value) {
        let report = self.gate.status().borrow().clone();
        let audit = self.gate.is_ready();
        let ready = !self.stopping.is_cancelled() && audit && !report.starting;
        let awaited: Vec<&str> = report.awaited().map(PluginName::as_str).collect();
        let refused = report.refused().filter(|(_, _, instead)| instead.is_none());
        let refused: Vec<&str> = refused.map(|(name, ..)| name.as_str()).collect();
        let answer = serde_json::json!({
            "ready": ready,
            "audit": audit,
            "plugins": { "awaited": awaited, "refused": refused },
            "folder_problems": report.folders.len(),
        });
        (ready, answer)
    }

    fn listener(&self) -> Option<Listener> {
        let joined = self.listeners.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < LISTENERS_MAX).then_some(count + 1)
        });
        joined.is_ok().then(|| Listener(Arc::clone(&self.listeners)))
    }
}

/// A place among those who wait for changes.
struct Listener(Arc<AtomicUsize>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn implementation() -> Implementation {
    Implementation::new("toolgate", env!("CARGO_PKG_VERSION")).with_title("Toolgate")
}

/// What the transport found out about a request. Without it nothing is answered: the library carries it in a bag that knows
/// no types.
fn inbound(context: &RequestContext<RoleServer>) -> Result<Inbound, ErrorData> {
    let over_http =
        context.extensions.get::<http::request::Parts>().and_then(|parts| parts.extensions.get::<Inbound>());
    let found = over_http.or_else(|| context.extensions.get::<Inbound>());
    found.cloned().ok_or_else(|| ErrorData::internal_error("the request lost its principal", None))
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        ServerConfig::new(capabilities)
            .with_server_info(implementation())
            .with_protocol_version(ProtocolVersion::V_2025_11_25)
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
        // All tools come on one page, so that no cursor was ever handed out.
        if request.is_some_and(|request| request.cursor.is_some()) {
            return Err(ErrorData::invalid_params("this cursor is not one of this server's", None));
        }
        let tools = self.gate.list(&inbound(&context)?.principal);
        let mut result =
            ListToolsResult::with_all_items(tools.iter().map(|tool| tools::listed(tool)).collect());
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
        let Inbound { principal, arguments } = inbound(&context)?;
        let arguments =
            arguments.ok_or_else(|| ErrorData::internal_error("the request lost its arguments", None))?;
        let arguments: Json = Arc::unwrap_or_clone(arguments);
        let interrupt = Interrupt::default();
        let mut call = Request::new(principal, request.name.as_ref(), arguments, interrupt.clone());
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
                () = context.ct.cancelled() => {
                    interrupt.cancel();
                    call.await
                }
            };
            over.cancel();
            closed
        };
        let (closed, _) = tokio::join!(call, OptionFuture::from(telling));
        reply::reply(closed, era::of(&context)).map(Into::into)
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let mut accepted = SubscriptionFilter::new();
        accepted.tools_list_changed = requested.tools_list_changed;
        Some(accepted)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let Some(_place) = self.listener() else {
            return Err(ErrorData::internal_error(
                "too many clients wait for changes; try again later",
                None,
            ));
        };
        notify::modern(&self.gate, &context, &self.stopping).await;
        Ok(())
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        if let Some(place) = self.listener() {
            notify::legacy(self.gate.clone(), context.peer, self.stopping.clone(), place);
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
        // The library hands a known method with parameters that it cannot read here as well.
        if era::is_known(&request.method, era::of(&context)) {
            return Err(ErrorData::invalid_params(
                format!("the parameters of {} are malformed", request.method),
                None,
            ));
        }
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, request.method, None))
    }
}

fn not_served(method: &'static str) -> ErrorData {
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None)
}
