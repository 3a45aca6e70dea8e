//! `cargo xtask test`: everything that CI runs, fastest failures first. `--quick` is for use before a commit: it
//! installs nothing and leaves out slow tests.

use std::path::Path;
use std::process::Command;

use crate::packages::Installing;
use crate::shell::{self, Build, Outcome};
use crate::steps::Steps;
use crate::{conformance, demo, dependencies, guests, languages, peers, tidy};

/// Slow tests by a part of their names, which `--quick` leaves out. Together they take two thirds of the time.
const SLOW: [&str; 24] = [
    "attack::bombs::",
    "attack::framing::",
    "attack::gallery::",
    "attack::isolation::",
    "attack::large::",
    "attack::lists::",
    "attack::outside::",
    "attack::secrets::",
    "attack::servers::",
    "attack::wire::",
    "limits::answers::",
    "limits::apart::",
    "load::mutations::",
    "mapping::law::",
    "a_listing_that_would_fill_the_hosts_memory",
    "a_folder_that_is_swapped_for_a_link_meanwhile",
    "a_client_that_does_not_read_its_answer",
    "answers_that_nobody_reads_are_held_up",
    "in_a_process_of_its_own_python",
    "python_answers_as_rust_does",
    "javascript_on_starlingmonkey",
    "_in_workers_",
    "_from_a_worker_",
    "in_a_worker_",
];

/// Runs all tests, or with `--quick` most of them; skips the steps named in `--without`.
pub(crate) fn run(quick: bool, without: &[&str]) -> Outcome {
    let mut steps = Steps::new(without);
    let done = if quick { quickly(&mut steps) } else { all(&mut steps) };
    eprintln!("\n{steps}");
    done.map(|()| format!("all tests passed in {} s", steps.elapsed().as_secs()))
}

fn all(steps: &mut Steps) -> Outcome<()> {
    let suite = (conformance::NAME, conformance::PACKAGES);
    let installing =
        Installing::start(peers::packages().chain(languages::packages()).chain([suite]).collect());
    steps.run("tidy", tidy::run)?;
    steps.run("format", format)?;
    steps.run("dependencies", dependencies::check)?;
    let program = steps.run("build", || shell::build_toolgate(Build::Tests))?;
    let Some(program) = program else { return Err("nothing can be tested that is not built".to_owned()) };
    steps.run("lints", lint)?;
    let toolchain = steps.run("installations", || installing.wait())?;
    let Some(toolchain) = toolchain else {
        return Err("guests cannot be built without a compiler".to_owned());
    };
    steps.run("guests", || guests::build(toolchain, &program))?;
    steps.run("languages", || languages::run(shell::folder_of(&program)?))?;
    steps.run("other compiler", || other_toolchain(toolchain, &program))?;
    steps.run("tests", || tests(&program, peers::tell))?;
    steps.run("conformance", || conformance::against(&program).map(|figure| eprintln!("{figure}")))?;
    steps.run("demo", || demo::serve_it(demo::Until::OneCall, &program))?;
    Ok(())
}

fn quickly(steps: &mut Steps) -> Outcome<()> {
    steps.run("tidy", tidy::run)?;
    steps.run("format", format)?;
    let program = steps.run("build", || shell::build_toolgate(Build::Tests))?;
    let Some(program) = program else { return Err("nothing can be tested that is not built".to_owned()) };
    steps.run("lints", lint)?;
    steps.run("guests", || guests::build(guests::toolchain()?, &program))?;
    steps.run("tests", || {
        tests(&program, |tests| {
            tests.arg("--").args(SLOW.iter().flat_map(|name| ["--skip", name]));
            Ok(())
        })
    })?;
    Ok(())
}

fn tests(program: &Path, more: impl FnOnce(&mut Command) -> Outcome<()>) -> Outcome<()> {
    let mut tests = shell::cargo();
    tests.args(["test", "--locked", "--workspace", "--no-fail-fast"]).env("TOOLGATE_BIN", program);
    tests.env("TOOLGATE_GUESTS", guests::folder()?);
    // Most tests wait: for a deadline, a server, a process.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tests.env("RUST_TEST_THREADS", (2 * cores).to_string());
    more(&mut tests)?;
    shell::run(&mut tests)
}

fn format() -> Outcome<()> {
    with_component("fmt", &["fmt", "--all", "--check"])
}

fn lint() -> Outcome<()> {
    with_component(
        "clippy",
        &["clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
    )
}

fn with_component(component: &str, args: &[&str]) -> Outcome<()> {
    if shell::output(shell::cargo().args([component, "--version"])).is_ok() {
        shell::run(shell::cargo().args(args))
    } else if shell::is_ci() {
        Err(format!("cargo {component} is not here; run `rustup component add rustfmt clippy`"))
    } else {
        eprintln!("skipping: cargo {component} is not here");
        Ok(())
    }
}

/// If both toolchains for guests are installed, checks that a plugin built by the other one loads.
fn other_toolchain(used: guests::Toolchain, program: &Path) -> Outcome<()> {
    if used != guests::Toolchain::Rustup || !guests::has_debian() {
        return Ok(());
    }
    let into = guests::folder()?.join("debian");
    let hello = shell::root().join("plugins/hello");
    let built = guests::build_plugin(guests::Toolchain::Debian, program, &hello, &into)?;
    shell::run(Command::new(program).arg("inspect").arg(built).stdout(std::process::Stdio::null()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_name_is_that_of_a_test_that_there_is() {
        let texts = tidy::texts("tests/it");
        for part in SLOW {
            let is_file = part.strip_suffix("::").is_some_and(|path| {
                shell::root().join("tests/it").join(path.replace("::", "/")).with_extension("rs").is_file()
            });
            let names =
                texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("fn "));
            let is_name = names.map(|name| format!("_{name}")).any(|name| name.contains(part))
                || texts.iter().any(|text| text.contains(&format!("fn {part}")));
            assert!(is_file || is_name, "no test has `{part}` in its name");
        }
    }
}
