//! Outcome of a call: an answer, a denial, or a fault with its blame. Each fault has two texts, one for the caller and
//! one for the log. The server converts them into protocol messages.

mod fault;

use std::fmt;
use std::sync::Arc;

use toolgate_policy::call::DeniedError;
use toolgate_policy::redact::{printable, printable_lines};

use crate::meter::account::Hold;
pub use fault::{Blame, Fault, FaultKind};

/// Outcome of a call.
#[derive(Debug)]
pub enum Outcome {
    /// The tool answered.
    Answer(Answer),
    /// The principal may not call the tool, or it does not exist.
    Denied(DeniedError),
    /// The call failed.
    Fault(Fault),
}

/// A tool's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Result variant that the tool returned.
    pub verdict: Verdict,
    /// Returned value.
    pub content: Content,
    /// Accounts the answer's memory for as long as the answer lives.
    pub held: Option<Arc<Hold>>,
}

impl Answer {
    /// An answer whose memory is not accounted.
    pub fn new(verdict: Verdict, content: Content) -> Self {
        Self { verdict, content, held: None }
    }
}

/// Whether a tool's own result was `ok` or `err`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// `ok`, or a result that cannot fail.
    Ok,
    /// `err`.
    Err,
}

/// The content of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// The function has no result.
    Nothing,
    /// Text, as it is.
    Text(String),
    /// A value.
    Value {
        /// The JSON of the value itself.
        text: String,
        /// The value as the object that the output schema describes.
        structured: serde_json::Value,
    },
    /// Content blocks.
    Blocks {
        /// The blocks in order.
        blocks: Vec<Block>,
        /// Structured content for programs: an object.
        structured: Option<serde_json::Value>,
    },
}

/// A content block of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Content.
    pub piece: Piece,
    /// Audience and priority.
    pub annotations: Option<Annotations>,
}

/// Content of a block.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Text.
    Text(String),
    /// An image.
    Image(Media),
    /// Sound.
    Audio(Media),
    /// A link to a resource.
    Link(Link),
    /// A resource that is text.
    TextResource {
        /// URI.
        uri: String,
        /// Media type.
        mime: Option<String>,
        /// The text.
        text: String,
    },
    /// A resource that is bytes.
    BlobResource {
        /// URI.
        uri: String,
        /// Media type.
        mime: Option<String>,
        /// The bytes, as base64.
        base64: String,
    },
}

/// A link to a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// URI.
    pub uri: String,
    /// Name.
    pub name: String,
    /// A name for people.
    pub title: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Media type.
    pub mime: Option<String>,
    /// Size in bytes.
    pub size: Option<u64>,
}

/// Audience and priority of a block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Annotations {
    /// Meant for the user.
    pub for_user: bool,
    /// Meant for the model.
    pub for_assistant: bool,
    /// Priority from 0 to 1.
    pub priority: Option<f32>,
    /// Time of the last change (RFC 3339).
    pub last_modified: Option<String>,
}

impl From<Piece> for Block {
    fn from(piece: Piece) -> Self {
        Self { piece, annotations: None }
    }
}

/// Bytes of a media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The media type (RFC 6838).
    pub mime: String,
    /// The bytes, as base64.
    pub base64: String,
}

impl fmt::Display for Answer {
    /// Formats for a terminal, with control characters escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Nothing => f.write_str("(no result)"),
            Content::Text(text) | Content::Value { text, .. } => {
                f.write_str(&printable_lines(text, usize::MAX))
            }
            Content::Blocks { blocks, .. } => {
                let lines: Vec<String> = blocks.iter().map(Block::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let media = |media: &Media| {
            format!("{}, {} bytes as base64", printable(&media.mime, 100), media.base64.len())
        };
        match &self.piece {
            Piece::Text(text) => f.write_str(&printable_lines(text, usize::MAX)),
            Piece::Image(image) => write!(f, "(an image: {})", media(image)),
            Piece::Audio(audio) => write!(f, "(sound: {})", media(audio)),
            Piece::Link(link) => write!(f, "{}: {}", printable(&link.name, 200), printable(&link.uri, 500)),
            Piece::TextResource { uri, text, .. } => {
                write!(f, "{}:\n{}", printable(uri, 500), printable_lines(text, usize::MAX))
            }
            Piece::BlobResource { uri, base64, .. } => {
                write!(f, "({}: {} bytes as base64)", printable(uri, 500), base64.len())
            }
        }
    }
}

/// An error with all that caused it, as one sentence.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
