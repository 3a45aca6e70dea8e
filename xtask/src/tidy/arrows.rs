//! Who may know whom: within a crate a room may name those further down, never one above it or beside it.

use super::Source;
use crate::shell::Outcome;

/// The rooms of one crate, a line of rooms for each step down.
struct House<'a> {
    name: &'a str,
    steps: Vec<Vec<&'a str>>,
}

pub(super) fn check(sources: &[Source], list: &str) -> Outcome<Vec<String>> {
    let mut broken = Vec::new();
    for house in list.lines().map(parse).collect::<Outcome<Vec<_>>>()? {
        let own = sources.iter().filter_map(|source| Some((source, source.room()?)));
        for (source, (_, path)) in own.filter(|(_, (name, _))| *name == house.name) {
            let room = room(path);
            if room == "lib" {
                continue;
            }
            let Some(step) = house.step(room) else {
                broken.push(format!("{}: `{room}` is not in the list of arrows", source.path));
                continue;
            };
            for known in known(&source.code(), path) {
                let below = house.step(&known).is_none_or(|other| other > step);
                if known != room && !below {
                    broken.push(format!("{}: `{room}` knows `{known}`, which is not below it", source.path));
                }
            }
        }
    }
    Ok(broken)
}

fn parse(line: &str) -> Outcome<House<'_>> {
    let (name, rest) =
        line.trim().split_once(' ').ok_or_else(|| format!("an arrow line without rooms: {line}"))?;
    let steps = rest.split('→').map(|step| step.split('·').map(str::trim).collect()).collect();
    Ok(House { name, steps })
}

impl House<'_> {
    fn step(&self, room: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.contains(&room))
    }
}

/// `address_tests` and the like belong to the room whose tests they are.
fn room(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix("_tests").unwrap_or(first)
}

/// The rooms that a file names, by `crate::room` or by climbing out of its own with `super`.
fn known(code: &str, path: &str) -> Vec<String> {
    let depth = path.split('/').count();
    let climb = "super::".repeat(depth);
    let mut found: Vec<String> = Vec::new();
    for start in ["crate::", climb.as_str()] {
        for (at, _) in code.match_indices(start) {
            let before = code.get(..at).unwrap_or_default().chars().last();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let rest = code.get(at + start.len()..).unwrap_or_default();
            found.extend(first_names(rest));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// `room::Thing`, or `{room::Thing, other}`.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(inside) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let mut depth = 0;
    let mut names = vec![name(inside)];
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(inside.get(at + 1..).unwrap_or_default())),
            _ => {}
        }
    }
    // Types that the crate re-exports at its root are known to all of it.
    names.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    names
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
        assert_eq!(broken("cellar", ""), 1, "a room that is not in the list");
    }

    #[test]
    fn tests_and_comments_may_name_anybody() {
        assert_eq!(broken("bottom", "// crate::top\n#[cfg(test)]\nmod tests { use crate::top::A; }"), 0);
    }
}
