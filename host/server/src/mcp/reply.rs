//! From a closed outcome to what a client is told. The only place where text for callers becomes a message: whose fault it
//! is decides between a tool's error, which a model may mend, and a protocol error, which it cannot.

use rmcp::ErrorData;
use rmcp::model::{Annotations, CallToolResult, ContentBlock, MetaObject, Resource, ResourceContents, Role};
use serde_json::Value;
use toolgate_policy::call::Denied;
use toolgate_runtime::audit::record::Closed;
use toolgate_runtime::outcome::{
    self, Answer, Block, Content, Fault, FaultKind, Link, Outcome, Piece, Verdict,
};

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
        Content::Blocks { blocks, structured } => (blocks.into_iter().map(block).collect(), structured),
    };
    let mut result = match answer.verdict {
        Verdict::Ok => CallToolResult::success(content),
        Verdict::Err => CallToolResult::error(content),
    };
    result.structured_content = structured;
    result
}

/// Pieces of an answer as MCP spells them.
///
/// # Errors
/// When they cannot be spelled so.
pub(crate) fn content(blocks: Vec<Block>) -> Result<Value, serde_json::Error> {
    let blocks: Vec<ContentBlock> = blocks.into_iter().map(block).collect();
    serde_json::to_value(blocks)
}

fn block(block: Block) -> ContentBlock {
    let mut content = match block.piece {
        Piece::Text(text) => ContentBlock::text(text),
        Piece::Image(media) => ContentBlock::image(media.base64, media.mime),
        Piece::Audio(media) => ContentBlock::audio(media.base64, media.mime),
        Piece::Link(link) => ContentBlock::resource_link(linked(link)),
        Piece::TextResource { uri, mime, text } => {
            ContentBlock::resource(typed(ResourceContents::text(text, uri), mime))
        }
        Piece::BlobResource { uri, mime, base64 } => {
            ContentBlock::resource(typed(ResourceContents::blob(base64, uri), mime))
        }
    };
    if let Some(annotations) = block.annotations.map(annotated) {
        let place = match &mut content {
            ContentBlock::Text(text) => &mut text.annotations,
            ContentBlock::Image(image) => &mut image.annotations,
            ContentBlock::Audio(audio) => &mut audio.annotations,
            ContentBlock::Resource(resource) => &mut resource.annotations,
            ContentBlock::ResourceLink(link) => &mut link.annotations,
            _ => return content,
        };
        *place = Some(annotations);
    }
    content
}

fn typed(contents: ResourceContents, mime: Option<String>) -> ResourceContents {
    match mime {
        Some(mime) => contents.with_mime_type(mime),
        None => contents,
    }
}

fn linked(link: Link) -> Resource {
    let mut resource = Resource::new(link.uri, link.name);
    resource.title = link.title;
    resource.description = link.description;
    resource.mime_type = link.mime;
    resource.size = link.size;
    resource
}

fn annotated(from: outcome::Annotations) -> Annotations {
    let mut annotations = Annotations::default();
    let roles = [(from.for_user, Role::User), (from.for_assistant, Role::Assistant)];
    let audience: Vec<Role> = roles.into_iter().filter(|(is, _)| *is).map(|(_, role)| role).collect();
    annotations.audience = (!audience.is_empty()).then_some(audience);
    annotations.priority = from.priority;
    annotations.last_modified = from.last_modified;
    annotations
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
        | FaultKind::Worker
        | FaultKind::Cancelled
        | FaultKind::Revoked => Ok(CallToolResult::error(vec![ContentBlock::text(fault.told())])),
        FaultKind::Stopping | FaultKind::Audit | FaultKind::Internal => {
            Err(ErrorData::internal_error(fault.told().to_owned(), None))
        }
    }
}
