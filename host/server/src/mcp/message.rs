//! Messages as the protocol library reads them. It treats a known method with unreadable parameters as unknown; here
//! the error names the parameters.

use rmcp::model::{
    CallToolRequestParams, ClientJsonRpcMessage, ClientRequest, ErrorCode, InitializeRequestParams,
    ServerJsonRpcMessage, SubscriptionsListenRequestParams,
};
use serde_json::{Value, from_value};
use toolgate_policy::redact::printable;

/// Reasons why the library does not accept a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    /// Not a message of MCP.
    #[error("it is not a request, notification or response of MCP")]
    Shape,
    /// Malformed parameters of a handshake.
    #[error("{0}")]
    Params(String),
}

/// JSON pointer to the revision of a request without a handshake.
const REVISION: &str = "/params/_meta/io.modelcontextprotocol~1protocolVersion";

/// Reads a message. A malformed handshake would start no session, so it is refused here.
pub(crate) fn message(text: &[u8]) -> Result<ClientJsonRpcMessage, MessageError> {
    let message: ClientJsonRpcMessage = serde_json::from_slice(text).map_err(|_| MessageError::Shape)?;
    if let ClientJsonRpcMessage::Request(request) = &message
        && let ClientRequest::CustomRequest(custom) = &request.request
        && custom.method == "initialize"
        && !has_revision(text)
    {
        return Err(MessageError::Params(problem(&custom.method, custom.params.as_ref())));
    }
    Ok(message)
}

/// Whether a request names its revision itself. If so, `initialize` is an unknown method and answered as such.
fn has_revision(text: &[u8]) -> bool {
    serde_json::from_slice::<Value>(text).is_ok_and(|message| message.pointer(REVISION).is_some())
}

/// Sets the message for a method that is not supported: the library sends its bare name.
pub(crate) fn outward(message: &mut ServerJsonRpcMessage) {
    if let ServerJsonRpcMessage::Error(error) = message
        && error.error.code == ErrorCode::METHOD_NOT_FOUND
    {
        error.error.message = not_found(&error.error.message).into();
    }
}

/// Message for an unknown method.
pub(crate) fn not_found(method: &str) -> String {
    format!("method not found: {}", printable(method, 100))
}

/// Message for malformed parameters of a known method.
pub(super) fn problem(method: &str, params: Option<&Value>) -> String {
    let params = params.cloned().unwrap_or(Value::Null);
    let error = match method {
        "initialize" => from_value::<InitializeRequestParams>(params).err(),
        "subscriptions/listen" => from_value::<SubscriptionsListenRequestParams>(params).err(),
        "tools/call" => from_value::<CallToolRequestParams>(params).err(),
        _ => None,
    };
    match error {
        Some(error) => format!("the parameters of {method} are malformed: {error}"),
        None => format!("the parameters of {method} are malformed"),
    }
}
