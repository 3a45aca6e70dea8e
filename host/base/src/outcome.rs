//! How a call ended: an answer, a denial, or a fault with whose it is. Each fault has two texts: what the caller may see
//! and what the log keeps. Turning them into protocol messages is the server's.

mod fault;

use std::fmt;
use std::sync::Arc;

use toolgate_policy::call::DeniedError;
use toolgate_policy::redact::{printable, printable_lines};

pub use fault::{Blame, Fault, FaultKind};

/// How a call ended.
#[derive(Debug)]
pub enum Outcome {
    /// The tool answered.
    Answer(Answer),
    /// The caller may not, or there is no such tool.
    Denied(DeniedError),
    /// Nothing came of it.
    Fault(Fault),
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Whether the tool says that it worked.
    pub verdict: Verdict,
    /// What it says.
    pub content: Content,
    /// What its memory is counted by, for as long as this is there.
    pub held: AnswerHold,
}

/// Something that lasts as long as an answer does, and is no part of it.
#[derive(Clone, Default)]
pub struct AnswerHold(Option<Arc<dyn Send + Sync>>);

impl Answer {
    /// An answer whose memory nobody counts.
    pub fn new(verdict: Verdict, content: Content) -> Self {
        Self { verdict, content, held: AnswerHold::default() }
    }

    /// The same, with what its memory is counted by.
    #[must_use]
    pub fn holding(mut self, what: impl Send + Sync + 'static) -> Self {
        self.held = AnswerHold(Some(Arc::new(what)));
        self
    }
}

impl PartialEq for AnswerHold {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for AnswerHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({})", self.0.is_some())
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
        /// The same as the object that the output schema describes.
        structured: serde_json::Value,
    },
    /// Pieces of several kinds.
    Blocks {
        /// In order.
        blocks: Vec<Block>,
        /// The same for programs: an object.
        structured: Option<serde_json::Value>,
    },
}

/// One piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// What it is.
    pub piece: Piece,
    /// For whom it is, and how much it matters.
    pub annotations: Option<Annotations>,
}

/// What a piece of an answer is.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Text.
    Text(String),
    /// An image.
    Image(Media),
    /// Sound.
    Audio(Media),
    /// Something to be looked up elsewhere.
    Link(Link),
    /// A resource that is text.
    TextResource {
        /// Its address.
        uri: String,
        /// Its media type.
        mime: Option<String>,
        /// The text.
        text: String,
    },
    /// A resource that is bytes.
    BlobResource {
        /// Its address.
        uri: String,
        /// Its media type.
        mime: Option<String>,
        /// The bytes, as base64.
        base64: String,
    },
}

/// Something to be looked up elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its address.
    pub uri: String,
    /// Its name.
    pub name: String,
    /// A name for people.
    pub title: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// Its media type.
    pub mime: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
}

/// For whom a piece is, and how much it matters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Annotations {
    /// For the user.
    pub for_user: bool,
    /// For the model.
    pub for_assistant: bool,
    /// From 0 to 1.
    pub priority: Option<f32>,
    /// RFC 3339.
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
    /// As a terminal shows it: nothing in it can steer the terminal.
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
