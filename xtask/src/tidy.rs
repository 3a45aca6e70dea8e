//! `cargo xtask tidy`: checks of project rules. Sizes, file headers, names, layers and restricted dependencies; the
//! latter two are read from `docs/ARCHITECTURE.md`, so that page and code agree.

mod circles;
mod code;
mod crates;
mod language;
mod layers;
mod restricted;
mod shape;

use std::collections::BTreeMap;
use std::path::Path;

use crate::shell::{self, Outcome};

struct Source {
    /// Path from the root of the repository, such as `host/policy/src/name.rs`.
    path: String,
    text: String,
}

/// Folders with our own Rust code.
const FOLDERS: [&str; 6] = ["host", "plugins", "sdk-guest", "tests", "benches", "xtask"];

/// Runs all checks and reports all violations.
pub(crate) fn run() -> Outcome {
    let sources = sources()?;
    let page = read(&shell::root().join("docs/ARCHITECTURE.md"))?;
    let mut broken = shape::check(&sources);
    broken.extend(layers::check(&sources, block(&page, "layers")?)?);
    broken.extend(restricted::check(&sources, block(&page, "restricted")?)?);
    broken.extend(restricted::check_exceptions(&sources, block(&page, "exceptions")?)?);
    broken.extend(restricted::check_conditions(&sources)?);
    broken.extend(names(&sources)?);
    broken.extend(double_types(&sources)?);
    broken.extend(language::check(&sources)?);
    broken.extend(circles::check(&sources)?);
    broken.extend(restricted::check_crates(&shell::root().join("host"))?);
    let manifests = crates::manifests(&shell::root().join("host"))?;
    let borders = block(&page, "crates")?;
    broken.extend(crates::check(&manifests, borders));
    broken.extend(crates::check_restricted(&manifests, block(&page, "restricted")?)?);
    broken.extend(crates::check_policy(&manifests, block(&page, "policy-dependencies")?));
    if broken.is_empty() {
        return Ok(format!(
            "crates, and the own ones that each may depend on:\n{borders}\n{}",
            summary(&sources)
        ));
    }
    broken.sort();
    Err(format!("{} breaches of the project rules:\n{}", broken.len(), broken.join("\n")))
}

/// Summary in figures; those of `host` describe the program.
fn summary(sources: &[Source]) -> String {
    let host = sources.iter().filter(|source| source.path.starts_with("host/"));
    let mut lines: Vec<(usize, &str)> =
        host.map(|source| (source.text.lines().count(), source.path.as_str())).collect();
    lines.sort_unstable();
    let median = lines.get(lines.len() / 2).map_or(0, |(count, _)| *count);
    let (largest, at) = lines.last().copied().unwrap_or_default();
    format!(
        "{} files keep the project rules. host: {} files, {} lines, median {median}, largest {largest} ({at}); files in a \
         circle 0, types of one name in one crate 0, error types not called Error 0",
        sources.len(),
        lines.len(),
        lines.iter().map(|(count, _)| count).sum::<usize>(),
    )
}

/// Checks that error types end in `Error`.
fn names(sources: &[Source]) -> Outcome<Vec<String>> {
    let mut broken = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("host/")) {
        let errors = code::errors(&source.text).map_err(|why| format!("{}: {why}", source.path))?;
        let others = errors.iter().filter(|name| !name.ends_with("Error"));
        broken.extend(
            others.map(|name| format!("{}: `{name}` is an error; let its name end in Error", source.path)),
        );
    }
    Ok(broken)
}

/// Names that several modules may define: capabilities in `policy/capability`, commands in `server/cli`.
const EACH_ITS_OWN: [&str; 6] = ["Grant", "Pass", "Rule", "RuleText", "Args", "Command"];

/// Checks that types visible to several files have unique names in their crate.
fn double_types(sources: &[Source]) -> Outcome<Vec<String>> {
    let mut places: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for source in sources {
        let Some((owner, _)) = source.module() else { continue };
        let types = code::visible_types(&source.text).map_err(|why| format!("{}: {why}", source.path))?;
        for name in types.into_iter().filter(|name| !EACH_ITS_OWN.contains(&name.as_str())) {
            places.entry((owner, name)).or_default().push(&source.path);
        }
    }
    let double = places.iter().filter(|(_, files)| files.len() > 1);
    Ok(double.map(|((_, name), files)| format!("`{name}` is defined in {}", files.join(" and "))).collect())
}

impl Source {
    /// Crate and path in it, such as `("policy", "load/trust")`; `None` outside `host`.
    fn module(&self) -> Option<(&str, &str)> {
        let (name, path) = self.path.strip_prefix("host/")?.split_once("/src/")?;
        Some((name, path.strip_suffix(".rs")?))
    }

    /// Whether a list refers to this file, as in `policy/load/trust`.
    fn is(&self, place: &str) -> bool {
        self.module().is_some_and(|(name, path)| place.strip_prefix(name) == Some(&format!("/{path}")))
    }

    /// Paths named in code that is built into the program.
    fn paths(&self) -> Outcome<Vec<code::Path>> {
        if self.path.ends_with("_tests.rs") {
            return Ok(Vec::new());
        }
        code::paths(&self.text).map_err(|why| format!("{}: {why}", self.path))
    }

    fn lints(&self) -> Outcome<Vec<code::Path>> {
        code::lints(&self.text).map_err(|why| format!("{}: {why}", self.path))
    }
}

fn sources() -> Outcome<Vec<Source>> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        collect(&shell::root().join(folder), &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Texts of the Rust files in a folder, such as `tests/it`.
#[cfg(test)]
pub(crate) fn texts(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(&shell::root().join(folder), &mut found).unwrap();
    found.into_iter().map(|source| source.text).collect()
}

fn collect(folder: &Path, into: &mut Vec<Source>) -> Outcome<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let short = path.strip_prefix(shell::root()).unwrap_or(&path).to_string_lossy().into_owned();
            into.push(Source { path: short, text: read(&path)? });
        }
    }
    Ok(())
}

fn read(path: &Path) -> Outcome {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Content of the fenced block of this kind.
fn block<'a>(page: &'a str, kind: &str) -> Outcome<&'a str> {
    let fence = format!("```{kind}\n");
    let rest = page.split_once(&fence).map(|(_, rest)| rest);
    let block = rest.and_then(|rest| rest.split_once("\n```")).map(|(block, _)| block);
    block.ok_or_else(|| format!("docs/ARCHITECTURE.md has no block `{kind}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_two_files_of_a_crate_show_is_told_with_both() {
        let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let sources = [
            source("host/policy/src/a.rs", "pub struct A; pub struct Grant; struct Own;"),
            source("host/policy/src/b.rs", "pub(crate) enum A {} pub struct Grant; pub struct Own;"),
            source("host/server/src/b.rs", "pub struct A;"),
        ];
        assert_eq!(
            double_types(&sources).unwrap(),
            ["`A` is defined in host/policy/src/a.rs and host/policy/src/b.rs"]
        );
    }
}
