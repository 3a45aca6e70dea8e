//! Random WIT names, with awkward ones overrepresented.

use std::collections::HashSet;

use crate::chance::Chance;

/// Keywords of WIT, which need a `%` before them that is not part of the name.
const KEYWORDS: [&str; 43] = [
    "use",
    "type",
    "func",
    "u8",
    "u16",
    "u32",
    "u64",
    "s8",
    "s16",
    "s32",
    "s64",
    "f32",
    "f64",
    "char",
    "resource",
    "own",
    "borrow",
    "record",
    "flags",
    "variant",
    "enum",
    "bool",
    "string",
    "option",
    "result",
    "future",
    "stream",
    "error-context",
    "list",
    "map",
    "as",
    "from",
    "static",
    "interface",
    "tuple",
    "world",
    "import",
    "export",
    "package",
    "constructor",
    "include",
    "with",
    "async",
];

/// Names with a meaning in JSON, JSON Schema or our mapping, and unusual ones.
const AWKWARD: [&str; 32] = [
    "tag",
    "val",
    "ok",
    "err",
    "some",
    "none",
    "null",
    "true",
    "false",
    "properties",
    "required",
    "items",
    "const",
    "default",
    "additional-properties",
    "to-string",
    "length",
    "a",
    "Z",
    "a1",
    "x509",
    "HTTP-server",
    "my-URL",
    "A1-b2-C3",
    "get",
    "nan",
    "infinity",
    "id",
    "ref",
    "self",
    "super",
    "a-very-long-name-that-goes-on-and-on-through-many-short-words-until-it-is-more-than-one-hundred-bytes-long",
];

/// `count` names that differ in more than case.
pub fn names(chance: &mut Chance, count: usize) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut names = Vec::with_capacity(count);
    while names.len() < count {
        let name = match chance.below(4) {
            0 => (*chance.pick(&KEYWORDS)).to_owned(),
            1 => (*chance.pick(&AWKWARD)).to_owned(),
            _ => random(chance),
        };
        if taken.insert(name.to_lowercase()) {
            names.push(name);
        }
    }
    names
}

/// Spelling of a name in WIT.
pub fn text(name: &str) -> String {
    // The `%` is allowed before any name.
    if KEYWORDS.contains(&name) || name.len().is_multiple_of(5) {
        format!("%{name}")
    } else {
        name.to_owned()
    }
}

fn random(chance: &mut Chance) -> String {
    let words = 1 + chance.below(3);
    let words = (0..words).map(|_| {
        let upper = chance.once_in(5);
        let letters = 1 + chance.below(7);
        let word: String = (0..letters)
            .map(|at| {
                let from: &[u8] =
                    if at == 0 { b"abcdefghijklmnopqrstuvwxyz" } else { b"aeiounrst0123456789" };
                char::from(*chance.pick(from))
            })
            .collect();
        if upper { word.to_uppercase() } else { word }
    });
    words.collect::<Vec<_>>().join("-")
}
