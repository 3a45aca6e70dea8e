//! What should serve, as plain data: the configuration makes it, reconcile takes it. Nothing here acts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toolgate_policy::limits::call::CallLimits;
use toolgate_policy::load::Grants;
use toolgate_policy::load::fetch::{FetchPermit, TokenService};
use toolgate_policy::load::lint::{Allowed, Lint};
use toolgate_policy::load::reference::{Reference, Version};
use toolgate_policy::name::Prefix;
use toolgate_policy::{Digest, PluginName};

use crate::secret::SecretSpec;

/// One plugin.
#[derive(Clone, PartialEq, Eq)]
pub struct PluginSpec {
    /// What the operator calls it.
    pub name: PluginName,
    /// What trust rules match.
    pub id: String,
    /// What its tools' names begin with.
    pub prefix: Prefix,
    /// Where its bytes are.
    pub source: Source,
    /// The only bytes it may have.
    pub digest: Option<Digest>,
    /// What it is given.
    pub grants: Grants,
    /// What a call of it may use.
    pub limits: CallLimits,
    /// On which engine it runs.
    pub engine: EngineKind,
    /// Behind how many walls it runs.
    pub isolation: Isolation,
    /// Who is told what it wrote last when it crashes.
    pub crash_details: CrashDetails,
    /// The lints that it may break.
    pub allow_lints: Allowed,
    /// The secrets that its grants name, by name.
    pub secrets: BTreeMap<String, Arc<SecretSpec>>,
}

impl PluginSpec {
    /// A plugin in a folder, with everything else as it is here.
    pub fn within(&self, folder: &Path, name: PluginName, file: String) -> Self {
        Self {
            id: name.to_string(),
            prefix: Prefix::from(&name),
            source: Source::Within { folder: folder.to_owned(), name: file },
            name,
            ..self.clone()
        }
    }

    /// Whether its names may read like another plugin's.
    pub fn may_be_similar(&self) -> bool {
        self.allow_lints.contains(&Lint::SimilarName)
    }
}

/// Which half of the component model a plugin's engine has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineKind {
    /// The half that ordinary components need.
    #[default]
    Sync,
    /// Its asynchronous half as well: built-ins, exports, streams, futures.
    Async,
}

impl EngineKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sync, Self::Async];

    /// Its word in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

/// Behind how many walls a plugin runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// WebAssembly's, on a thread of this process.
    #[default]
    Thread,
    /// That, and those of the system around a process of its own. Linux only.
    Process,
}

impl Isolation {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Thread, Self::Process];

    /// Its word in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Process => "process",
        }
    }
}

/// Which callers are told what a plugin wrote last when it crashes. The log and the record have it in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CrashDetails {
    /// Those on this machine: over stdio, and on the command line.
    #[default]
    Local,
    /// All, over HTTP too.
    Always,
    /// None.
    Never,
}

impl CrashDetails {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Local, Self::Always, Self::Never];

    /// Its word in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// Whether a caller is told, who calls over stdio or on the command line or does not.
    pub fn includes(self, is_local: bool) -> bool {
        match self {
            Self::Local => is_local,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Where components are compiled, and what compiling one may take.
#[derive(Debug, Clone)]
pub enum Compiling {
    /// In a process of its own.
    Apart {
        /// The program, which hands its arguments to [`toolgate_sandbox::child::run`]. It must be built from the same source as this.
        program: PathBuf,
        /// Processor time, in seconds.
        cpu_s: u64,
        /// Memory, in bytes.
        memory_bytes_max: u64,
    },
    /// In this process and without bounds: for tests and benches, which are no such program.
    Here,
}

/// Where bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, by absolute path.
    File(PathBuf),
    /// A file that lies in a folder of plugins, or a link there to another file of the folder.
    Within {
        /// The folder, by absolute path.
        folder: PathBuf,
        /// The file's name.
        name: String,
    },
    /// A URL. The plugin's digest is known.
    Https {
        /// What is asked for.
        permit: FetchPermit,
        /// On which terms.
        remote: Remote,
    },
    /// An artefact in a registry.
    Oci {
        /// Which.
        reference: Reference,
        /// On which terms.
        remote: Remote,
    },
}

/// On which terms what lies elsewhere is fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remote {
    /// The certificate authorities, in PEM, where those of the system are not meant.
    pub ca: Option<PathBuf>,
    /// Docker's configuration, which keeps credentials for registries.
    pub docker: Option<PathBuf>,
    /// The service on another host that may be told a registry's credentials.
    pub tokens: Option<TokenService>,
}

impl Source {
    /// Whether it is another machine, or what stands in for one.
    pub fn is_elsewhere(&self) -> bool {
        match self {
            Self::File(_) | Self::Within { .. } => false,
            Self::Https { .. } | Self::Oci { .. } => true,
        }
    }

    /// The digest of the only manifest that it may be, if the operator named one: `oci://…@sha256:…`.
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
