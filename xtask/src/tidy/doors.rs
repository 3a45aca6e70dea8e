//! Who may name what: heavy dependencies and the constructors that mean trust, each from few rooms.

use super::Source;
use crate::shell::Outcome;

pub(super) fn check(sources: &[Source], list: &str) -> Outcome<Vec<String>> {
    let mut broken = Vec::new();
    for line in list.lines() {
        let (names, rooms) =
            line.split_once('→').ok_or_else(|| format!("a door line without an arrow: {line}"))?;
        let rooms: Vec<&str> = rooms.split_whitespace().collect();
        for name in names.split(',').map(str::trim) {
            let named = sources
                .iter()
                .filter(|source| source.path.starts_with("host/") && names_it(&source.code(), name));
            for source in named.filter(|source| !may(source, &rooms)) {
                broken.push(format!(
                    "{}: `{name}` has its door elsewhere: {}",
                    source.path,
                    rooms.join(", ")
                ));
            }
        }
    }
    Ok(broken)
}

/// What the policy crate depends on is what the list says.
pub(super) fn check_policy(manifest: &str, list: &str) -> Vec<String> {
    let allowed: Vec<&str> = list.split_whitespace().collect();
    let section = manifest.split_once("[dependencies]\n").map_or("", |(_, rest)| rest);
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let names = lines
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'));
    names
        .filter(|name| !allowed.contains(name))
        .map(|name| format!("host/policy/Cargo.toml: the policy may not depend on `{name}`"))
        .collect()
}

fn may(source: &Source, rooms: &[&str]) -> bool {
    let Some((name, path)) = source.room() else { return false };
    let place = format!("{name}/{path}");
    rooms
        .iter()
        .any(|room| place == *room || place.strip_prefix(room).is_some_and(|rest| rest.starts_with('/')))
}

fn names_it(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code.get(..at).unwrap_or_default().chars().last();
        let after = code.get(at + name.len()..).unwrap_or_default();
        let starts =
            before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '_' | ':' | '"' | '`' | '.' | '-'));
        // A dependency is a path; a constructor says by itself where it ends.
        let ends = name.ends_with(['(', '{']) || after.starts_with("::") || after.starts_with(';');
        starts && ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> usize {
        let source = Source { path: format!("host/{path}.rs"), text: text.to_owned() };
        check(&[source], "engine, maker( → runtime/sandbox").unwrap().len()
    }

    #[test]
    fn a_dependency_is_named_behind_its_door_alone() {
        assert_eq!(broken("runtime/src/sandbox", "use engine::Store; maker(1)"), 0);
        assert_eq!(broken("runtime/src/sandbox/deep/down", "use engine::Store;"), 0);
        assert_eq!(broken("runtime/src/sandboxes", "use engine::Store;"), 1);
        assert_eq!(broken("server/src/main", "fn f() { engine::run(); maker(1) }"), 2);
        assert_eq!(broken("server/src/main", "my_engine::run(); crate::engine::run(); // engine::run()"), 0);
    }

    #[test]
    fn the_policy_depends_on_what_is_listed() {
        let manifest = "[package]\nname = \"p\"\n[dependencies]\na.workspace = true\nb = \"1\"\n\n[lints]\nworkspace = true\n";
        assert_eq!(check_policy(manifest, "a b").len(), 0);
        assert_eq!(check_policy(manifest, "a").len(), 1);
    }
}
