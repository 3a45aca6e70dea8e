//! Checks layers: within a crate a module may use only modules of lower layers.

use super::Source;
use super::code::Path;
use crate::shell::Outcome;

/// Modules of a crate, one list per layer, top first.
struct Crate<'a> {
    name: &'a str,
    steps: Vec<Vec<&'a str>>,
}

pub(super) fn check(sources: &[Source], list: &str) -> Outcome<Vec<String>> {
    let mut broken = Vec::new();
    for owner in list.lines().map(parse).collect::<Outcome<Vec<_>>>()? {
        let own = sources.iter().filter_map(|source| Some((source, source.module()?)));
        for (source, (_, path)) in own.filter(|(_, (name, _))| *name == owner.name) {
            let module = module(path);
            if module == "lib" {
                continue;
            }
            let Some(step) = owner.step(module) else {
                broken.push(format!("{}: `{module}` is not in the list of layers", source.path));
                continue;
            };
            for known in known(&source.paths()?, path) {
                let below = owner.step(&known).is_none_or(|other| other > step);
                if known != module && !below {
                    broken
                        .push(format!("{}: `{module}` knows `{known}`, which is not below it", source.path));
                }
            }
        }
    }
    Ok(broken)
}

fn parse(line: &str) -> Outcome<Crate<'_>> {
    let (name, rest) =
        line.trim().split_once(' ').ok_or_else(|| format!("an layer line without modules: {line}"))?;
    let steps = rest.split('→').map(|step| step.split('·').map(str::trim).collect()).collect();
    Ok(Crate { name, steps })
}

impl Crate<'_> {
    fn step(&self, module: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.contains(&module))
    }
}

/// Top-level module of a path; `address_tests` and the like belong to the module that they test.
fn module(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix("_tests").unwrap_or(first)
}

/// Modules that a file uses, by `crate::module` or `super` out of its own module. Types re-exported at the crate's root
/// are available everywhere.
fn known(paths: &[Path], path: &str) -> Vec<String> {
    let depth = path.split('/').count();
    let mut found: Vec<String> = Vec::new();
    for named in paths {
        let climbs = named.iter().take_while(|name| *name == "super").count();
        let rest = match named.first() {
            Some(first) if first == "crate" => named.get(1),
            _ if climbs == depth => named.get(depth),
            _ => None,
        };
        found.extend(rest.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).cloned());
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "runtime top → left · right → bottom";

    fn broken(path: &str, text: &str) -> usize {
        let source = Source { path: format!("host/runtime/src/{path}.rs"), text: text.to_owned() };
        check(&[source], LIST).unwrap().len()
    }

    #[test]
    fn a_room_knows_those_below_and_nobody_above_or_beside() {
        assert_eq!(broken("top", "use crate::left::A;"), 0);
        assert_eq!(broken("left", "use crate::bottom::A;"), 0);
        assert_eq!(broken("left/inner", "use super::other; use crate::left::B;"), 0);
        assert_eq!(broken("left", "use crate::top::A;"), 1);
        assert_eq!(broken("left", "use crate::right::A;"), 1);
        assert_eq!(broken("bottom", "fn f() { crate::top::run() }"), 1);
        assert_eq!(broken("bottom", "use crate::{bottom::B, left::{A, B}, top};"), 2);
        assert_eq!(broken("left/inner", "use super::super::top::A;"), 1);
        assert_eq!(broken("cellar", ""), 1, "a module that is not in the list");
    }

    #[test]
    fn tests_and_comments_may_name_anybody() {
        assert_eq!(broken("bottom", "// crate::top\n#[cfg(test)]\nmod tests { use crate::top::A; }"), 0);
    }
}
