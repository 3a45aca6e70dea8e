//! Checks that files have no circular dependencies. A module and its submodules count as one and may depend on each
//! other.

use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use crate::shell::Outcome;

/// Path of a module in its crate, such as `["load", "trust"]`.
type Module = Vec<String>;
type Graph = BTreeMap<Module, BTreeSet<Module>>;

pub(super) fn check(sources: &[Source]) -> Outcome<Vec<String>> {
    let mut crates: BTreeMap<&str, Vec<(Module, &Source)>> = BTreeMap::new();
    for source in sources {
        let Some((name, path)) = source.module() else { continue };
        if !path.ends_with("_tests") && path != "lib" && path != "main" {
            crates.entry(name).or_default().push((path.split('/').map(str::to_owned).collect(), source));
        }
    }
    let mut broken = Vec::new();
    for (name, files) in crates {
        let modules: BTreeSet<Module> = files.iter().map(|(module, _)| module.clone()).collect();
        let mut graph = Graph::new();
        for (module, source) in &files {
            let named = source.paths()?;
            let imported: BTreeMap<&String, Module> = named
                .iter()
                .filter_map(|path| Some((path.last()?, place(path, module)?)))
                .filter(|(_, place)| modules.contains(place))
                .collect();
            let whole = named.iter().filter_map(|path| match path.split_first()? {
                (first, rest) if imported.contains_key(first) => {
                    Some([imported.get(first)?.as_slice(), rest].concat())
                }
                _ => place(path, module),
            });
            let needed = whole.filter_map(|path| needed(&path, module, &modules));
            graph.insert(module.clone(), needed.collect());
        }
        broken.extend(circles(&graph).into_iter().map(|circle| {
            let files: Vec<String> = circle.iter().map(|module| module.join("/")).collect();
            format!("host/{name}: these need each other in a circle: {}", files.join(", "))
        }));
    }
    Ok(broken)
}

/// Resolves a path within the crate of the module `from`.
fn place(path: &[String], from: &[String]) -> Option<Module> {
    let climbs = path.iter().take_while(|name| *name == "super").count();
    let (base, rest) = match path.first()?.as_str() {
        "crate" => (&[][..], path.get(1..)?),
        "super" => (from.get(..from.len().checked_sub(climbs)?)?, path.get(climbs..)?),
        "self" => (from, path.get(1..)?),
        _ => return None,
    };
    Some([base, rest].concat())
}

/// Module that a path refers to, unless it is this one or above or below it.
fn needed(path: &[String], from: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    let to = (1..=path.len()).rev().find_map(|count| modules.get(path.get(..count)?))?;
    (!to.starts_with(from) && !from.starts_with(to)).then(|| to.clone())
}

/// Sets of modules that depend on each other.
fn circles(graph: &Graph) -> Vec<Vec<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        graph.keys().map(|from| (from, reached(graph, from))).collect();
    let mut found: Vec<Vec<Module>> = Vec::new();
    for from in graph.keys() {
        let back = |to: &&Module| reached.get(*to).is_some_and(|there| there.contains(from));
        let circle: Vec<Module> =
            reached.get(from).into_iter().flatten().copied().filter(back).cloned().collect();
        if !circle.is_empty() && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

/// Direct and indirect dependencies of a module.
fn reached<'g>(graph: &'g Graph, from: &Module) -> BTreeSet<&'g Module> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&Module> = graph.get(from).into_iter().flatten().collect();
    while let Some(next) = left.pop() {
        if reached.insert(next) {
            left.extend(graph.get(next).into_iter().flatten());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(files: &[(&str, &str)]) -> Vec<String> {
        let source = |(path, text): &(&str, &str)| Source {
            path: format!("host/policy/src/{path}.rs"),
            text: (*text).to_owned(),
        };
        check(&files.iter().map(source).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_circle_is_found_however_long_it_is_and_however_its_files_are_named() {
        let circle = told(&[
            ("a", "use crate::b::{B, c};"),
            ("b", "use self::d::D; use crate::e; mod d;"),
            ("e", "fn f(_: crate::g::deep::G) {}"),
            ("g/deep", "use super::super::a;"),
            ("g", "mod deep;"),
        ]);
        assert_eq!(circle, ["host/policy: these need each other in a circle: a, b, e, g/deep"]);
    }

    #[test]
    fn a_module_and_what_lies_below_it_may_need_each_other() {
        assert!(
            told(&[("a", "mod b; use b::B; use self::b::B;"), ("a/b", "use super::A; use crate::a::C;")])
                .is_empty()
        );
    }

    #[test]
    fn two_below_one_module_may_not() {
        let circle = told(&[("a/b", "use super::c::C;"), ("a/c", "use super::b::B;")]);
        assert_eq!(circle, ["host/policy: these need each other in a circle: a/b, a/c"]);
    }

    #[test]
    fn a_module_that_was_imported_by_name_leads_where_it_is() {
        let circle =
            told(&[("a", "use crate::b; fn f(_: b::c::C) {}"), ("b", "mod c;"), ("b/c", "use crate::a::A;")]);
        assert_eq!(circle, ["host/policy: these need each other in a circle: a, b/c"]);
    }

    #[test]
    fn what_only_tests_need_makes_no_circle() {
        let apart = told(&[("a", "use crate::b::B;"), ("b", "#[cfg(test)] mod tests { use crate::a::A; }")]);
        assert!(apart.is_empty());
    }
}
