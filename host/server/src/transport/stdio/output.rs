//! Messages on stdout, one after the other. Long ones are serialised on the threads for large messages.

use std::io;
use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, ContentBlock, JsonRpcMessage, ServerResult,
};
use rmcp::service::TxJsonRpcMessage;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;
use toolgate_policy::limits::wire::SMALL_MESSAGE_BYTES;
use toolgate_runtime::large::Large;
use toolgate_runtime::turns::Caller;

/// Writer of messages. Clones share it.
#[derive(Clone)]
pub(super) struct Output {
    file: Arc<Mutex<tokio::fs::File>>,
    large: Large,
    caller: Caller,
}

/// Reason given at the end of a notification stream.
const ENDED: &str = "the server is stopping";

impl Output {
    pub(super) fn new(file: tokio::fs::File, large: Large, caller: Caller) -> Self {
        Self { file: Arc::new(Mutex::new(file)), large, caller }
    }

    /// Writes a message. A cancellation precedes the answer that ends a notification stream: MCP 2026-07-28 asks for
    /// both, under "Subscriptions" and "Cancellation", and clients wait for either.
    pub(super) async fn send(self, message: TxJsonRpcMessage<RoleServer>) -> io::Result<()> {
        if let JsonRpcMessage::Response(response) = &message
            && let ServerResult::SubscriptionsListenResult(_) = &response.result
        {
            let over = CancelledNotificationParam::new(Some(response.id.clone()), Some(ENDED.to_owned()));
            let over = TxJsonRpcMessage::<RoleServer>::notification(CancelledNotification::new(over).into());
            self.write(serde_json::to_vec(&over)?).await?;
        }
        let text = if is_long(&message) {
            let work = move || serde_json::to_vec(&message);
            self.large.run(&self.caller, work).await.map_err(io::Error::other)??
        } else {
            serde_json::to_vec(&message)?
        };
        self.write(text).await
    }

    /// Writes a message in one piece, so that messages of concurrent calls never mix.
    pub(super) async fn write(&self, mut message: Vec<u8>) -> io::Result<()> {
        message.push(b'\n');
        // Locked until the message is written: the next one waits.
        let mut file = self.file.lock().await;
        file.write_all(&message).await?;
        file.flush().await
    }

    pub(super) async fn flush(&self) -> io::Result<()> {
        self.file.lock().await.flush().await
    }
}

/// Whether serialising takes long: a large answer, or a list of many tools.
fn is_long(message: &TxJsonRpcMessage<RoleServer>) -> bool {
    const TOOLS: usize = 50;
    let JsonRpcMessage::Response(response) = message else { return false };
    match &response.result {
        ServerResult::CallToolResult(result) => {
            result.content.iter().map(content_bytes).sum::<usize>() > SMALL_MESSAGE_BYTES
        }
        ServerResult::ListToolsResult(result) => result.tools.len() > TOOLS,
        _ => false,
    }
}

fn content_bytes(content: &ContentBlock) -> usize {
    match content {
        ContentBlock::Text(text) => text.text.len(),
        ContentBlock::Image(image) => image.data.len(),
        ContentBlock::Audio(audio) => audio.data.len(),
        // Rare, and never small.
        _ => SMALL_MESSAGE_BYTES,
    }
}
