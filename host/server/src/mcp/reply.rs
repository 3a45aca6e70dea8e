//! From a closed outcome to what a client is told. The only place where text for callers becomes a message: whose fault it
//! is decides between a tool's error, which a model may mend, and a protocol error, which it cannot.

use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock, MetaObject, ResourceContents};
use toolgate_policy::call::Denied;
use toolgate_runtime::audit::record::Closed;
use toolgate_runtime::outcome::{Answer, Block, Content, Fault, FaultKind, Outcome, Verdict};

use super::era::Era;

/// Turns an outcome into a result or an error.
pub(super) fn reply(closed: Closed<Outcome>, era: Era) -> Result<CallToolResult, ErrorData> {
    let mut result = match closed.into_inner() {
        Outcome::Answer(answer) => answered(answer),
        // An unknown tool and one that may not be called look the same.
        Outcome::Denied(Denied::Unknown) => return Err(ErrorData::invalid_params("unknown tool", None)),
        Outcome::Fault(fault) => failed(&fault)?,
    };
    if era == Era::Modern {
        result.meta = Some(meta());
    }
    Ok(result)
}

/// What every result of the modern era carries: who answered.
pub(super) fn meta() -> MetaObject {
    let mut meta = MetaObject::default();
    let name =
        serde_json::json!({ "name": "toolgate", "title": "Toolgate", "version": env!("CARGO_PKG_VERSION") });
    meta.0.insert("io.modelcontextprotocol/serverInfo".to_owned(), name);
    meta
}

fn answered(answer: Answer) -> CallToolResult {
    let (content, structured) = match answer.content {
        Content::Nothing => (Vec::new(), None),
        Content::Text(text) => (vec![ContentBlock::text(text)], None),
        Content::Value { text, structured } => (vec![ContentBlock::text(text)], Some(structured)),
        Content::Blocks(blocks) => (blocks.into_iter().map(block).collect(), None),
    };
    let mut result = match answer.verdict {
        Verdict::Ok => CallToolResult::success(content),
        Verdict::Err => CallToolResult::error(content),
    };
    result.structured_content = structured;
    result
}

fn block(block: Block) -> ContentBlock {
    match block {
        Block::Text(text) => ContentBlock::text(text),
        Block::Image(media) => ContentBlock::image(media.base64, media.mime),
        Block::Audio(media) => ContentBlock::audio(media.base64, media.mime),
        Block::Blob { uri, media } => {
            ContentBlock::resource(ResourceContents::blob(media.base64, uri).with_mime_type(media.mime))
        }
    }
}

fn failed(fault: &Fault) -> Result<CallToolResult, ErrorData> {
    match fault.kind() {
        FaultKind::Arguments
        | FaultKind::Limit(_)
        | FaultKind::Budget
        | FaultKind::Trap
        | FaultKind::Exit
        | FaultKind::Grant
        | FaultKind::Lift
        | FaultKind::Cancelled => Ok(CallToolResult::error(vec![ContentBlock::text(fault.told())])),
        FaultKind::Stopping | FaultKind::Audit | FaultKind::Internal => {
            Err(ErrorData::internal_error(fault.told().to_owned(), None))
        }
    }
}
