//! What should serve, as plain data: the configuration makes it, reconcile takes it. Nothing here acts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toolgate_policy::limits::call::CallLimits;
use toolgate_policy::load::fetch::{FetchPermit, TokenService};
use toolgate_policy::load::lint::{Allowed, Lint};
use toolgate_policy::load::pin::Approved;
use toolgate_policy::load::reference::{Reference, Version};
pub use toolgate_policy::load::{EngineKind, Isolation};
use toolgate_policy::load::{Grants, Pin, TrustPolicy};
use toolgate_policy::name::Prefix;
use toolgate_policy::{Digest, PluginName};

use crate::secret::SecretSpec;
use crate::signature::anchor::{Anchor, SignerHint};
use crate::signature::name;

/// Everything that should serve.
#[derive(Clone)]
pub struct Spec {
    /// The plugins, in the operator's order.
    pub plugins: Vec<PluginSpec>,
    /// Whom to trust.
    pub trust: Arc<TrustSpec>,
    /// What was approved.
    pub approvals: Approvals,
    /// What one refused plugin means for the others.
    pub on_refused: OnRefused,
    /// The folders that were looked through for plugins.
    pub folders: Vec<Folder>,
}

impl Spec {
    /// One plugin by itself, under these approvals.
    #[must_use]
    pub fn of(&self, plugin: PluginSpec, approvals: Approvals) -> Self {
        let (trust, on_refused) = (Arc::clone(&self.trust), self.on_refused);
        Self { plugins: vec![plugin], trust, approvals, on_refused, folders: Vec::new() }
    }
}

/// A folder of plugins.
#[derive(Clone)]
pub struct Folder {
    /// Where it is, by absolute path.
    pub path: PathBuf,
    /// What the plugins in it have in common. Each has a name of its own and its own file.
    pub template: PluginSpec,
    /// Why it cannot be looked through, so that nothing is known of what lies in it.
    pub unreadable: Option<String>,
    /// The entries that look like plugins and cannot be any: names, which whoever made the files chose, each with why.
    pub problems: Vec<(String, String)>,
}

/// What was approved, and whether that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approvals {
    /// Signatures alone decide.
    NotAsked,
    /// Only what stands here may run, as it stands here.
    Asked(BTreeMap<PluginName, Pin>),
}

impl Approvals {
    /// What was approved of one plugin.
    pub fn of(&self, name: &PluginName) -> Approved<'_> {
        match self {
            Self::NotAsked => Approved::NotAsked,
            Self::Asked(pins) => Approved::Asked(pins.get(name)),
        }
    }
}

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
        /// The program, which hands its arguments to [`crate::child::run`]. It must be built from the same source as this.
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
    pub(crate) fn manifest(&self) -> Option<Digest> {
        match self {
            Self::Oci { reference, .. } => match reference.version() {
                Version::Digest(digest) => Some(*digest),
                Version::Tag(_) => None,
            },
            Self::File(_) | Self::Within { .. } | Self::Https { .. } => None,
        }
    }

    /// The paths by which one sees that it is another plugin now: whatever of it lies on this machine, there or not.
    pub fn watched(&self) -> Vec<PathBuf> {
        let file = match self {
            Self::File(path) => path.clone(),
            Self::Within { folder, name } => folder.join(name),
            Self::Https { remote, .. } | Self::Oci { remote, .. } => {
                return remote.ca.iter().cloned().collect();
            }
        };
        let plain =
            name::ENDINGS.iter().map(|(ending, ..)| PathBuf::from(format!("{}{ending}", file.display())));
        plain.chain([file.clone()]).collect()
    }
}

/// Whom to trust, and what they are known by.
#[derive(Clone)]
pub struct TrustSpec {
    /// Who counts for what.
    pub policy: TrustPolicy,
    /// What its signers are known by.
    pub anchors: Vec<Anchor>,
    /// SHA-256 of the file that says so.
    pub sha256: Digest,
}

impl TrustSpec {
    /// What tells whether a signature names one of the signers.
    pub fn hints(&self) -> Vec<SignerHint> {
        self.anchors.iter().map(Anchor::hint).collect()
    }
}

/// What one refused plugin means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRefused {
    /// Nothing serves.
    Stop,
    /// The others serve.
    Skip,
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
