//! `cargo xtask fuzz [MINUTES]`: runs each fuzz target for that time, starting from the stored inputs.

use std::process::Command;

use crate::shell::{self, Outcome};

const TARGETS: [&str; 8] =
    ["arguments", "lifts", "section", "component", "signature", "key", "lock", "bundle"];

/// Fuzzes every target.
pub(crate) fn run(minutes: u32) -> Outcome {
    if shell::output(shell::cargo().args(["fuzz", "--version"])).is_err() {
        if !shell::may_install() {
            return Err("cargo-fuzz is not here; run `cargo install --locked cargo-fuzz`".to_owned());
        }
        shell::run(shell::cargo().args(["install", "--locked", "cargo-fuzz"]))?;
    }
    let found = shell::target()?.join("fuzz");
    for target in TARGETS {
        let new = found.join(target);
        std::fs::create_dir_all(&new).map_err(|error| format!("{}: {error}", new.display()))?;
        let mut fuzz = shell::cargo();
        // Stable Rust suffices without a sanitizer: the targets look for panics and endless loops.
        fuzz.env("RUSTC_BOOTSTRAP", "1");
        fuzz.args(["fuzz", "run", "--sanitizer", "none", target]).arg(&new);
        fuzz.arg(shell::root().join("tests/fuzz").join(target));
        fuzz.args(["--", &format!("-max_total_time={}", minutes * 60)]);
        fuzz.args(["-timeout=10", "-rss_limit_mb=4096", "-max_len=65536", "-print_final_stats=1"]);
        shell::run(&mut fuzz)?;
        shrink(target, &new)?;
    }
    Ok(format!(
        "{} targets fuzzed for {minutes} minutes each; what was found is in {}",
        TARGETS.len(),
        found.display()
    ))
}

/// Keeps only new inputs that reach code which no other input does.
fn shrink(target: &str, new: &std::path::Path) -> Outcome<()> {
    let mut shrink: Command = shell::cargo();
    shrink.env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "cmin", "--sanitizer", "none", target]).arg(new);
    shell::run(&mut shrink)
}
