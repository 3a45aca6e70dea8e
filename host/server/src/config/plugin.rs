//! `[[plugin]]`: source, name, grants and limits of a plugin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use toolgate_base::secret::SecretSpec;
use toolgate_base::spec::{CrashDetails, EngineKind, Isolation, PluginSpec, Source};
use toolgate_policy::limits::call::CallLimits;
use toolgate_policy::limits::load::PLUGINS_MAX;
use toolgate_policy::load::Grants;
use toolgate_policy::load::lint::{Allowed, Lint};
use toolgate_policy::name::Prefix;
use toolgate_policy::{Digest, PluginName};
use toolgate_runtime::spec::Folder;

use super::reader::{Document, Section};
use super::secret::Secrets;
use super::source::Origin;
use super::{grant, read_limits, source};

/// A plugin, or a folder of plugins, whose paths are still to be checked.
pub(super) struct Plugin<'d> {
    /// One plugin, or those of a folder, which differ only in name and file.
    pub(super) specs: Vec<PluginSpec>,
    pub(super) folder: Option<Folder>,
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
        if let Some(single) = specs.first().filter(|_| folder.is_none())
            && !names.insert(single.name.clone())
        {
            let twice = format!("`{}` appears twice; give each plugin a name of its own", single.name);
            section.wrong("name", twice);
        }
        plugins.push(Plugin { specs, folder, section });
    }
    settle_folders(&mut plugins);
    plugins
}

/// A problem in a folder of plugins affects that folder only. A plugin in it yields to one of the same name that is
/// configured singly or is in an earlier folder. A folder with too many plugins yields as a whole.
fn settle_folders(plugins: &mut [Plugin<'_>]) {
    let singles = plugins.iter().filter(|plugin| plugin.folder.is_none()).flat_map(|plugin| &plugin.specs);
    let mut taken: BTreeSet<PluginName> = singles.map(|spec| spec.name.clone()).collect();
    for Plugin { specs, folder, .. } in plugins {
        let Some(folder) = folder else { continue };
        specs.retain(|spec| {
            let is_free = !taken.contains(&spec.name);
            if let (false, Source::Within { name, .. }) = (is_free, &spec.source) {
                let why = format!("another plugin is called `{}`; give this file another name", spec.name);
                folder.problems.push((name.clone(), why));
            }
            is_free
        });
        if taken.len() + specs.len() > PLUGINS_MAX {
            let found = specs.len();
            folder.unreadable = Some(format!(
                "it has {found} plugins, and with the others that is more than the limit of {PLUGINS_MAX}; none of them is loaded"
            ));
            specs.clear();
        }
        taken.extend(specs.iter().map(|spec| spec.name.clone()));
    }
}

fn read_one(
    document: &Document<'_>,
    section: &Section<'_>,
    secrets: &Secrets,
    defaults: &CallLimits,
    instead: Option<(&str, &Document<'_>)>,
) -> Option<(Vec<PluginSpec>, Option<Folder>)> {
    let origin = source::read(document, section);
    let name = match &origin {
        Some(Origin::Folder(_)) => {
            only_for_one(section);
            "folder".parse::<PluginName>().ok()
        }
        Some(Origin::One(_)) | None => section
            .required("name", "files")
            .and_then(|name| section.parsed("name", name.parse::<PluginName>())),
    };
    let id = section.string("id");
    let prefix = section.string("prefix").map(|prefix| section.parsed("prefix", Prefix::parse(&prefix)));
    let digest = section.string("digest").map(|digest| section.parsed("digest", digest.parse::<Digest>()));
    let allow_lints = allow_lints(section);
    let engine = choice(section, "engine", &EngineKind::ALL, EngineKind::word, r#""sync" or "async""#);
    let isolation =
        choice(section, "isolation", &Isolation::ALL, Isolation::word, r#""thread" or "process""#);
    let words = r#""local", "always" or "never""#;
    let crash_details = choice(section, "crash_details", &CrashDetails::ALL, CrashDetails::word, words);
    let mut grants = grant::read(document, section.section("grant"));
    if let Some((plugin, other)) = instead
        && name.as_ref().is_some_and(|name| name.as_str() == plugin)
    {
        grants = grant::read_file(other);
    }
    let limits = read_limits(section.section("limits"), defaults);
    let needed = needed(section, secrets, &grants);
    let name = name?;
    let (source, folder) = match origin? {
        Origin::One(source) => (*source, None),
        Origin::Folder(folder) => (Source::File(folder.clone()), Some(folder)),
    };
    let spec = PluginSpec {
        id: id.unwrap_or_else(|| name.to_string()),
        prefix: prefix.unwrap_or_else(|| Some(Prefix::from(&name)))?,
        source,
        digest: digest.map_or(Some(None), |digest| digest.map(Some))?,
        grants,
        limits,
        allow_lints,
        engine,
        isolation,
        crash_details,
        secrets: needed,
        name,
    };
    Some(match folder {
        None => (vec![spec], None),
        Some(path) => {
            let (specs, folder) = in_folder(path, spec);
            (specs, Some(folder))
        }
    })
}

/// Notes keys that only a single plugin can have.
fn only_for_one(section: &Section<'_>) {
    for key in ["name", "id", "prefix", "digest"] {
        section.ask(key);
        if section.has(key) {
            section.wrong(key, "is for one plugin; those in a folder are named as their files are");
        }
    }
}

/// The plugins in a folder, each named after its file, and the problems of other files in it.
fn in_folder(path: PathBuf, template: PluginSpec) -> (Vec<PluginSpec>, Folder) {
    let mut folder = Folder { path, template, unreadable: None, problems: Vec::new() };
    let files = match toolgate_runtime::load::source::folder(&folder.path) {
        Ok(files) => files,
        Err(error) => {
            folder.unreadable = Some(format!("it is not looked through: failed to {error}"));
            return (Vec::new(), folder);
        }
    };
    let mut specs = Vec::new();
    for file in files {
        let stem = file.strip_suffix(".wasm").unwrap_or(&file);
        match stem.parse::<PluginName>() {
            Ok(name) => specs.push(folder.template.within(&folder.path, name, file)),
            Err(error) => folder.problems.push((file, format!("no plugin can have this name: {error}"))),
        }
    }
    (specs, folder)
}

/// The secrets that grants name. Notes missing ones.
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

/// The value that a key has by its word, else the default. An unknown word is noted.
fn choice<T: Copy + Default>(
    section: &Section<'_>,
    key: &'static str,
    all: &[T],
    word: fn(T) -> &'static str,
    words: &str,
) -> T {
    let Some(given) = section.string(key) else { return T::default() };
    all.iter().copied().find(|one| word(*one) == given).unwrap_or_else(|| {
        section.wrong(key, format!("is `{given}`; write {words}"));
        T::default()
    })
}

fn allow_lints(section: &Section<'_>) -> Allowed {
    let mut allowed = Allowed::new();
    for name in section.strings("allow_lints").unwrap_or_default() {
        match Lint::from_name(&name) {
            Some(lint) => drop(allowed.insert(lint)),
            None => {
                let known = Lint::ALL.map(Lint::name).join(", ");
                section.wrong("allow_lints", format!("has `{name}`, which is not a lint; there are {known}"));
            }
        }
    }
    allowed
}

impl Plugin<'_> {
    /// Notes unknown keys and returns the parsed plugins.
    pub(super) fn finish(self) -> (Vec<PluginSpec>, Option<Folder>) {
        self.section.finish();
        (self.specs, self.folder)
    }

    /// The plugin, or the common part of those in a folder.
    pub(super) fn template(&self) -> Option<&PluginSpec> {
        self.folder.as_ref().map(|folder| &folder.template).or_else(|| self.specs.first())
    }

    /// Its paths on this machine.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let watched =
            self.specs.iter().flat_map(|spec| toolgate_runtime::load::source::watched(&spec.source));
        watched.chain(self.folder.as_ref().map(|folder| folder.path.clone())).collect()
    }
}
