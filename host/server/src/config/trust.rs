//! `[trust]` and the file it names: signers with their keys, roles, rules, revocations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toolgate_policy::limits::load::{
    CONFIG_BYTES_MAX, GRACE_DAYS, GRACE_DAYS_MAX, LOCK_BYTES_MAX, ROLES_MAX, SIGNERS_MAX, TRUST_RULES_MAX,
};
use toolgate_policy::load::TrustPolicy;
use toolgate_policy::load::identity::Identity;
use toolgate_policy::load::role::{Pattern, Role, RoleRule};
use toolgate_policy::load::signer::{Signer, UnixTime};
use toolgate_policy::load::trust::Parts;
use toolgate_policy::{Digest, InvalidValueError};
use toolgate_signature::anchor::Anchor;
use toolgate_signature::key_file::{self, KeyFile};
use toolgate_signature::keyless_signer::{KeylessSigner, TrustedRootError};
use toolgate_signature::trust::TrustSpec;
use toolgate_state::lockfile::Lockfile;

use super::problem::ConfigError;
use super::reader::{Document, Section};
use super::{absolute, modes, whole};

/// The trust policy with its files.
pub(super) struct TrustFiles {
    pub(super) trust: TrustSpec,
    pub(super) policy: PathBuf,
    pub(super) keys: Vec<PathBuf>,
}

/// Approvals and the path of their file.
#[derive(Clone)]
pub(crate) struct Lock {
    /// Path of the file, which may not exist yet.
    pub(crate) path: PathBuf,
    /// Its contents.
    pub(crate) file: Lockfile,
}

/// Reads the policy and the lock that the configuration names. No lock means that approvals are not required.
pub(super) fn read(
    document: &Document<'_>,
    section: Option<Section<'_>>,
    root: &Section<'_>,
) -> Option<(TrustFiles, Option<Lock>)> {
    let Some(section) = section else {
        let why =
            r#"there is no [trust], and without one nothing loads; write [trust] and policy = "trust.toml""#;
        root.wrong_here(why);
        return None;
    };
    let path = section.required("policy", "trust.toml").map(|path| document.relative(&path));
    let lock = section.string("lock").unwrap_or_else(|| LOCK.to_owned());
    let lock = match lock.as_str() {
        "off" => Some(None),
        file => {
            let path = document.relative(file);
            let lock = read_lock(&path).map_err(|why| format!("{}: {why}", path.display()));
            section.parsed("lock", lock).map(Some)
        }
    };
    section.finish();
    Some((read_policy(&path?, document.problems)?, lock?))
}

/// Default path of the lock.
const LOCK: &str = "toolgate.lock";

/// Reads a lockfile. A missing one approves nothing.
///
/// # Errors
/// A sentence that describes the fault.
pub(crate) fn read_lock(path: &Path) -> Result<Lock, String> {
    let absent = path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    let file = if absent {
        Lockfile::default()
    } else {
        let text = modes::read_text(path, LOCK_BYTES_MAX, modes::FileKind::Policy)?;
        Lockfile::parse(&text).map_err(|error| error.to_string())?
    };
    Ok(Lock { path: path.to_owned(), file })
}

/// Reads a trust policy file.
pub(crate) fn load(path: &Path) -> Result<TrustSpec, ConfigError> {
    let problems = ConfigError::default();
    whole(read_policy(&absolute(path), &problems), &problems).map(|files| files.trust)
}

/// Reads a trust policy from the text a file is to have.
pub(crate) fn load_text(path: &Path, text: &str) -> Result<TrustSpec, ConfigError> {
    let problems = ConfigError::default();
    let document = Document::parse(path, text, &problems).ok_or_else(|| problems.take())?;
    whole(read_document(&document), &problems).map(|files| files.trust)
}

/// The revocations of a trust policy, read even if the rest is invalid, so that a revoked plugin stops serving.
///
/// # Errors
/// Errors that keep the revocations from being read.
pub(crate) fn load_revoked(path: &Path) -> Result<TrustPolicy, ConfigError> {
    let problems = ConfigError::default();
    let document = Document::read(path, &problems).ok_or_else(|| problems.take())?;
    let root = document.root();
    let version = root.integer("version").and_then(|version| u64::try_from(version).ok()).unwrap_or(1).max(1);
    let parts = Parts { version, revoked: revoked(&root), ..Parts::default() };
    // One unreadable entry does not protect the readable ones.
    TrustPolicy::new(parts).map_err(|_| problems.take())
}

fn read_policy(path: &Path, problems: &ConfigError) -> Option<TrustFiles> {
    read_document(&Document::read(path, problems)?)
}

fn read_document(document: &Document<'_>) -> Option<TrustFiles> {
    let root = document.root();
    let mut anchors = Vec::new();
    let mut files = Vec::new();
    let version = root.integer("version");
    if version.is_none() && !root.has("version") {
        root.wrong_here("has no `version`; write version = 1, and raise it with every change");
    }
    let parts = Parts {
        version: version.and_then(|version| u64::try_from(version).ok()).unwrap_or_default(),
        expires: time(&root, "expires"),
        grace_days: grace_days(&root),
        signers: signers(document, &root, &mut anchors, &mut files),
        roles: roles(&root),
        rules: rules(&root),
        revoked: revoked(&root),
    };
    let complete = [parts.signers.len(), parts.roles.len(), parts.rules.len()]
        == ["signer", "role", "rule"].map(|key| root.count(key).unwrap_or(0));
    let policy = TrustPolicy::new(parts).map_err(|invalid| {
        // A policy that lost a part to one problem has follow-up problems that would only confuse.
        for InvalidValueError { at, why } in invalid.into_iter().filter(|_| complete) {
            let key_end = at.find('[').unwrap_or(at.len());
            let (key, rest) = at.split_at_checked(key_end).unwrap_or((&at, ""));
            root.invalid(key, &InvalidValueError::at(rest, why));
        }
    });
    root.finish();
    let trust = TrustSpec { policy: policy.ok()?, anchors, sha256: document.sha256 };
    Some(TrustFiles { trust, policy: document.path.clone(), keys: files })
}

fn signers(
    document: &Document<'_>,
    root: &Section<'_>,
    anchors: &mut Vec<Anchor>,
    files: &mut Vec<PathBuf>,
) -> Vec<Signer> {
    let mut signers = Vec::new();
    for section in root.sections("signer", SIGNERS_MAX) {
        let id = section.required("id", "vendor");
        let keyless = ["issuer", "san", "trusted_root"].iter().any(|key| section.has(key));
        let known = if keyless {
            identity(document, &section, files)
        } else {
            read_file(document, &section, ("key", "keys/vendor.pub"), files, key_file::read)
        };
        let (valid_from, valid_until) = (time(&section, "valid_from"), time(&section, "valid_until"));
        section.finish();
        if let (Some(id), Some(file)) = (id, known) {
            // Where both limit the period, both apply.
            let valid_from = valid_from.max(file.valid_from);
            let valid_until = valid_until.into_iter().chain(file.valid_until).min();
            let identity = file.anchor.identity().cloned();
            signers.push(Signer { id, key: file.anchor.id(), identity, valid_from, valid_until });
            anchors.push(file.anchor);
        }
    }
    signers
}

/// A keyless signer, identified by an issuer and a name.
fn identity(document: &Document<'_>, section: &Section<'_>, files: &mut Vec<PathBuf>) -> Option<KeyFile> {
    if section.has("key") {
        section.ask("key");
        let why = "a signer is known by a key, or by issuer, san and trusted_root; write one of them";
        section.wrong("key", why);
    }
    let issuer = section.required("issuer", "https://token.actions.githubusercontent.com");
    let san =
        section.required("san", "https://github.com/acme/tool/.github/workflows/release.yml@refs/tags/*");
    let identity = issuer.zip(san).and_then(|(issuer, san)| {
        let read = Identity::parse(&issuer, &san);
        read.map_err(|problem| section.wrong(&problem.at, problem.why)).ok()
    });
    read_file(document, section, ("trusted_root", "keys/trusted_root.json"), files, |text| {
        // An unreadable file is reported even if the rest is invalid as well.
        let root = KeylessSigner::root(text)?;
        Ok::<_, TrustedRootError>(identity.map(|identity| KeylessSigner { identity, root }))
    })?
    .map(|signer| KeyFile { anchor: Anchor::Identity(signer), valid_from: None, valid_until: None })
}

/// Parsed contents of the file that a key names.
fn read_file<T, E: std::fmt::Display>(
    document: &Document<'_>,
    section: &Section<'_>,
    (key, example): (&'static str, &str),
    files: &mut Vec<PathBuf>,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let path = document.relative(&section.required(key, example)?);
    let text = modes::read_text(&path, CONFIG_BYTES_MAX, modes::FileKind::Policy);
    files.push(path.clone());
    let read = text.and_then(|text| read(&text).map_err(|error| error.to_string()));
    section.parsed(key, read.map_err(|why| format!("{}: {why}", path.display())))
}

fn roles(root: &Section<'_>) -> Vec<Role> {
    let mut roles = Vec::new();
    for section in root.sections("role", ROLES_MAX) {
        let name = section.required("name", "publisher");
        let threshold = section.integer("threshold").unwrap_or(1);
        let signers = section.strings("signers").unwrap_or_default();
        section.finish();
        let threshold = u32::try_from(threshold).unwrap_or(0);
        roles.extend(name.map(|name| Role { name, threshold, signers }));
    }
    roles
}

fn rules(root: &Section<'_>) -> Vec<RoleRule> {
    let mut rules = Vec::new();
    for section in root.sections("rule", TRUST_RULES_MAX) {
        let plugin = section.required("plugin", "*").and_then(|plugin| {
            Pattern::parse(&plugin).map_err(|problem| section.invalid("plugin", &problem)).ok()
        });
        let require = section.strings("require").unwrap_or_default();
        section.finish();
        rules.extend(plugin.map(|plugin| RoleRule { plugin, require }));
    }
    rules
}

fn revoked(root: &Section<'_>) -> BTreeMap<Digest, String> {
    let mut revoked = BTreeMap::new();
    // Bounded by the file's size only: no number of entries may keep a digest from being revoked.
    for section in root.sections("revoke", usize::MAX) {
        let digest = section.required("digest", "sha256:…");
        let digest = digest.and_then(|digest| section.parsed("digest", digest.parse::<Digest>()));
        let reason = section.string("reason").unwrap_or_else(|| "no reason given".to_owned());
        section.finish();
        revoked.extend(digest.map(|digest| (digest, reason)));
    }
    revoked
}

fn grace_days(root: &Section<'_>) -> u32 {
    let Some(days) = root.integer("grace_days") else { return GRACE_DAYS };
    match u32::try_from(days) {
        Ok(days) if days <= GRACE_DAYS_MAX => days,
        Ok(_) | Err(_) => {
            root.wrong("grace_days", format!("is {days}; write 0 to {GRACE_DAYS_MAX}"));
            0
        }
    }
}

fn time(section: &Section<'_>, key: &'static str) -> Option<UnixTime> {
    section.time(key).map(|time| UnixTime(time.as_second()))
}
