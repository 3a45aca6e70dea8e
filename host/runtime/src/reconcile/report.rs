//! Result of a start, a reload or a check, for each plugin and each folder of plugins.

use std::path::PathBuf;
use std::sync::Arc;

use toolgate_base::outcome::with_causes;
use toolgate_policy::redact::printable;
use toolgate_policy::{Digest, PluginName};
use toolgate_state::rollback::RollbackError;

use crate::load::{Kind, LoadError};

/// Result for each plugin, in the operator's order.
#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    /// Results by plugin.
    pub plugins: Vec<(PluginName, Loaded)>,
    /// Entries of folders that cannot be a plugin.
    pub folders: Vec<FolderProblem>,
    /// Whether anything serves, or would. At a start this is false if no plugin loads, or if one is refused and the
    /// operator requires all.
    pub serves: bool,
    /// Whether plugins without a serving version are still awaited since the start. Once false, it stays so, even if
    /// plugins are added.
    pub starting: bool,
    /// Reason to refuse the trust policy, if so. Then nothing was changed.
    pub problem: Option<String>,
}

/// Result for one plugin.
#[derive(Debug, Clone)]
pub enum Loaded {
    /// It serves, or would.
    Ready {
        /// Digest of its bytes.
        digest: Digest,
        /// Number of its tools.
        tools: usize,
        /// Whether it served before, unchanged.
        kept: bool,
        /// One sentence for each file beside it that is not a valid signature of it.
        set_aside: Vec<String>,
        /// One sentence for each setting that is allowed but risky.
        warnings: Vec<String>,
    },
    /// It does not load; an older version may serve instead.
    Not {
        /// Reason.
        why: Arc<LoadError>,
        /// Digest of the bytes that serve instead.
        instead: Option<Digest>,
    },
    /// It is being fetched.
    Awaited {
        /// Digest of the bytes that serve meanwhile.
        instead: Option<Digest>,
    },
}

/// A folder of plugins that cannot be read, or an entry of one that cannot be a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderProblem {
    /// The folder.
    pub folder: PathBuf,
    /// Name of the entry, chosen by anyone who can write there; none if the folder itself is meant.
    pub file: Option<String>,
    /// Description of the fault.
    pub why: String,
}

impl FolderProblem {
    /// The folder or its entry, escaped.
    pub fn place(&self) -> String {
        const CHARS_MAX: usize = 500;
        let folder = printable(&self.folder.display().to_string(), CHARS_MAX);
        match &self.file {
            Some(file) => format!("{folder}: {}", printable(file, 100)),
            None => folder,
        }
    }
}

impl std::fmt::Display for FolderProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "folder {}: {}", self.place(), self.why)
    }
}

impl Loaded {
    /// Digest of the bytes that serve.
    pub fn serving(&self) -> Option<Digest> {
        match self {
            Self::Ready { digest, .. } => Some(*digest),
            Self::Not { instead, .. } | Self::Awaited { instead } => *instead,
        }
    }

    /// Whether both report the same about the plugin `name`, even if it was loaded again.
    pub(super) fn is_like(&self, other: &Self, name: &PluginName) -> bool {
        match (self, other) {
            (Self::Ready { digest, tools, .. }, Self::Ready { digest: other, tools: number, .. }) => {
                digest == other && tools == number
            }
            (Self::Not { why, instead }, Self::Not { why: other, instead: serving }) => {
                why.reasons(name) == other.reasons(name) && instead == serving
            }
            (Self::Awaited { instead }, Self::Awaited { instead: other }) => instead == other,
            _ => false,
        }
    }
}

impl LoadReport {
    /// The trust policy is not taken.
    pub(super) fn not_taken(error: &RollbackError) -> Self {
        Self { problem: Some(with_causes(error)), ..Self::default() }
    }

    /// Whether every plugin of the configuration serves, or would, in its present version.
    pub fn is_whole(&self) -> bool {
        self.problem.is_none()
            && self.folders.is_empty()
            && self.plugins.iter().all(|(_, loaded)| matches!(loaded, Loaded::Ready { .. }))
    }

    /// Plugins that are awaited without a version that serves meanwhile.
    pub fn awaited(&self) -> impl Iterator<Item = &PluginName> {
        let is_awaited = |loaded: &Loaded| matches!(loaded, Loaded::Awaited { instead: None });
        self.plugins.iter().filter(move |(_, loaded)| is_awaited(loaded)).map(|(name, _)| name)
    }

    /// Whether no fetch is pending.
    pub fn is_settled(&self) -> bool {
        !self.plugins.iter().any(|(_, loaded)| matches!(loaded, Loaded::Awaited { .. }))
    }

    /// Plugins that do not load, each with the reason and the digest that serves instead.
    pub fn refused(&self) -> impl Iterator<Item = (&PluginName, &LoadError, Option<Digest>)> {
        self.plugins.iter().filter_map(|(name, loaded)| match loaded {
            Loaded::Not { why, instead } => Some((name, why.as_ref(), *instead)),
            Loaded::Ready { .. } | Loaded::Awaited { .. } => None,
        })
    }

    /// Whether anything serves or is awaited.
    pub(super) fn has_any(&self) -> bool {
        let counts = |loaded: &Loaded| loaded.serving().is_some() || matches!(loaded, Loaded::Awaited { .. });
        self.plugins.iter().any(|(_, loaded)| counts(loaded))
    }

    /// Most important kind of reason; none if no plugin or folder is at fault. It decides an exit code: a refusal takes
    /// precedence over a failure.
    pub fn kind(&self) -> Option<Kind> {
        if !self.folders.is_empty() {
            return Some(Kind::Refused);
        }
        self.refused().map(|(_, why, _)| why.kind()).min()
    }

    /// Logs the result for each plugin and folder.
    pub fn log(&self) {
        if let Some(problem) = &self.problem {
            tracing::error!("{problem}; everything is as it was");
            return;
        }
        for (name, loaded) in &self.plugins {
            match loaded {
                // If nothing serves, neither does a version before.
                Loaded::Not { why, .. } if !self.serves => {
                    log(name, &Loaded::Not { why: Arc::clone(why), instead: None });
                }
                Loaded::Ready { .. } | Loaded::Not { .. } | Loaded::Awaited { .. } => log(name, loaded),
            }
        }
        for problem in &self.folders {
            tracing::error!("{problem}");
        }
    }
}

/// Logs the result for a plugin.
pub(super) fn log(name: &PluginName, loaded: &Loaded) {
    let goes_on = |instead: &Option<Digest>| {
        if let Some(digest) = instead {
            tracing::warn!(plugin = %name, digest = %digest.short(12), "the version before goes on serving");
        }
    };
    match loaded {
        Loaded::Ready { digest, tools, kept, warnings, .. } => {
            tracing::info!(plugin = %name, digest = %digest.short(12), tools, kept, "serving");
            for warning in warnings {
                tracing::warn!(plugin = %name, "{warning}");
            }
        }
        Loaded::Not { why, instead } => {
            for reason in why.reasons(name) {
                tracing::error!(plugin = %name, "{}: {reason}", why.kind().word());
            }
            goes_on(instead);
        }
        Loaded::Awaited { instead: None } => tracing::info!(plugin = %name, "being fetched"),
        Loaded::Awaited { instead: Some(digest) } => {
            tracing::info!(plugin = %name, digest = %digest.short(12), "serving while its source is asked for a newer version");
        }
    }
}
