//! Checks which modules use restricted dependencies. Restricted calls are enforced by clippy (`host/clippy.toml`); the
//! exceptions to that are checked here.

use super::Source;
use super::code::{self, Path};
use crate::shell::Outcome;

/// Lints that protect trust-relevant calls and types.
const HELD: [&str; 2] = ["disallowed_methods", "disallowed_types"];

/// Lint groups that include them.
const GROUPS: [&str; 3] = ["all", "style", "warnings"];

pub(super) fn check(sources: &[Source], list: &str) -> Outcome<Vec<String>> {
    let mut broken = Vec::new();
    let restrictions = list.lines().map(parse).collect::<Outcome<Vec<_>>>()?;
    for source in sources.iter().filter(|source| source.path.starts_with("host/")) {
        let paths = source.paths()?;
        for (names, modules) in &restrictions {
            let named = names.iter().filter(|name| paths.iter().any(|path| path.first() == Some(name)));
            for name in named.filter(|_| !may(source, modules)) {
                broken.push(format!(
                    "{}: `{name}` has its restriction elsewhere: {}",
                    source.path,
                    modules.join(", ")
                ));
            }
        }
    }
    Ok(broken)
}

pub(super) type Restriction = (Vec<String>, Vec<String>);

/// Parses a line: restricted names, and the modules that may use them.
pub(super) fn parse(line: &str) -> Outcome<Restriction> {
    let (names, modules) =
        line.split_once('→').ok_or_else(|| format!("a restriction line without an arrow →: {line}"))?;
    let names = names.split(',').map(|name| name.trim().to_owned());
    Ok((names.collect(), words(modules)))
}

fn words(list: &str) -> Vec<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

/// Checks that clippy's lists are switched off only in the listed files, and only where necessary.
pub(super) fn check_exceptions(sources: &[Source], list: &str) -> Outcome<Vec<String>> {
    let mut broken = Vec::new();
    let mut unused = words(list);
    for source in sources.iter().filter(|source| source.path.starts_with("host/")) {
        let lints = source.lints()?;
        let names = |names: &[&str]| {
            lints.iter().any(|lint: &Path| lint.last().is_some_and(|last| names.contains(&last.as_str())))
        };
        if names(&GROUPS) {
            broken.push(format!("{}: a whole group of lints is switched off", source.path));
        }
        if names(&HELD) {
            match unused.iter().position(|known| source.is(known)) {
                Some(known) => drop(unused.swap_remove(known)),
                None => broken.push(format!("{}: it is no exception to clippy's lists", source.path)),
            }
        }
    }
    broken
        .extend(unused.iter().map(|file| format!("docs/ARCHITECTURE.md: `{file}` is no exception any more")));
    Ok(broken)
}

/// Checks that the other checks see all code that is built: test files are built for tests only, and no condition hides
/// code from Clippy or the tests.
pub(super) fn check_conditions(sources: &[Source]) -> Outcome<Vec<String>> {
    const KNOWN: [&str; 5] = ["test", "target_os", "all", "any", "not"];
    let mut broken = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("host/")) {
        let failed = |why: String| format!("{}: {why}", source.path);
        for name in code::built_tests(&source.text).map_err(failed)? {
            broken.push(format!("{}: `{name}` is built without `cfg(test)`", source.path));
        }
        let conditions = code::conditions(&source.text).map_err(failed)?;
        for name in conditions.iter().filter(|name| !KNOWN.contains(&name.as_str())) {
            broken.push(format!("{}: `{name}` is no condition that is checked", source.path));
        }
    }
    Ok(broken)
}

/// Checks that the program's crates take their lints from the workspace and `host/clippy.toml`.
pub(super) fn check_crates(host: &std::path::Path) -> Outcome<Vec<String>> {
    let failed = |error: std::io::Error| format!("{}: {error}", host.display());
    let mut broken = Vec::new();
    for entry in std::fs::read_dir(host).map_err(failed)? {
        let folder = entry.map_err(failed)?.path();
        let manifest = folder.join("Cargo.toml");
        if folder.is_dir() && !super::read(&manifest)?.contains("\n[lints]\nworkspace = true") {
            broken.push(format!("{}: its lints are not the workspace's", manifest.display()));
        }
        let others = ["clippy.toml", ".clippy.toml"].map(|name| folder.join(name));
        let others = others.into_iter().filter(|file| file.exists());
        broken.extend(others.map(|file| format!("{}: host/clippy.toml is the list", file.display())));
    }
    if host.join(".clippy.toml").exists() {
        broken.push("host/.clippy.toml: host/clippy.toml is the list".to_owned());
    }
    Ok(broken)
}

fn may(source: &Source, modules: &[String]) -> bool {
    let Some((name, path)) = source.module() else { return false };
    let place = format!("{name}/{path}");
    modules.iter().any(|module| {
        place == *module || place.strip_prefix(module).is_some_and(|rest| rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::shell;

    fn broken(path: &str, text: &str) -> usize {
        let source = Source { path: format!("host/{path}.rs"), text: text.to_owned() };
        check(&[source], "engine, other → runtime/sandbox").unwrap().len()
    }

    #[test]
    fn a_dependency_is_named_where_it_may_be_alone() {
        assert_eq!(broken("runtime/src/sandbox", "use engine::Store; fn f() { other::run() }"), 0);
        assert_eq!(broken("runtime/src/sandbox/deep/down", "use engine::Store;"), 0);
        assert_eq!(broken("runtime/src/sandboxes", "use engine::Store;"), 1);
        assert_eq!(broken("server/src/main", "fn f() { engine::run(); other::run() }"), 2);
        assert_eq!(
            broken("server/src/main", "fn f() { my_engine::run(); crate::engine::run(); } // engine::run()"),
            0
        );
        assert_eq!(broken("server/src/main_tests", "use engine::Store;"), 0);
    }

    #[test]
    fn no_spelling_evades_the_check() {
        for text in [
            "fn f() { ::engine::run() }",
            "use ::engine::Store;",
            "use engine as harmless;",
            "use {std::fs, engine};",
            "use engine::*;",
            "extern crate engine;",
            "fn f() { let url = \"https://example.org\"; engine::run() }",
            "#[cfg(test)] use std::fs;\nfn f() { engine::run() }",
            "macro_rules! m { () => { engine::run() } }",
            "fn f() { select! { x = engine::run() => x } }",
        ] {
            assert_eq!(broken("server/src/main", text), 1, "{text}");
        }
    }

    #[test]
    fn clippys_lists_are_switched_off_in_the_named_files_alone() {
        let broken = |text: &str, list: &str| {
            let source = Source { path: "host/server/src/a.rs".to_owned(), text: text.to_owned() };
            check_exceptions(&[source], list).unwrap().len()
        };
        let excepted = "#[expect(clippy::disallowed_methods, reason = \"r\")] fn f() {}";
        assert_eq!(broken(excepted, "server/a"), 0);
        assert_eq!(broken(excepted, ""), 1);
        assert_eq!(broken("fn f() {}", "server/a"), 1, "an exception that is none any more");
        for text in [
            "#![allow(clippy::disallowed_types)]",
            "#[cfg(test)] mod t { #[allow(a, clippy::disallowed_methods)] fn f() {} }",
            "#![cfg_attr(unix, allow(clippy::disallowed_methods))]",
            "#![allow(clippy::all)]",
            "#![allow(warnings)]",
            "macro_rules! m { () => { #[allow(clippy::style)] fn f() {} } }",
        ] {
            assert_eq!(broken(text, ""), 1, "{text}");
        }
    }

    #[test]
    fn clippy_sees_what_is_forbidden_by_whatever_name_it_is_called() {
        let mut clippy = shell::cargo();
        if shell::output(clippy.args(["clippy", "--version"])).is_err() {
            assert!(!shell::is_ci(), "cargo clippy is not here; run `rustup component add clippy`");
            eprintln!("skipped: cargo clippy is not here");
            return;
        }
        let mut clippy = shell::cargo();
        clippy.args([
            "clippy",
            "--locked",
            "--quiet",
            "--package",
            "toolgate-evasions",
            "--features",
            "evade",
        ]);
        let said =
            clippy.args(["--message-format", "json"]).env("CLIPPY_CONF_DIR", shell::root().join("host"));
        let found: BTreeSet<u64> = shell::output(said)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|line| line["message"]["code"]["code"] == "clippy::disallowed_methods")
            .map(|line| line["message"]["spans"][0]["line_start"].as_u64().unwrap())
            .collect();
        let text = super::super::read(&shell::root().join("xtask/evasions/src/lib.rs")).unwrap();
        let marked =
            (1..).zip(text.lines()).filter(|(_, line)| line.ends_with("//~")).map(|(number, _)| number);
        assert_eq!(found, marked.collect::<BTreeSet<u64>>());
    }

    #[test]
    fn nothing_is_built_that_the_checks_do_not_see() {
        let broken = |text: &str| {
            let source = Source { path: "host/server/src/a.rs".to_owned(), text: text.to_owned() };
            check_conditions(&[source]).unwrap().len()
        };
        assert_eq!(broken("#[cfg(all(test, not(target_os = \"linux\")))] fn f() { cfg!(test) }"), 0);
        for text in [
            "#[cfg(not(clippy))] fn f() {}",
            "#[cfg(not(debug_assertions))] fn f() {}",
            "fn f() { if cfg!(feature = \"x\") {} }",
            "#[cfg_attr(test, path = \"b.rs\")] mod a;",
            "#[path = \"a_tests.rs\"] mod a;",
        ] {
            assert_eq!(broken(text), 1, "{text}");
        }
    }
}
