//! `cargo xtask test`: everything that CI runs, in the order in which it fails fastest.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::shell::{self, Outcome};
use crate::{demo, guests, languages, packages, peers, tidy};

/// Runs every test.
pub(crate) fn run() -> Outcome {
    let started = Instant::now();
    tidy::run()?;
    lint()?;
    let toolchain = guests::toolchain()?;
    let program = shell::build_toolgate(&[])?;
    guests::build(toolchain, &program)?;
    languages::run()?;
    other_toolchain(toolchain, &program)?;
    let mut tests = shell::cargo();
    tests.args(["test", "--locked", "--workspace"]).env("TOOLGATE_BIN", &program);
    tests.env("TOOLGATE_GUESTS", guests::folder()?);
    peers::tell(&mut tests)?;
    shell::run(&mut tests)?;
    demo::run(demo::Until::OneCall)?;
    Ok(format!("all tests passed in {} s", started.elapsed().as_secs()))
}

/// Formatting and lints, where the toolchain has them.
fn lint() -> Outcome<()> {
    for (component, args) in [
        ("fmt", &["fmt", "--all", "--check"][..]),
        (
            "clippy",
            &["clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
        ),
    ] {
        if shell::output(shell::cargo().args([component, "--version"])).is_ok() {
            shell::run(shell::cargo().args(args))?;
        } else if shell::is_ci() {
            return Err(format!("cargo {component} is not here; run `rustup component add rustfmt clippy`"));
        } else {
            eprintln!("skipping: cargo {component} is not here");
        }
    }
    deny()
}

/// Licenses, sources and bans of what we build on. Advisories need a database that is fetched from elsewhere.
fn deny() -> Outcome<()> {
    let program = match shell::exists("cargo-deny") {
        true => "cargo-deny".into(),
        false => match packages::cargo("deny", "cargo-deny@0.20.2", "")? {
            Some(folder) => folder.join("bin/cargo-deny"),
            None => return Ok(()),
        },
    };
    // It looks at the crates of other systems too, which building for this one did not fetch.
    shell::run(shell::cargo().args(["fetch", "--locked", "--quiet"]))?;
    let mut deny = Command::new(program);
    deny.current_dir(shell::root()).args([
        "--offline",
        "--workspace",
        "check",
        "bans",
        "licenses",
        "sources",
    ]);
    shell::run(deny.args(["--hide-inclusion-graph", "--allow", "duplicate"]))
}

/// Where both ways of building guests are there, both must work: a plugin built the other way loads as well.
fn other_toolchain(used: guests::Toolchain, program: &Path) -> Outcome<()> {
    if used != guests::Toolchain::Rustup || !guests::has_debian() {
        return Ok(());
    }
    let into = guests::folder()?.join("debian");
    let hello = shell::root().join("plugins/hello");
    let built = guests::build_plugin(guests::Toolchain::Debian, program, &hello, &into)?;
    shell::run(Command::new(program).arg("inspect").arg(built).stdout(std::process::Stdio::null()))
}
