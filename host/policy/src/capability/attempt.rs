//! What a guest wanted of the outside, and what it was told: how records, `explain` and `learn` speak of it. Nothing is
//! decided here.

use super::files::Use;
use crate::Capability;
use crate::request::Target;

/// Something that a guest wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attempt {
    /// A file or a folder, by the name that the guest has for it: a slash at its end where it was opened as a folder and
    /// refused.
    File {
        /// Its name.
        path: String,
        /// For what.
        wanted: Use,
    },
    /// To send a request. Without its query.
    Request(Target),
    /// To send what is no request that anybody could be granted.
    NoRequest {
        /// What it was.
        text: String,
        /// Why it is none.
        why: String,
    },
    /// The configuration value of this key.
    Config(String),
    /// To look at a clock.
    Clock,
    /// Random numbers.
    Random,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judged {
    /// It was allowed.
    Allowed,
    /// It was refused.
    Refused,
}

impl Attempt {
    /// Which word it falls under.
    pub const fn capability(&self) -> Capability {
        match self {
            Self::File { .. } => Capability::Files,
            Self::Request(_) | Self::NoRequest { .. } => Capability::Http,
            Self::Config(_) => Capability::Config,
            Self::Clock => Capability::Clock,
            Self::Random => Capability::Random,
        }
    }
}

impl std::fmt::Display for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, wanted } => write!(f, "{} {path}", wanted.word()),
            Self::Request(target) => write!(f, "{} {}", target.method(), target.url()),
            Self::NoRequest { text, why } => write!(f, "{text} ({why})"),
            Self::Config(key) => write!(f, "configuration value {key}"),
            Self::Clock => f.write_str("a look at a clock"),
            Self::Random => f.write_str("random numbers"),
        }
    }
}
