//! Errors of LOAD, each with that of the stage that refused the plugin. Messages are made where they are shown.

use std::sync::Arc;

use toolgate_base::outcome::with_causes;
use toolgate_policy::call::RuleMisfit;
use toolgate_policy::load::{ClearanceError, TrustError};
use toolgate_policy::{Digest, PluginName};
use toolgate_sandbox::inspect::InspectError;
use toolgate_sandbox::prepare::PrepareError;

use super::describe::DescribeError;
use super::dynamic::DynamicToolsError;
use super::source::SourceError;
use super::verify::VerifyError;
use crate::snapshot::names::NameClashError;

/// Reason why a plugin does not load, with the digest of its bytes if they were read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its bytes cannot be fetched, or are not the requested ones.
    #[error("fetch it")]
    Fetch(#[source] Arc<SourceError>),
    /// Its bytes are not trusted.
    #[error("verify it")]
    Verify(Digest, #[source] Box<VerifyError>),
    /// It is not a component that can run here.
    #[error("inspect it")]
    Inspect(Digest, #[source] InspectError),
    /// Its tools cannot be described.
    #[error("describe its tools")]
    Describe(Digest, #[source] DescribeError),
    /// It requests a capability that is not granted, or differs from what was approved.
    #[error("clear it")]
    Clear(Digest, #[source] ClearanceError),
    /// It cannot be prepared.
    #[error("make it ready")]
    Prepare(Digest, #[source] PrepareError),
    /// Its dynamic tools are refused.
    #[error("ask it for its tools")]
    Dynamic(Digest, #[source] DynamicToolsError),
    /// Access rules about its arguments do not fit their types.
    #[error("judge calls of it")]
    Access(Digest, #[source] AccessMisfitError),
    /// Its names clash with those of another plugin.
    #[error("give it its names")]
    Names(Digest, #[source] NameClashError),
}

/// Access rules do not fit the types of a plugin's arguments, so that they could not decide.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{}; change the rule, or keep the version before",
    .0.iter().map(|misfit| format!("the access rule `{}` does not fit {}: {}", misfit.rule, misfit.tool, misfit.why))
        .collect::<Vec<_>>().join("; ")
)]
pub struct AccessMisfitError(pub Vec<RuleMisfit>);

/// Kind of reason that keeps a plugin from loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Forbidden by trust, by grants or by its type.
    Refused,
    /// It differs from what was approved, and waits for approval.
    Held,
    /// Something is broken: its file, the compiler, the state directory.
    Failed,
}

impl Kind {
    /// The kind in one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Failed => "failed",
        }
    }
}

impl LoadError {
    /// Makes the error of a plugin that a newer trust policy does not trust.
    pub(crate) fn distrusted(digest: Digest, why: TrustError) -> Self {
        Self::Verify(digest, Box::new(VerifyError::Policy(why)))
    }

    /// Kind of the reason.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Fetch(error) if error.is_absence() => Kind::Failed,
            Self::Prepare(_, PrepareError::Compile(_) | PrepareError::Store(_)) => Kind::Failed,
            Self::Clear(_, ClearanceError::Held(_)) | Self::Access(..) => Kind::Held,
            _ => Kind::Refused,
        }
    }

    /// Digest of its bytes, if they were read.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Fetch(_) => None,
            Self::Verify(digest, _)
            | Self::Inspect(digest, _)
            | Self::Describe(digest, _)
            | Self::Clear(digest, _)
            | Self::Prepare(digest, _)
            | Self::Dynamic(digest, _)
            | Self::Access(digest, _)
            | Self::Names(digest, _) => Some(*digest),
        }
    }

    /// Reasons for operators about the plugin `name`, each a sentence.
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
