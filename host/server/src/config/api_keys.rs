//! The file of API keys: `[[key]]` with the digest of each, never the key.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use ipnet::IpNet;
use toolgate_auth::apikey::ApiKeyRow;
use toolgate_policy::Digest;
use toolgate_policy::limits::auth::API_KEYS_MAX;
use toolgate_policy::principal::Tenant;

use super::problem::ConfigError;
use super::reader::{Document, Section};

/// Reads the rows. A missing file has none.
pub(super) fn read(path: &Path, problems: &ConfigError) -> Vec<ApiKeyRow> {
    let absent = path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    if absent {
        return Vec::new();
    }
    Document::read(path, problems).map(|document| read_document(&document)).unwrap_or_default()
}

/// Reads the rows of the text that the file is to have.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read_text(path: &Path, text: &str) -> Result<Vec<ApiKeyRow>, ConfigError> {
    let problems = ConfigError::default();
    let rows = Document::parse(path, text, &problems).map(|document| read_document(&document));
    super::whole(rows, &problems)
}

fn read_document(document: &Document<'_>) -> Vec<ApiKeyRow> {
    let root = document.root();
    let sections = root.sections("key", API_KEYS_MAX);
    let rows = sections.into_iter().filter_map(read_row).collect();
    root.finish();
    rows
}

fn read_row(section: Section<'_>) -> Option<ApiKeyRow> {
    let id = section.required("id", "abcdefgh");
    let hash = section.required("hash", "sha256:…");
    let hash = hash.and_then(|hash| section.parsed("hash", hash.parse::<Digest>()));
    let name = section.required("name", "ci");
    let tenant = section.string("tenant").map(|name| name.parse::<Tenant>().map_err(|error| error.why));
    let tenant = tenant.map_or(Some(Tenant::default()), |tenant| section.parsed("tenant", tenant));
    let set = |key| section.strings(key).map(BTreeSet::from_iter);
    let (groups, scopes, tools) = (set("groups"), set("scopes"), set("tools"));
    let mut from = Vec::new();
    for network in section.strings("from").unwrap_or_default() {
        let wrong = |_| format!("`{network}` is not a network; write one such as 10.20.0.0/16");
        from.extend(section.parsed("from", network.parse::<IpNet>().map_err(wrong)));
    }
    let not_after = section.time("not_after");
    if !section.has("not_after") {
        section.wrong_here("has no `not_after`; every key ends, so write not_after = 2027-06-01T00:00:00Z");
    }
    let created_by = section.string("created_by").unwrap_or_else(|| "unknown".to_owned());
    let revoked = section.time("revoked").map(SystemTime::from);
    section.finish();
    Some(ApiKeyRow {
        id: id?,
        hash: hash?,
        name: name?,
        tenant: tenant?,
        groups: groups.unwrap_or_default(),
        scopes: scopes.unwrap_or_default(),
        tools,
        from,
        not_after: not_after?.into(),
        created_by,
        revoked,
    })
}
