//! Converts a closed outcome to a reply. Only here text for callers becomes a message. The blame decides between a tool
//! error, which a model may fix, and a protocol error, which it cannot.

use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use rmcp::ErrorData;
use rmcp::model::{Annotations, CallToolResult, ContentBlock, MetaObject, Resource, ResourceContents, Role};
use serde_json::Value;
use toolgate_base::outcome::{self, Answer, Block, Content, Fault, FaultKind, Link, Outcome, Piece, Verdict};
use toolgate_policy::call::DeniedError;
use toolgate_policy::limits::wire::{SMALL_MESSAGE_BYTES, WRITE_MS};
use toolgate_runtime::quota::Taken;
use toolgate_state::audit::record::Closed;

use super::era::Era;
use super::{Handler, Inbound, Splice};
use crate::notices::Trouble;

/// Converts an outcome to a result or an error. A large answer is serialised on another thread and spliced in later.
pub(super) async fn reply(
    handler: &Handler,
    closed: Closed<Outcome>,
    era: Era,
    inbound: &Inbound,
) -> Result<CallToolResult, ErrorData> {
    let mut result = match closed.into_inner() {
        Outcome::Answer(answer) if text_bytes(&answer.content) <= SMALL_MESSAGE_BYTES => answered(answer),
        Outcome::Answer(answer) => match &inbound.splice {
            Some(splice) => large(handler, answer, splice, inbound).await?,
            None => counted(handler, answer, inbound).await,
        },
        Outcome::Denied(denied) if is_shown_reason(&denied) => refused(&denied),
        // An unknown tool and a forbidden one look the same.
        Outcome::Denied(_) => return Err(ErrorData::invalid_params("unknown tool", None)),
        Outcome::Fault(fault) => failed(&fault)?,
    };
    if era == Era::Modern {
        result.meta = Some(meta());
    }
    Ok(result)
}

/// Whether a caller is told why it is denied: the tool is in its list.
fn is_shown_reason(denied: &DeniedError) -> bool {
    match denied {
        DeniedError::Scope { .. } | DeniedError::Arguments { .. } => true,
        DeniedError::Unknown | DeniedError::Hidden { .. } | DeniedError::Errored { .. } => false,
    }
}

/// A result that tells a model why the call was denied, and what would help.
fn refused(denied: &DeniedError) -> CallToolResult {
    let text = match denied {
        DeniedError::Scope { .. } => {
            format!("this call is not permitted: {denied}; connect again and ask for it")
        }
        denied => format!("this call is not permitted: {denied}"),
    };
    CallToolResult::error(vec![ContentBlock::text(text)])
}

/// Bytes of an answer's text. Its structured value is about as long.
fn text_bytes(content: &Content) -> usize {
    match content {
        Content::Nothing => 0,
        Content::Text(text) | Content::Value { text, .. } => text.len(),
        Content::Blocks { blocks, .. } => blocks.iter().map(|block| piece_bytes(&block.piece)).sum(),
    }
}

fn piece_bytes(piece: &Piece) -> usize {
    match piece {
        Piece::Text(text) | Piece::TextResource { text, .. } => text.len(),
        Piece::Image(media) | Piece::Audio(media) => media.base64.len(),
        Piece::BlobResource { base64, .. } => base64.len(),
        Piece::Link(link) => link.uri.len() + link.description.as_ref().map_or(0, String::len),
    }
}

/// Makes a result whose content is serialised separately, with a stub in its place.
async fn large(
    handler: &Handler,
    answer: Answer,
    splice: &Splice,
    inbound: &Inbound,
) -> Result<CallToolResult, ErrorData> {
    let caller = &inbound.caller;
    let mut result = match answer.verdict {
        Verdict::Ok => CallToolResult::success(vec![ContentBlock::text(splice.mark())]),
        Verdict::Err => CallToolResult::error(vec![ContentBlock::text(splice.mark())]),
    };
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "an answer could not be written");
        ErrorData::internal_error("the host failed; its log says why", None)
    };
    let stub = serde_json::to_string(&result.content).map_err(|error| failed(&error))?;
    let written = handler.gate.large().run(caller, move || write(answer)).await;
    let bytes = written.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    match room(handler, inbound, bytes.len()).await {
        Ok(taken) => splice.fill(stub, Bytes::from_owner(Counted { bytes, _taken: taken })),
        Err(refused) => result = refused,
    }
    Ok(result)
}

/// Makes a result that the transport serialises as a whole, which then releases its quota.
async fn counted(handler: &Handler, answer: Answer, inbound: &Inbound) -> CallToolResult {
    // As content and as a structured value.
    let bytes = text_bytes(&answer.content).saturating_mul(2);
    match room(handler, inbound, bytes).await {
        Ok(taken) => {
            *inbound.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
            answered(answer)
        }
        Err(refused) => refused,
    }
}

/// Acquires quota for a large answer, waiting while other clients read theirs. On failure returns an error result.
async fn room(handler: &Handler, inbound: &Inbound, bytes: usize) -> Result<Taken, CallToolResult> {
    let patience = Duration::from_millis(WRITE_MS.default);
    let peer = inbound.caller.peer();
    handler.answers.wait(peer, bytes as u64, patience).await.map_err(|_| {
        handler.notices.tell(Trouble::Answers, peer);
        let text = "the tool answered, and the host holds as many large answers as it may; try again later";
        CallToolResult::error(vec![ContentBlock::text(text)])
    })
}

/// Serialises a result from the bracket of `content` on.
fn write(answer: Answer) -> serde_json::Result<Vec<u8>> {
    let result = answered(answer);
    let mut bytes = serde_json::to_vec(&result.content)?;
    if let Some(structured) = &result.structured_content {
        bytes.extend_from_slice(b",\"structuredContent\":");
        serde_json::to_writer(&mut bytes, structured)?;
    }
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// Bytes that use quota until they are written.
struct Counted {
    bytes: Vec<u8>,
    _taken: Taken,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Metadata of every modern result: the name of the server.
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

/// Converts the pieces of an answer to content blocks of MCP.
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
        | FaultKind::Revoked => Ok(CallToolResult::error(vec![ContentBlock::text(fault.caller_text())])),
        FaultKind::Stopping | FaultKind::Audit | FaultKind::Internal => {
            Err(ErrorData::internal_error(fault.caller_text().to_owned(), None))
        }
    }
}
