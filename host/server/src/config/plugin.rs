//! `[[plugin]]`: which bytes, under which name, with which grants and limits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toolgate_policy::limits::call::CallLimits;
use toolgate_policy::limits::load::PLUGINS_MAX;
use toolgate_policy::load::Grants;
use toolgate_policy::load::lint::{Allowed, Lint};
use toolgate_policy::name::Prefix;
use toolgate_policy::{Digest, PluginName};
use toolgate_runtime::secret::SecretSpec;
use toolgate_runtime::spec::{EngineKind, Isolation, PluginSpec, Source};

use super::reader::{Document, Section};
use super::secret::Secrets;
use super::source::Origin;
use super::{grant, limits, source};

/// A plugin, with what is needed to check its paths.
pub(super) struct Plugin<'d> {
    /// One, or those that lie in a folder: alike in all but name and file.
    pub(super) specs: Vec<PluginSpec>,
    pub(super) folder: Option<PathBuf>,
    pub(super) section: Section<'d>,
}

pub(super) fn read<'d>(
    document: &Document<'_>,
    root: &Section<'d>,
    secrets: &Secrets,
    defaults: &CallLimits,
    instead: Option<(&str, &Document<'_>)>,
) -> Vec<Plugin<'d>> {
    let mut plugins: Vec<Plugin<'d>> = Vec::new();
    let mut names = BTreeSet::new();
    for section in root.sections("plugin", PLUGINS_MAX) {
        let Some((specs, folder)) = read_one(document, &section, secrets, defaults, instead) else {
            section.finish();
            continue;
        };
        let key = if folder.is_some() { "source" } else { "name" };
        let twice: Vec<&PluginSpec> = specs.iter().filter(|spec| names.contains(&spec.name)).collect();
        for spec in twice {
            section.wrong(key, format!("`{}` stands twice; give each plugin a name of its own", spec.name));
        }
        names.extend(specs.iter().map(|spec| spec.name.clone()));
        plugins.push(Plugin { specs, folder, section });
        if names.len() > PLUGINS_MAX {
            // Told by the caller, and folders hold thousands.
            break;
        }
    }
    plugins
}

fn read_one(
    document: &Document<'_>,
    section: &Section<'_>,
    secrets: &Secrets,
    defaults: &CallLimits,
    instead: Option<(&str, &Document<'_>)>,
) -> Option<(Vec<PluginSpec>, Option<PathBuf>)> {
    let origin = source::read(document, section);
    let files = match &origin {
        Some(Origin::Folder(folder)) => Some(in_folder(section, folder)),
        Some(Origin::One(_)) | None => None,
    };
    let name = match &files {
        Some(_) => "folder".parse::<PluginName>().ok(),
        None => section.required("name", "files").and_then(|name| {
            name.parse::<PluginName>().map_err(|error| section.wrong("name", error.to_string())).ok()
        }),
    };
    let id = section.string("id");
    let prefix = section.string("prefix").map(|prefix| {
        Prefix::parse(&prefix).map_err(|error| section.wrong("prefix", error.to_string())).ok()
    });
    let digest = section.string("digest").map(|digest| {
        digest.parse::<Digest>().map_err(|error| section.wrong("digest", error.to_string())).ok()
    });
    let allow_lints = allow_lints(section);
    let engine = engine(section);
    let isolation = isolation(section);
    let mut grants = grant::read(document, section.section("grant"));
    if let Some((plugin, other)) = instead
        && name.as_ref().is_some_and(|name| name.as_str() == plugin)
    {
        grants = grant::read_file(other);
    }
    let limits = limits::read(section.section("limits"), defaults);
    let needed = needed(section, secrets, &grants);
    let name = name?;
    let (source, folder) = match origin? {
        Origin::One(source) => (*source, None),
        Origin::Folder(folder) => (Source::File(folder.clone()), Some(folder)),
    };
    let spec = PluginSpec {
        id: id.unwrap_or_else(|| name.to_string()),
        prefix: match prefix {
            None => Prefix::from(&name),
            Some(prefix) => prefix?,
        },
        source,
        digest: match digest {
            None => None,
            Some(digest) => Some(digest?),
        },
        grants,
        limits,
        allow_lints,
        engine,
        isolation,
        secrets: needed,
        name,
    };
    let specs = match (&folder, files) {
        (Some(folder), Some(files)) => {
            files.into_iter().map(|(name, file)| within(&spec, folder, name, file)).collect()
        }
        _ => vec![spec],
    };
    Some((specs, folder))
}

/// The plugins that lie in a folder, each named as its file is. Notes what only a single plugin can have.
fn in_folder(section: &Section<'_>, folder: &Path) -> Vec<(PluginName, String)> {
    for key in ["name", "id", "prefix", "digest"] {
        section.ask(key);
        if section.has(key) {
            section.wrong(key, "is for one plugin; those in a folder are named as their files are");
        }
    }
    let files = toolgate_runtime::load::source::folder(folder).unwrap_or_else(|error| {
        section.wrong("source", format!("it is not looked through: failed to {error}"));
        Vec::new()
    });
    let named = files.into_iter().filter_map(|file| {
        let stem = file.strip_suffix(".wasm").unwrap_or(&file);
        match stem.parse::<PluginName>() {
            Ok(name) => Some((name, file)),
            Err(error) => {
                let shown = toolgate_policy::redact::printable(&file, 100);
                section.wrong(
                    "source",
                    format!("has the file `{shown}`, whose name no plugin can have: {error}"),
                );
                None
            }
        }
    });
    named.collect()
}

fn within(spec: &PluginSpec, folder: &Path, name: PluginName, file: String) -> PluginSpec {
    PluginSpec {
        id: name.to_string(),
        prefix: Prefix::from(&name),
        source: Source::Within { folder: folder.to_owned(), name: file },
        name,
        ..spec.clone()
    }
}

/// The secrets that grants name. Notes those that are not there.
fn needed(section: &Section<'_>, secrets: &Secrets, grants: &Grants) -> BTreeMap<String, Arc<SecretSpec>> {
    let mut needed = BTreeMap::new();
    for rule in grants.http.iter().flat_map(|grant| grant.rules()) {
        let Some(secret) = &rule.secret else { continue };
        match secrets.by_name.get(secret) {
            Some(spec) => drop(needed.insert(secret.clone(), spec.clone())),
            None => section.wrong(
                "grant",
                format!("names the secret `{secret}`; there is no [[secret]] of that name that can be used"),
            ),
        }
    }
    needed
}

fn engine(section: &Section<'_>) -> EngineKind {
    let Some(word) = section.string("engine") else { return EngineKind::default() };
    EngineKind::ALL.into_iter().find(|kind| kind.word() == word).unwrap_or_else(|| {
        section.wrong("engine", format!(r#"is `{word}`; write "sync" or "async""#));
        EngineKind::default()
    })
}

fn isolation(section: &Section<'_>) -> Isolation {
    let Some(word) = section.string("isolation") else { return Isolation::default() };
    Isolation::ALL.into_iter().find(|isolation| isolation.word() == word).unwrap_or_else(|| {
        section.wrong("isolation", format!(r#"is `{word}`; write "thread" or "process""#));
        Isolation::default()
    })
}

fn allow_lints(section: &Section<'_>) -> Allowed {
    let mut allowed = Allowed::new();
    for name in section.strings("allow_lints").unwrap_or_default() {
        match Lint::from_name(&name) {
            Some(lint) => drop(allowed.insert(lint)),
            None => {
                let known = Lint::ALL.map(Lint::name).join(", ");
                section.wrong("allow_lints", format!("has `{name}`, which is no lint; there are {known}"));
            }
        }
    }
    allowed
}

impl Plugin<'_> {
    /// Names its unknown keys and gives what it says.
    pub(super) fn finish(self) -> Vec<PluginSpec> {
        self.section.finish();
        self.specs
    }

    /// What lies on this machine of it.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let watched = self.specs.iter().flat_map(|spec| spec.source.watched());
        watched.chain(self.folder.clone()).collect()
    }
}
