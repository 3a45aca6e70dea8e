//! The result of a start, a reload or a check: what became of each plugin, and of each folder of plugins.

use std::path::PathBuf;
use std::sync::Arc;

use toolgate_base::outcome::with_causes;
use toolgate_policy::redact::printable;
use toolgate_policy::{Digest, PluginName};
use toolgate_state::rollback::RollbackError;

use crate::load::{Kind, LoadError};

/// What came of it, plugin by plugin, in the operator's order.
#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    /// Each plugin.
    pub plugins: Vec<(PluginName, Loaded)>,
    /// What in folders of plugins cannot be a plugin.
    pub folders: Vec<FolderProblem>,
    /// Whether anything serves, or would: at the start, not when a plugin is refused and the operator wants all or nothing, nor
    /// when none loads.
    pub serves: bool,
    /// Whether plugins are still awaited of which nothing serves meanwhile, since the start. Once all of these have come, or do
    /// not come, a server stays started, whatever is added to it.
    pub starting: bool,
    /// Why the trust policy is not taken, so that nothing was looked at and everything is as it was.
    pub problem: Option<String>,
}

/// What became of one plugin.
#[derive(Debug, Clone)]
pub enum Loaded {
    /// It serves, or would.
    Ready {
        /// Its bytes.
        digest: Digest,
        /// How many tools it has.
        tools: usize,
        /// Whether it served before, unchanged.
        kept: bool,
        /// A sentence for each thing beside it that was set aside: no signature of it, or none that can be read.
        set_aside: Vec<String>,
        /// A sentence for each thing that is allowed and likely to be regretted.
        warnings: Vec<String>,
    },
    /// It does not, or its old version does instead.
    Not {
        /// Why.
        why: Arc<LoadError>,
        /// The bytes that serve instead.
        instead: Option<Digest>,
    },
    /// It is being fetched.
    Awaited {
        /// The bytes that serve meanwhile.
        instead: Option<Digest>,
    },
}

/// A folder of plugins that cannot be looked through, or something in it that cannot be a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderProblem {
    /// The folder.
    pub folder: PathBuf,
    /// The name of the entry, which anybody may have chosen who can write there; none if the folder is meant.
    pub file: Option<String>,
    /// What is wrong.
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
    /// The bytes that serve.
    pub fn serving(&self) -> Option<Digest> {
        match self {
            Self::Ready { digest, .. } => Some(*digest),
            Self::Not { instead, .. } | Self::Awaited { instead } => *instead,
        }
    }

    /// Whether both say the same of the plugin `name`, also if it was loaded once more for it.
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

    /// Whether every plugin of the configuration serves, or would, as it is now.
    pub fn is_whole(&self) -> bool {
        self.problem.is_none()
            && self.folders.is_empty()
            && self.plugins.iter().all(|(_, loaded)| matches!(loaded, Loaded::Ready { .. }))
    }

    /// The plugins that are awaited and of which nothing serves meanwhile.
    pub fn awaited(&self) -> impl Iterator<Item = &PluginName> {
        let is_awaited = |loaded: &Loaded| matches!(loaded, Loaded::Awaited { instead: None });
        self.plugins.iter().filter(move |(_, loaded)| is_awaited(loaded)).map(|(name, _)| name)
    }

    /// Whether anything is still being fetched.
    pub fn is_settled(&self) -> bool {
        !self.plugins.iter().any(|(_, loaded)| matches!(loaded, Loaded::Awaited { .. }))
    }

    /// The plugins that do not load, each with why, and with the bytes that serve instead.
    pub fn refused(&self) -> impl Iterator<Item = (&PluginName, &LoadError, Option<Digest>)> {
        self.plugins.iter().filter_map(|(name, loaded)| match loaded {
            Loaded::Not { why, instead } => Some((name, why.as_ref(), *instead)),
            Loaded::Ready { .. } | Loaded::Awaited { .. } => None,
        })
    }

    /// Whether anything serves, or will perhaps.
    pub(super) fn has_any(&self) -> bool {
        let counts = |loaded: &Loaded| loaded.serving().is_some() || matches!(loaded, Loaded::Awaited { .. });
        self.plugins.iter().any(|(_, loaded)| counts(loaded))
    }

    /// Says in the log what became of each plugin and folder.
    pub fn log(&self) {
        if let Some(problem) = &self.problem {
            tracing::error!("{problem}; everything is as it was");
            return;
        }
        for (name, loaded) in &self.plugins {
            match loaded {
                // Where nothing serves, no version before does.
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

/// Says in the log what became of a plugin.
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

/// The kind that decides an exit code: what is not allowed comes before what does not work.
impl LoadReport {
    /// The kind of reason that matters most; none if only a folder or the trust policy is the matter.
    pub fn kind(&self) -> Option<Kind> {
        if !self.folders.is_empty() {
            return Some(Kind::Refused);
        }
        self.refused().map(|(_, why, _)| why.kind()).min()
    }
}
