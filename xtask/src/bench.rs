//! `cargo xtask bench`: criterion benchmarks, the end-to-end comparison, and the effect on neighbours, in one run.

use crate::guests;
use crate::shell::{self, Build, Outcome};

/// Measures and prints the tables.
pub(crate) fn run() -> Outcome {
    let program = shell::build_toolgate(Build::Release)?;
    guests::build(guests::toolchain()?, &program)?;
    let folder = guests::folder()?;
    shell::run(
        shell::cargo()
            .args(["bench", "--locked", "--package", "toolgate-benches"])
            .env("TOOLGATE_GUESTS", &folder),
    )?;
    for table in ["compare", "neighbours"] {
        let mut bench = shell::cargo();
        bench.args([
            "run",
            "--release",
            "--locked",
            "--quiet",
            "--package",
            "toolgate-benches",
            "--bin",
            table,
        ]);
        shell::run(bench.env("TOOLGATE_BIN", &program).env("TOOLGATE_GUESTS", &folder))?;
    }
    Ok("measured; copy the tables to docs/BENCHMARKS.md".to_owned())
}
