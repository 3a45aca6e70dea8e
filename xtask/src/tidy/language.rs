//! Checks the language of comments and names, as far as a program can: rule 15 in CONTRIBUTING.md.

use super::Source;
use super::code;
use crate::shell::Outcome;

/// First words of comments that name no subject.
const PRONOUNS: [&str; 7] = ["What", "Who", "Whose", "Whom", "How", "Which", "Why"];

/// Words in function names that do not describe an action.
const VAGUE: [&str; 8] = ["told", "said", "came", "kept", "held", "heard", "hear", "bury"];

pub(super) fn check(sources: &[Source]) -> Outcome<Vec<String>> {
    let mut broken = Vec::new();
    for source in sources {
        broken.extend(comments(source));
        if source.module().is_some() && !source.path.ends_with("_tests.rs") {
            broken.extend(functions(source)?);
            broken.extend(aliases(source)?);
        }
    }
    Ok(broken)
}

/// Finds doc comments that begin with a pronoun.
fn comments(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    let mut is_inside = false;
    for (line, number) in source.text.lines().map(str::trim_start).zip(1..) {
        let text = ["/// ", "//! "].iter().find_map(|mark| line.strip_prefix(mark));
        let first = text.filter(|_| !is_inside).and_then(|text| text.split([' ', ',', '.']).next());
        if let Some(word) = first.filter(|word| PRONOUNS.contains(word)) {
            broken.push(format!("{}:{number}: begin with the thing, not with `{word}`", source.path));
        }
        is_inside = line.starts_with("///") || line.starts_with("//!");
    }
    broken
}

/// Finds functions with a vague word in their name.
fn functions(source: &Source) -> Outcome<Vec<String>> {
    let names = code::functions(&source.text).map_err(|why| format!("{}: {why}", source.path))?;
    let vague = names.into_iter().filter(|name| name.split('_').any(|word| VAGUE.contains(&word)));
    Ok(vague.map(|name| format!("{}: call `{name}` by what it does", source.path)).collect())
}

/// Finds our own types, and locks, that are imported under another name.
fn aliases(source: &Source) -> Outcome<Vec<String>> {
    let aliases = code::aliases(&source.text).map_err(|why| format!("{}: {why}", source.path))?;
    let own = aliases.into_iter().filter(|(path, name)| {
        let ours = path.first().is_some_and(|first| {
            ["crate", "super", "self"].contains(&first.as_str()) || first.starts_with("toolgate_")
        });
        let is_lock = path.last().is_some_and(|last| last == "Mutex" || last == "RwLock");
        name.starts_with(|first: char| first.is_ascii_uppercase()) && (ours || is_lock)
    });
    Ok(own
        .map(|(path, name)| {
            format!("{}: `{}` is imported as `{name}`; one type, one name", source.path, path.join("::"))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str) -> usize {
        check(&[Source { path: "host/server/src/a.rs".to_owned(), text: text.to_owned() }]).unwrap().len()
    }

    #[test]
    fn a_comment_begins_with_the_thing() {
        assert_eq!(broken("/// Digest of the bytes.\nstruct A;"), 0);
        assert_eq!(broken("/// Digest, from\n/// Which it is known.\nstruct A;"), 0, "not its first line");
        assert_eq!(broken("/// What it is.\nstruct A;"), 1);
        assert_eq!(broken("//! How.\n"), 1);
        assert_eq!(broken("/// Whatever.\nstruct A;"), 0);
    }

    #[test]
    fn a_function_is_called_by_what_it_does() {
        assert_eq!(broken("fn open() { held.told(); }"), 0);
        assert_eq!(broken("fn told() {}"), 1);
        assert_eq!(broken("impl A { pub(crate) async fn is_held(&self) {} }"), 1);
        assert_eq!(broken("#[cfg(test)] mod tests { fn a_fact_is_told() {} }"), 0);
    }

    #[test]
    fn a_type_of_ours_has_one_name() {
        assert_eq!(broken("use std::io::{Read as _, Error as IoError};"), 0);
        assert_eq!(broken("use crate::output::Kept as Written;"), 1);
        assert_eq!(broken("use toolgate_base::{json::{Json as Tree, JsonLimits}};"), 1);
        assert_eq!(broken("use tokio::sync::{Mutex as Turn, oneshot};"), 1);
        assert_eq!(broken("use super::mac as tag;"), 0);
    }
}
