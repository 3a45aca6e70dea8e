//! Why a plugin does not load: the error of the stage that refused it, typed to the edge. Texts are made of it where somebody reads them.

use std::sync::Arc;

use toolgate_base::outcome::with_causes;
use toolgate_policy::load::{ClearanceError, TrustError};
use toolgate_policy::{Digest, PluginName};
use toolgate_sandbox::inspect::InspectError;
use toolgate_sandbox::prepare::PrepareError;

use super::describe::DescribeError;
use super::dynamic::DynamicToolsError;
use super::source::SourceError;
use super::verify::VerifyError;
use crate::snapshot::names::NameClashError;

/// Why a plugin does not load, with the digest of its bytes where they were read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its bytes are not to be had, or are not those that were asked for.
    #[error("fetch it")]
    Fetch(#[source] Arc<SourceError>),
    /// Its bytes are not trusted.
    #[error("verify it")]
    Verify(Digest, #[source] Box<VerifyError>),
    /// It is not a component that runs here.
    #[error("inspect it")]
    Inspect(Digest, #[source] InspectError),
    /// Its tools cannot be described.
    #[error("describe its tools")]
    Describe(Digest, #[source] DescribeError),
    /// It may not have what it asks, or is not as it was approved.
    #[error("clear it")]
    Clear(Digest, #[source] ClearanceError),
    /// It cannot be made ready.
    #[error("make it ready")]
    Prepare(Digest, #[source] PrepareError),
    /// The tools that it names when it runs cannot be taken.
    #[error("ask it for its tools")]
    Dynamic(Digest, #[source] DynamicToolsError),
    /// Another plugin has its names.
    #[error("give it its names")]
    Names(Digest, #[source] NameClashError),
}

/// The kind of reason that keeps a plugin from loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something is not allowed: trust, grants, what it is.
    Refused,
    /// It is not what was approved, and waits for somebody to look at it.
    Held,
    /// Something does not work: its file, the compiler, the state directory.
    Failed,
}

impl Kind {
    /// One word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Failed => "failed",
        }
    }
}

impl LoadError {
    /// A newer trust policy does not trust what served.
    pub(crate) fn distrusted(digest: Digest, why: TrustError) -> Self {
        Self::Verify(digest, Box::new(VerifyError::Policy(why)))
    }

    /// The kind of reason.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Fetch(error) if error.is_absence() => Kind::Failed,
            Self::Prepare(_, PrepareError::Compile(_) | PrepareError::Store(_)) => Kind::Failed,
            Self::Clear(_, ClearanceError::Held(_)) => Kind::Held,
            _ => Kind::Refused,
        }
    }

    /// The digest of its bytes, where they were read.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Fetch(_) => None,
            Self::Verify(digest, _)
            | Self::Inspect(digest, _)
            | Self::Describe(digest, _)
            | Self::Clear(digest, _)
            | Self::Prepare(digest, _)
            | Self::Dynamic(digest, _)
            | Self::Names(digest, _) => Some(*digest),
        }
    }

    /// Every reason, each a sentence, as an operator reads them of the plugin `name`.
    pub fn reasons(&self, name: &PluginName) -> Vec<String> {
        match self {
            Self::Clear(_, ClearanceError::Refused(reasons)) => {
                reasons.iter().map(ToString::to_string).collect()
            }
            Self::Clear(_, ClearanceError::Held(changes)) => {
                let mut reasons: Vec<String> = changes.iter().map(ToString::to_string).collect();
                if let Some(last) = reasons.last_mut() {
                    last.push_str(&format!(
                        "; see `toolgate plugin diff {name}`, then `toolgate plugin approve {name}`"
                    ));
                }
                reasons
            }
            _ => std::error::Error::source(self).map(with_causes).into_iter().collect(),
        }
    }
}
