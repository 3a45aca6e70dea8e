//! `toolgate.toml` and the files it names, read and checked completely before anything is bound, fetched or compiled.
//! All errors are reported at once, with file, line, key and remedy. The result is valid.

mod access;
mod api_keys;
mod auth;
mod grant;
mod guarded;
mod modes;
mod origin;
mod plugin;
mod problem;
mod public_url;
mod reader;
mod secret;
mod server;
mod source;
mod supposed;
mod tls;
mod trust;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toolgate_policy::limits::call::{CallLimit, CallLimits};
use toolgate_runtime::spec::{Approvals, Spec};
use toolgate_signature::trust::TrustSpec;

pub(crate) use access::AccessConfig;
pub(crate) use api_keys::read_text as read_api_keys;
pub(crate) use auth::{AuthConfig, StepUp};
pub(crate) use problem::ConfigError;
pub(crate) use server::{ServerConfig, WireLimits};
pub(crate) use source::{docker, oci};
pub(crate) use supposed::{CallerOrigin, PolicyCase, SupposedCaller};
pub(crate) use tls::{ServerCertificate, Tls};
pub(crate) use trust::{Lock, load as load_trust, load_revoked, load_text as load_trust_text, read_lock};

use reader::{Document, Section};

/// A checked configuration.
pub(crate) struct Config {
    /// The server's own part.
    pub(crate) server: ServerConfig,
    /// Authentication of callers, if they must say who they are.
    pub(crate) auth: Option<AuthConfig>,
    /// Rules about calls.
    pub(crate) access: AccessConfig,
    /// Certificate of the server, if TLS ends here.
    pub(crate) certificate: Option<ServerCertificate>,
    /// Whether callers prove who they are.
    pub(crate) has_auth: bool,
    /// Path of the state directory.
    pub(crate) state: PathBuf,
    /// Plugins to serve, and the policy for them.
    pub(crate) spec: Spec,
    /// The lock, if approvals are required.
    pub(crate) lock: Option<Lock>,
    /// Path of the trust policy.
    pub(crate) policy: PathBuf,
    /// Paths of its signers' keys.
    pub(crate) keys: Vec<PathBuf>,
    /// Paths of the other files that were read.
    pub(crate) files: Vec<PathBuf>,
    /// Line of each key in the file, from 1, by path such as `plugin[0].grant.http[1]`.
    pub(crate) lines: BTreeMap<String, usize>,
}

impl Config {
    /// Reads a configuration and every file it names.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, None)
    }

    /// The same, with another grant for one plugin, given by its name and a file with `[plugin.grant]`. It must pass the
    /// same checks.
    pub(crate) fn load_with(path: &Path, instead: Option<(&str, &Path)>) -> Result<Self, ConfigError> {
        let problems = ConfigError::default();
        let open = |path: &Path| Document::read(&absolute(path), &problems).ok_or_else(|| problems.take());
        let document = open(path)?;
        let other = instead.map(|(plugin, file)| Ok((plugin, open(file)?))).transpose()?;
        whole(read(&document, other.as_ref().map(|(name, read)| (*name, read)), &problems), &problems)
    }

    /// Logs settings that are allowed but risky.
    pub(crate) fn warn(&self) {
        for line in guarded::shared_disks(self) {
            tracing::warn!("{line}");
        }
        if let Some(line) = self.certificate.as_ref().and_then(ServerCertificate::warning) {
            tracing::warn!("{line}");
        }
    }

    /// Reads a configuration from the text a file is to have, with every file it names.
    pub(crate) fn load_text(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let problems = ConfigError::default();
        let document = Document::parse(&absolute(path), text, &problems).ok_or_else(|| problems.take())?;
        whole(read(&document, None, &problems), &problems)
    }
}

/// Trust policy and lock of a configuration, whatever errors its other parts have.
pub(crate) struct Roots {
    /// Path of the trust policy.
    pub(crate) policy: PathBuf,
    /// The trust policy with its keys.
    pub(crate) trust: TrustSpec,
    /// The lock, if approvals are required.
    pub(crate) lock: Option<Lock>,
    /// Path of the state directory; `None` if the setting cannot be read.
    pub(crate) state: Option<PathBuf>,
}

impl Roots {
    /// Reads `[trust]` of a configuration with its files, and `[state]`, which may be invalid.
    ///
    /// # Errors
    /// Every error in `[trust]` and its files.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let problems = ConfigError::default();
        let document = Document::read(&absolute(path), &problems).ok_or_else(|| problems.take())?;
        let root = document.root();
        let roots = trust::read(&document, root.section("trust"), &root);
        let problems_of_trust = problems.take();
        let state = state_dir(&document, &root);
        let state = problems.take().is_empty().then_some(state);
        let roots = roots.map(|(files, lock)| Self { policy: files.policy, trust: files.trust, lock, state });
        whole(roots, &problems_of_trust)
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The result, if there are no problems.
fn whole<T>(read: Option<T>, problems: &ConfigError) -> Result<T, ConfigError> {
    read.filter(|_| problems.is_empty()).ok_or_else(|| problems.take())
}

fn read(
    document: &Document<'_>,
    instead: Option<(&str, &Document<'_>)>,
    problems: &ConfigError,
) -> Option<Config> {
    let root = document.root();
    let has_auth = root.has("auth");
    let (server, certificate) = server::read(document, root.section("server"), has_auth);
    let mut files = Vec::new();
    let tenants = auth::read_tenants(&root);
    let public_url = server.public_url.as_ref().map(ToString::to_string);
    let auth = auth::read(document, &root, public_url.as_deref(), &tenants, &mut files);
    let access = access::read(document, &root, auth.as_ref().map(AuthConfig::obtainable));
    files.extend(access.files().cloned());
    let rules = access.load(&document.path).map_err(|found| problems.take_over(found)).ok();
    let state_dir = state_dir(document, &root);
    let secrets = secret::read(document, &root);
    let defaults = root.section("defaults").map(|defaults| {
        let read = read_limits(defaults.section("limits"), &Default::default());
        defaults.finish();
        read
    });
    let plugins = plugin::read(document, &root, &secrets, &defaults.unwrap_or_default(), instead);
    let (trust, lock) = trust::read(document, root.section("trust"), &root).unzip();
    root.finish();
    let of_tls = match &server.tls {
        Tls::Here { cert, key } => Some((cert.clone(), key.clone())),
        Tls::Off | Tls::Proxy(_) => None,
    };
    let guarded = guarded::Files { secrets: &secrets, tls: of_tls.as_ref(), trust: trust.as_ref() };
    guarded::check(document, &state_dir, &plugins, &guarded, lock.as_ref());
    let (plugins, folders): (Vec<_>, Vec<_>) = plugins.into_iter().map(plugin::Plugin::finish).unzip();
    let plugins = plugins.into_iter().flatten().collect();
    let folders = folders.into_iter().flatten().collect();
    let (trust, lock) = (trust?, lock?);
    if !problems.is_empty() {
        return None;
    }
    let approvals = lock.as_ref().map_or(Approvals::NotAsked, |lock| Approvals::Asked(lock.file.pins()));
    let spec = Spec {
        plugins,
        trust: Arc::new(trust.trust),
        approvals,
        rules: Arc::new(rules?),
        on_refused: server.on_refused,
        folders,
    };
    let keys = trust.keys;
    files.extend(keys.iter().cloned());
    files.push(document.path.clone());
    files.extend(lock.as_ref().map(|lock| lock.path.clone()));
    files.extend(secrets.files);
    files.extend(of_tls.into_iter().flat_map(|(cert, key)| [cert, key]));
    Some(Config {
        server,
        auth,
        access,
        certificate,
        has_auth,
        state: state_dir,
        spec,
        lock,
        policy: trust.policy,
        keys,
        files,
        lines: document.lines(),
    })
}

/// Reads a private key from a file that only its owner and group can read.
///
/// # Errors
/// A sentence with the fault and the remedy.
pub(crate) fn read_key(path: &Path) -> Result<zeroize::Zeroizing<String>, String> {
    modes::read(path, toolgate_policy::limits::load::CONFIG_BYTES_MAX, modes::FileKind::Secret)
}

/// Reads a text that need not be secret, from a file that only its owner may write to.
///
/// # Errors
/// A sentence with the fault and the remedy.
pub(crate) fn read_public(path: &Path, bytes_max: u64) -> Result<String, String> {
    modes::read_text(path, bytes_max, modes::FileKind::Policy)
}

/// Reads `[defaults.limits]`, or `[plugin.limits]` over `defaults`.
fn read_limits(section: Option<Section<'_>>, defaults: &CallLimits) -> CallLimits {
    let mut limits = defaults.clone();
    let Some(section) = section else { return limits };
    for limit in CallLimit::ALL {
        if let Some(value) = section.integer(limit.name()) {
            section.parsed(limit.name(), limits.set(limit, value));
        }
    }
    section.finish();
    limits
}

/// Path of the state directory, from `[state]`.
fn state_dir(document: &Document<'_>, root: &Section<'_>) -> PathBuf {
    let state = root.section("state");
    let dir = state.as_ref().and_then(|state| state.string("dir")).unwrap_or_else(|| "state".to_owned());
    if let Some(state) = state {
        state.finish();
    }
    document.relative(&dir)
}

/// Reads a `plugin.toml`, the author's description of a plugin, as the value of its `toolgate` section. The keys are
/// interpreted by that section's reader.
pub(crate) fn read_manifest(path: &Path) -> Result<serde_json::Map<String, serde_json::Value>, ConfigError> {
    let problems = ConfigError::default();
    whole(Document::read(path, &problems).map(|document| document.json()), &problems)
}
