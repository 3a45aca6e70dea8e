//! `cargo xtask bench`: the criterion groups, then the end-to-end comparison, in one run on this machine.

use crate::guests;
use crate::shell::{self, Outcome};

/// Measures and prints the tables.
pub(crate) fn run() -> Outcome {
    let program = shell::build_toolgate(&["--release"])?;
    guests::build(guests::toolchain()?, &program)?;
    let folder = guests::folder()?;
    shell::run(
        shell::cargo()
            .args(["bench", "--locked", "--package", "toolgate-benches"])
            .env("TOOLGATE_GUESTS", &folder),
    )?;
    let mut compare = shell::cargo();
    compare.args([
        "run",
        "--release",
        "--locked",
        "--quiet",
        "--package",
        "toolgate-benches",
        "--bin",
        "compare",
    ]);
    shell::run(compare.env("TOOLGATE_BIN", &program).env("TOOLGATE_GUESTS", &folder))?;
    Ok("measured; copy the tables to docs/BENCHMARKS.md".to_owned())
}
