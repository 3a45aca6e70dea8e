//! Completeness: every capability, limit, guest and attack has its test.

mod budgets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toolgate_policy::Capability;
use toolgate_policy::limits::call::CallLimit;
use toolgate_tests::root;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

/// Names of the tests in a text.
fn tests(text: &str) -> BTreeSet<String> {
    text.replace("#[tokio::test]", "#[test]").split("#[test]").skip(1).filter_map(name_after_fn).collect()
}

fn name_after_fn(text: &str) -> Option<String> {
    let rest = text.split_once("fn ")?.1;
    Some(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

/// Names of all tests.
fn known_tests() -> BTreeSet<String> {
    let folders = ["host", "tests/it", "xtask/src"].map(|folder| sources(&root().join(folder)));
    folders.into_iter().flatten().flat_map(|path| tests(&read(&path))).collect()
}

#[test]
fn every_capability_is_tested_granted_denied_and_narrowed() {
    for word in Capability::ALL {
        let tests = tests(&read(&root().join(format!("tests/it/capability/{word}.rs"))));
        for case in ["granted_", "denied_", "narrowed_"] {
            assert!(
                tests.iter().any(|test| test.starts_with(case)),
                "{word} has no test that begins with {case}"
            );
        }
    }
}

#[test]
fn every_capability_has_its_rooms_and_its_heading() {
    let headings = read(&root().join("docs/grants.md"));
    for word in Capability::ALL {
        for room in ["host/policy/src/capability", "host/sandbox/src/imports"] {
            assert!(root().join(room).join(format!("{word}.rs")).exists(), "{word} has no {room}");
        }
        assert!(headings.lines().any(|line| line == format!("## `{word}`")), "{word} has no heading");
    }
}

#[test]
fn every_limit_is_met_by_a_test_of_its_name() {
    let tests = tests(&read(&root().join("tests/it/limits.rs")));
    for limit in CallLimit::ALL {
        let name = limit.name();
        assert!(tests.iter().any(|test| test.starts_with(&format!("{name}_"))), "{name} has no test");
    }
}

#[test]
fn every_guest_is_used_by_a_test() {
    let all: String = sources(&root().join("tests/it")).iter().map(|path| read(path)).collect();
    for path in std::fs::read_dir(root().join("tests/guests")).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(all.contains(&format!("\"{name}\"")), "no test uses the guest {name}");
        }
    }
}

#[test]
fn every_example_plugin_is_called_by_the_official_client() {
    let official = read(&root().join("tests/it/mcp/official.rs"));
    for path in std::fs::read_dir(root().join("plugins")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(official.contains(&format!(".plugin(\"{name}\"")), "{name} is not called");
        assert!(path.join("README.md").exists(), "{name} has no README");
    }
}

#[test]
fn the_ledger_of_attacks_and_the_tests_agree() {
    let ledger = read(&root().join("docs/ATTACKS.md"));
    let named: BTreeSet<String> = ledger
        .lines()
        .filter(|line| line.starts_with('|'))
        .filter_map(|line| line.trim_end_matches('|').rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert!(named.len() > 20, "the ledger's last column names tests");
    let known = known_tests();
    for test in &named {
        assert!(known.contains(test), "docs/ATTACKS.md names `{test}`, and there is no such test");
    }
    let never = ["never", "meanwhile"].map(|name| root().join(format!("tests/it/load/{name}.rs")));
    for path in sources(&root().join("tests/it/attack")).into_iter().chain(never) {
        for test in tests(&read(&path)) {
            assert!(named.contains(&test), "`{test}` of {} is not in docs/ATTACKS.md", path.display());
        }
    }
}

/// Messages on the troubleshooting page that are not in our sources, but WASI's or the system's.
const OF_OTHERS: [&str; 3] = ["access-denied", "HttpRequestDenied", "Address already in use"];

#[test]
fn every_message_of_the_page_on_troubles_is_one_that_we_say() {
    let said: String = sources(&root().join("host")).iter().map(|path| read(path)).collect();
    // Joins string literals that continue in the next line.
    let said: String = said.split("\\\n").map(str::trim_start).collect();
    let page = read(&root().join("docs/troubleshoot.md"));
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(headings.len(), 20);
    let messages = headings.iter().flat_map(|heading| heading.split('`').skip(1).step_by(2));
    for message in messages.filter(|message| !OF_OTHERS.contains(message)) {
        // Variable parts are in brackets.
        for fixed in message.split(['⟨', '⟩']).step_by(2).map(str::trim).filter(|fixed| fixed.len() > 5) {
            assert!(said.contains(fixed), "`{fixed}` is said nowhere");
        }
    }
}
