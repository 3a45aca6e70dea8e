//! `source = "…"`: location of a plugin's bytes, and the options for fetching remote ones.

use std::path::PathBuf;

use toolgate_base::spec::{Remote, Source};
use toolgate_policy::load::fetch::{FetchPermit, TokenService};
use toolgate_policy::load::reference::Reference;
use toolgate_policy::redact;

use super::reader::{Document, Section};

/// Location of bytes.
pub(super) enum Origin {
    /// Source of one plugin.
    One(Box<Source>),
    /// Folder of plugins.
    Folder(PathBuf),
}

/// Remedy in the message for an invalid source.
const EXAMPLE: &str = "write one such as file:plugins/files.wasm, dir:plugins, \
oci://registry.example.com/team/files:1.0 or https://example.com/files.wasm";

pub(super) fn read(document: &Document<'_>, section: &Section<'_>) -> Option<Origin> {
    let private = section.boolean("source_private");
    let ca = section.string("source_ca");
    let tokens = tokens(section);
    let source = section.required("source", "file:plugins/files.wasm")?;
    let remote = Remote { ca: ca.as_deref().map(|ca| document.relative(ca)), docker: docker(), tokens };
    if !source.starts_with("oci:") {
        for key in ["source_realm", "source_service"].into_iter().filter(|key| section.has(key)) {
            section.wrong(key, "is for sources in registries, and this is none");
        }
    }
    let origin = match source.split_once(':') {
        Some(("file", path)) if !path.is_empty() => {
            Origin::One(Box::new(Source::File(document.relative(path))))
        }
        Some(("dir", path)) if !path.is_empty() => Origin::Folder(document.relative(path)),
        Some(("oci", _)) => {
            let reference = section.parsed("source", oci(&source, private.unwrap_or_default()))?;
            return Some(Origin::One(Box::new(Source::Oci { reference, remote })));
        }
        Some(("https" | "http", _)) => {
            if !section.has("digest") {
                let why = "a plugin that comes from a URL has its digest written here; `toolgate inspect FILE` says it";
                section.wrong("digest", why);
            }
            let permit = FetchPermit::new("GET", &source, private.unwrap_or_default());
            let permit = section.parsed("source", permit)?;
            return Some(Origin::One(Box::new(Source::Https { permit, remote })));
        }
        _ => {
            let shown = redact::url(&source, 300);
            section.wrong("source", format!("`{shown}` is not a source; {EXAMPLE}"));
            return None;
        }
    };
    for (key, written) in [("source_private", private.is_some()), ("source_ca", ca.is_some())] {
        if written {
            section.wrong(key, "is for sources that lie elsewhere, and this one is on this machine");
        }
    }
    Some(origin)
}

/// Token service of a registry, if it is on another host.
fn tokens(section: &Section<'_>) -> Option<TokenService> {
    let (realm, service) = (section.string("source_realm"), section.string("source_service"));
    if realm.is_none() && service.is_some() {
        section
            .wrong("source_service", "is what a registry is called at its source_realm, and there is none");
    }
    section.parsed("source_realm", TokenService::new(&realm?, service))
}

/// An artefact in a registry, as `oci://…`.
///
/// # Errors
/// A sentence that describes the fault.
pub(crate) fn oci(text: &str, private: bool) -> Result<Reference, String> {
    let name = text.strip_prefix("oci://").ok_or_else(|| {
        let shown = redact::url(text, 300);
        format!("`{shown}` is not an artefact in a registry; write oci://registry.example.com/team/files:1.0")
    })?;
    Reference::parse(name, private).map_err(|error| error.to_string())
}

/// Path of docker's configuration, looked up as docker does.
pub(crate) fn docker() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    folder.filter(|folder| folder.is_absolute()).or_else(home).map(|folder| folder.join("config.json"))
}
