//! Checks the dependencies of the program's crates: their manifests must agree with `docs/ARCHITECTURE.md` about our
//! own crates and the restricted ones, so that none is added without a line there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::restricted;
use crate::shell::Outcome;

/// Names of dependencies, with `-` for `_`, by crate. Those of tests are not included.
type Manifests = BTreeMap<String, BTreeSet<String>>;

/// Reads the manifest of each crate: its name and dependencies.
pub(super) fn manifests(host: &Path) -> Outcome<Manifests> {
    let failed = |error: std::io::Error| format!("{}: {error}", host.display());
    let mut found = Manifests::new();
    for entry in std::fs::read_dir(host).map_err(failed)? {
        let folder = entry.map_err(failed)?.path();
        if folder.is_dir() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.insert(name, dependencies(&super::read(&folder.join("Cargo.toml"))?));
        }
    }
    Ok(found)
}

fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut counts = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            counts = section == "dependencies" || section.ends_with(".dependencies");
        } else if counts && !line.starts_with('#') {
            let name = line.split(['.', ' ', '=']).next().filter(|name| !name.is_empty());
            found.extend(name.map(|name| name.replace('_', "-")));
        }
    }
    found
}

/// Checks that each crate depends on exactly our own crates that its line lists.
pub(super) fn check(manifests: &Manifests, list: &str) -> Vec<String> {
    let mut left: BTreeSet<&String> = manifests.keys().collect();
    let mut broken = Vec::new();
    for line in list.lines() {
        let (name, own) = line.split_once('→').unwrap_or((line, ""));
        let name = name.trim().to_owned();
        let listed: BTreeSet<&str> = own.split_whitespace().collect();
        left.remove(&name);
        let Some(all) = manifests.get(&name) else {
            broken.push(format!("docs/ARCHITECTURE.md: there is no crate `{name}`"));
            continue;
        };
        let has: BTreeSet<&str> = all.iter().filter_map(|name| name.strip_prefix("toolgate-")).collect();
        broken.extend(has.symmetric_difference(&listed).map(|other| {
            format!(
                "host/{name}/Cargo.toml: `toolgate-{other}` stands there or in docs/ARCHITECTURE.md alone"
            )
        }));
    }
    broken.extend(left.iter().map(|name| format!("host/{name}: the crate is not in docs/ARCHITECTURE.md")));
    broken
}

/// Checks that only crates that may name a restricted dependency have it in their manifest.
pub(super) fn check_restricted(manifests: &Manifests, list: &str) -> Outcome<Vec<String>> {
    let mut broken = Vec::new();
    for line in list.lines() {
        let (names, places) = restricted::parse(line)?;
        let allowed: BTreeSet<&str> = places.iter().filter_map(|place| place.split('/').next()).collect();
        for name in names.iter().map(|name| name.replace('_', "-")) {
            let has = manifests.iter().filter(|(_, all)| all.contains(&name)).map(|(owner, _)| owner);
            broken.extend(
                has.filter(|owner| !allowed.contains(owner.as_str()))
                    .map(|owner| format!("host/{owner}/Cargo.toml: it may not depend on `{name}`")),
            );
        }
    }
    Ok(broken)
}

/// Checks that the policy depends on exactly the listed crates.
pub(super) fn check_policy(manifests: &Manifests, list: &str) -> Vec<String> {
    let allowed: Vec<String> = list.split_whitespace().map(|name| name.replace('_', "-")).collect();
    let names = manifests.get("policy").into_iter().flatten();
    names
        .filter(|name| !allowed.contains(name))
        .map(|name| format!("host/policy/Cargo.toml: the policy may not depend on `{name}`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "[package]\nname = \"p\"\n[dependencies]\na.workspace = true\nb_c = \"1\"\n\n[dev-dependencies]\nd = \"1\"\n[lints]\n";
    const OTHER: &str = "[dependencies]\ntoolgate-policy.workspace = true\n[target.'cfg(unix)'.dependencies]\nengine = \"1\"\n";

    fn both() -> Manifests {
        [("policy", POLICY), ("other", OTHER)]
            .map(|(name, text)| (name.to_owned(), dependencies(text)))
            .into()
    }

    #[test]
    fn a_crate_depends_on_the_own_crates_of_its_line() {
        assert_eq!(check(&both(), "policy\nother → policy").len(), 0);
        assert_eq!(check(&both(), "policy\nother").len(), 1);
        assert_eq!(check(&both(), "policy → other\nother → policy").len(), 1);
        assert_eq!(check(&both(), "policy").len(), 1, "a crate that is not listed");
        assert_eq!(check(&both(), "policy\nother → policy\ngone").len(), 1);
    }

    #[test]
    fn a_restricted_dependency_is_in_no_other_manifest() {
        assert_eq!(check_restricted(&both(), "engine → other/inner").unwrap().len(), 0);
        assert_eq!(check_restricted(&both(), "engine, b_c → policy").unwrap().len(), 1);
        assert_eq!(check_restricted(&both(), "d → other").unwrap().len(), 0, "tests may");
    }

    #[test]
    fn the_policy_depends_on_what_is_listed() {
        assert_eq!(check_policy(&both(), "a b_c").len(), 0);
        assert_eq!(check_policy(&both(), "a").len(), 1);
    }
}
