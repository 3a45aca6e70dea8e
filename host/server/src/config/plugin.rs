//! `[[plugin]]`: which bytes, under which name, with which grants and limits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toolgate_policy::limits::call::CallLimits;
use toolgate_policy::limits::load::PLUGINS_MAX;
use toolgate_policy::load::lint::{Allowed, Lint};
use toolgate_policy::name::Prefix;
use toolgate_policy::{Digest, PluginName};
use toolgate_runtime::spec::{EngineKind, Isolation, PluginSpec, Source};

use super::reader::{Document, Section};
use super::secret::Secrets;
use super::{grant, limits};

/// A plugin, with what is needed to check its paths.
pub(super) struct Plugin<'d> {
    pub(super) spec: PluginSpec,
    pub(super) section: Section<'d>,
}

pub(super) fn read<'d>(
    document: &Document<'_>,
    root: &Section<'d>,
    secrets: &Secrets,
    defaults: &CallLimits,
    instead: Option<(&str, &Document<'_>)>,
) -> Vec<Plugin<'d>> {
    let sections = root.sections("plugin");
    if sections.len() > PLUGINS_MAX {
        root.wrong("plugin", format!("there are {}; the limit is {PLUGINS_MAX}", sections.len()));
    }
    let mut plugins: Vec<Plugin<'d>> = Vec::new();
    for section in sections {
        if let Some(spec) = read_one(document, &section, secrets, defaults, instead) {
            if plugins.iter().any(|other| other.spec.name == spec.name) {
                section.wrong(
                    "name",
                    format!("`{}` stands twice; give each plugin a name of its own", spec.name),
                );
            }
            plugins.push(Plugin { spec, section });
        } else {
            section.finish();
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
) -> Option<PluginSpec> {
    let name = section.required("name", "files").and_then(|name| {
        name.parse::<PluginName>().map_err(|error| section.wrong("name", error.to_string())).ok()
    });
    let id = section.string("id");
    let prefix = section.string("prefix").map(|prefix| {
        Prefix::parse(&prefix).map_err(|error| section.wrong("prefix", error.to_string())).ok()
    });
    let source = section.required("source", "file:plugins/files.wasm").and_then(|source| {
        let source = parse_source(document, &source);
        source.map_err(|why| section.wrong("source", why)).ok()
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
    let name = name?;
    Some(PluginSpec {
        id: id.unwrap_or_else(|| name.to_string()),
        prefix: match prefix {
            None => Prefix::from(&name),
            Some(prefix) => prefix?,
        },
        source: source?,
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
    })
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

fn parse_source(document: &Document<'_>, source: &str) -> Result<Source, String> {
    let example = "write one such as file:plugins/files.wasm";
    match source.split_once(':') {
        Some(("file", path)) if !path.is_empty() => Ok(Source::File(document.relative(path))),
        Some(("oci" | "https", _)) => {
            Err(format!("`{source}` is a kind of source that is not built yet; {example}"))
        }
        _ => Err(format!("`{source}` is no source; {example}")),
    }
}

impl Plugin<'_> {
    /// Names its unknown keys and gives what it says.
    pub(super) fn finish(self) -> PluginSpec {
        self.section.finish();
        self.spec
    }

    /// Where its bytes are, when that is a file.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        match &self.spec.source {
            Source::File(path) => Some(path),
        }
    }
}
