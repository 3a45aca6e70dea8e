//! Agreement of `docs/LIMITS.md` with the code: the page lists every limit in bytes with its default.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toolgate_tests::root;

use super::{known_tests, read};

/// Source files with limits, by name.
fn files() -> BTreeMap<String, String> {
    let is_one = |path: &PathBuf| !path.to_string_lossy().ends_with("_tests.rs");
    let paths =
        std::fs::read_dir(root().join("host/policy/src/limits")).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths.filter(is_one).map(|path| (name(&path), read(&path))).collect()
}

/// Values of the constants that limit memory and storage, by the name of the constant and of the setting.
fn constants() -> BTreeMap<String, u64> {
    let mut values = BTreeMap::from(
        [("KIB", 1 << 10), ("MIB", 1 << 20), ("GIB", 1 << 30)].map(|(k, v)| (k.to_owned(), v)),
    );
    for (file, text) in files() {
        // One name exists in two parts of the configuration.
        let prefix = if file == "wire" { "server." } else { "" };
        for item in text.split("const ").skip(1) {
            let Some((head, rest)) = item.split_once('=') else { continue };
            let Some((name, ty)) = head.split_once(':') else { continue };
            if ty.trim() == "Limit" {
                let member =
                    |member: &str, end: char| rest.split_once(&format!("{member}: "))?.1.split(end).next();
                let known = member("name", ',').unwrap().trim_matches('"');
                let value = product(member("default", ',').unwrap(), &values);
                values.insert(format!("{prefix}{known}"), value);
                values.insert(format!("{prefix}{name}"), value);
            } else if ["u32", "u64", "usize"].contains(&ty.trim()) && !name.contains('(') {
                let value = product(rest.split(';').next().unwrap(), &values);
                values.insert(name.to_owned(), value);
            }
        }
    }
    values
}

/// Value of a product of numbers and constants, or of one shifted.
fn product(expression: &str, values: &BTreeMap<String, u64>) -> u64 {
    let size = |text: &str| text.trim().strip_prefix("size(")?.strip_suffix(')').map(str::to_owned);
    let expression = &size(expression).unwrap_or_else(|| expression.to_owned());
    let one = |text: &str| {
        let text = text.replace(" as usize", "").replace(" as u64", "");
        let text = text.trim();
        match text.replace('_', "").parse() {
            Ok(number) => number,
            Err(_) => *values.get(text).unwrap_or_else(|| panic!("{text} of {expression}")),
        }
    };
    match expression.split_once("<<") {
        Some((number, by)) => one(number) << one(by),
        None => expression.split('*').map(one).product(),
    }
}

/// Amounts with units in a cell of the page.
fn amounts(cell: &str) -> Vec<u64> {
    let words: Vec<&str> = cell.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let number = |at: usize| words.get(at)?.parse::<u64>().ok();
    let unit = |at: usize| match words.get(at).copied() {
        Some("KiB") => 1 << 10,
        Some("MiB") => 1 << 20,
        Some("GiB") => 1 << 30,
        _ => 1,
    };
    (0..words.len()).filter_map(|at| Some(number(at)? * unit(at + 1))).collect()
}

fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_page_of_what_the_host_may_hold_has_every_budget_with_its_default() {
    let page = read(&root().join("docs/LIMITS.md"));
    let (values, tests) = (constants(), known_tests());
    let mut listed = BTreeSet::new();
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let (budget, default) = match cells.as_slice() {
            [_, budget, default, _, test, _] => {
                for test in names(test) {
                    assert!(tests.contains(test), "docs/LIMITS.md names `{test}`, and there is no such test");
                }
                (budget, default)
            }
            [constant, default, _] => (constant, default),
            _ => panic!("{row}"),
        };
        let has: Vec<u64> = names(budget)
            .into_iter()
            .map(|name| {
                *values
                    .get(name)
                    .unwrap_or_else(|| panic!("docs/LIMITS.md names `{name}`, and there is no such limit"))
            })
            .collect();
        assert_eq!(amounts(default), has, "{row}");
        listed.extend(names(budget));
    }
    let of_memory = |name: &str| {
        let is_large = name.contains("BYTES") || name.contains("bytes");
        // Lengths of files and messages are documented elsewhere.
        let mut of_calls = files().into_iter().filter(|(file, _)| file != "load" && file != "wire");
        let is_here = of_calls.any(|(_, text)| {
            text.contains(&format!("const {name}:")) || text.contains(&format!("name: \"{name}\""))
        });
        is_large && (is_here || name.starts_with("WORKER_"))
    };
    for name in values.keys().filter(|name| of_memory(name)) {
        // A configurable limit has two names, one of which suffices.
        let other = [name.to_lowercase(), name.to_uppercase()];
        let is_listed =
            listed.contains(name.as_str()) || other.iter().any(|name| listed.contains(name.as_str()));
        assert!(is_listed || name == "bytes_max", "docs/LIMITS.md has no row for `{name}`");
    }
}
