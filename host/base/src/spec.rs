//! Desired state as plain data: produced from the configuration, consumed by reconcile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toolgate_policy::limits::call::CallLimits;
use toolgate_policy::load::Grants;
use toolgate_policy::load::fetch::{FetchPermit, TokenService};
use toolgate_policy::load::lint::{Allowed, Lint};
use toolgate_policy::load::reference::{Reference, Version};
pub use toolgate_policy::load::{EngineKind, Isolation};
use toolgate_policy::name::Prefix;
use toolgate_policy::{Digest, PluginName};

use crate::secret::SecretSpec;

/// Desired state of one plugin.
#[derive(Clone, PartialEq, Eq)]
pub struct PluginSpec {
    /// Name given by the operator.
    pub name: PluginName,
    /// Id that trust rules match.
    pub id: String,
    /// Prefix of its tools' names.
    pub prefix: Prefix,
    /// Source of its bytes.
    pub source: Source,
    /// Required digest of its bytes.
    pub digest: Option<Digest>,
    /// Granted capabilities.
    pub grants: Grants,
    /// Limits of a call.
    pub limits: CallLimits,
    /// Engine that runs it.
    pub engine: EngineKind,
    /// Isolation of its calls.
    pub isolation: Isolation,
    /// Callers that receive its last output when it crashes.
    pub crash_details: CrashDetails,
    /// Lints that it may break.
    pub allow_lints: Allowed,
    /// Secrets that its grants refer to, by name.
    pub secrets: BTreeMap<String, Arc<SecretSpec>>,
}

impl PluginSpec {
    /// A plugin in a folder, with all other settings from this one.
    pub fn within(&self, folder: &Path, name: PluginName, file: String) -> Self {
        Self {
            id: name.to_string(),
            prefix: Prefix::from(&name),
            source: Source::Within { folder: folder.to_owned(), name: file },
            name,
            ..self.clone()
        }
    }

    /// Whether its names may look like another plugin's.
    pub fn may_be_similar(&self) -> bool {
        self.allow_lints.contains(&Lint::SimilarName)
    }
}

/// Callers that receive a plugin's last output when it crashes. The log always has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CrashDetails {
    /// Local callers: over stdio and on the command line.
    #[default]
    Local,
    /// All callers, over HTTP too.
    Always,
    /// No callers.
    Never,
}

impl CrashDetails {
    /// All variants.
    pub const ALL: [Self; 3] = [Self::Local, Self::Always, Self::Never];

    /// Name in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// Whether a caller receives it. `is_local` means over stdio or on the command line.
    pub fn includes(self, is_local: bool) -> bool {
        match self {
            Self::Local => is_local,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Process that compiles components, and its limits.
#[derive(Debug, Clone)]
pub enum Compiling {
    /// A separate process.
    Apart {
        /// Program, which passes its arguments to `child::run` of the sandbox. It must be built from the same source.
        program: PathBuf,
        /// CPU time in seconds.
        cpu_s: u64,
        /// Memory in bytes.
        memory_bytes_max: u64,
    },
    /// This process, without limits: for tests and benches, whose programs cannot serve as the child.
    Here,
}

/// Source of a plugin's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, by absolute path.
    File(PathBuf),
    /// A file in a plugin folder, or a link there to another file of that folder.
    Within {
        /// Folder, by absolute path.
        folder: PathBuf,
        /// File name.
        name: String,
    },
    /// A URL. Requires the plugin's digest.
    Https {
        /// Permit for the request.
        permit: FetchPermit,
        /// Settings for fetching.
        remote: Remote,
    },
    /// An artefact in a registry.
    Oci {
        /// Reference to the artefact.
        reference: Reference,
        /// Settings for fetching.
        remote: Remote,
    },
}

/// Settings for fetching from remote sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remote {
    /// Certificate authorities in PEM that replace the system's.
    pub ca: Option<PathBuf>,
    /// Docker's configuration file with registry credentials.
    pub docker: Option<PathBuf>,
    /// Token service on another host that may receive a registry's credentials.
    pub tokens: Option<TokenService>,
}

impl Source {
    /// Whether the source is remote, by URL or registry.
    pub fn is_elsewhere(&self) -> bool {
        match self {
            Self::File(_) | Self::Within { .. } => false,
            Self::Https { .. } | Self::Oci { .. } => true,
        }
    }

    /// Manifest digest that the operator requires (`oci://…@sha256:…`), if any.
    pub fn manifest(&self) -> Option<Digest> {
        match self {
            Self::Oci { reference, .. } => match reference.version() {
                Version::Digest(digest) => Some(*digest),
                Version::Tag(_) => None,
            },
            Self::File(_) | Self::Within { .. } | Self::Https { .. } => None,
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Within { folder, name } => write!(f, "file:{}", folder.join(name).display()),
            Self::Https { permit, .. } => f.write_str(&permit.target().url()),
            Self::Oci { reference, .. } => reference.fmt(f),
        }
    }
}
