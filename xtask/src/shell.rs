//! Runs other programs, printed first, with a time limit for network access; and decides whether packages may be
//! installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Summary of a command, or its error.
pub(crate) type Outcome<T = String> = Result<T, String>;

/// Prints a command and runs it to completion.
pub(crate) fn run(command: &mut Command) -> Outcome<()> {
    let shown = show(command);
    eprintln!("$ {shown}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` ended with {status}")),
        Err(error) => Err(format!("`{shown}` could not be run: {error}")),
    }
}

/// Runs a program silently and returns its output.
pub(crate) fn output(command: &mut Command) -> Outcome {
    let shown = show(command);
    match command.stderr(Stdio::inherit()).output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(format!("`{shown}` ended with {}", output.status)),
        Err(error) => Err(format!("`{shown}` could not be run: {error}")),
    }
}

/// Runs a program silently, for at most `limit`. Failure is a result, not an error.
pub(crate) fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    let Ok(mut child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else { return false };
    let until = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
            Ok(None) | Err(_) => {
                drop(child.kill());
                drop(child.wait());
                return false;
            }
        }
    }
}

/// Whether a program can be run.
pub(crate) fn exists(program: &str) -> bool {
    succeeds_within(Command::new(program).arg("--version"), Duration::from_secs(20))
}

/// Whether packages may be installed without asking: in CI, or as root.
pub(crate) fn may_install() -> bool {
    is_ci() || output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// Whether this is CI, where nothing is skipped.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|ci| ci == "true")
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// The current cargo, in the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Cargo's target folder, whatever sets it.
pub(crate) fn target() -> Outcome<PathBuf> {
    static TARGET: OnceLock<Outcome<PathBuf>> = OnceLock::new();
    let ask = || {
        let metadata = output(cargo().args(["metadata", "--no-deps", "--format-version", "1", "--locked"]))?;
        let metadata: serde_json::Value =
            serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
        let path = metadata.get("target_directory").and_then(serde_json::Value::as_str);
        path.map(PathBuf::from).ok_or_else(|| "cargo metadata names no target directory".to_owned())
    };
    TARGET.get_or_init(ask).clone()
}

/// Entry of a package in Cargo.lock.
pub(crate) fn locked(package: &str) -> Outcome {
    let lock = root().join("Cargo.lock");
    let text = std::fs::read_to_string(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    let entry = text.split("[[package]]").find(|entry| entry.contains(&format!("name = \"{package}\"\n")));
    entry.map(str::to_owned).ok_or_else(|| format!("{} has no {package}", lock.display()))
}

/// Parts of the host to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// The program alone, unoptimised.
    Program,
    /// The program as shipped, optimised across crates, which takes about twice as long.
    Release,
    /// The program and all tests in one build, so that features do not differ.
    Tests,
}

/// Builds the program and returns its path.
pub(crate) fn build_toolgate(what: Build) -> Outcome<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--locked", "--bin", "toolgate"]);
    match what {
        // With the feature set of the tests, so that the engine is compiled once.
        Build::Program => build.args(["--workspace"]),
        Build::Release => build.args(["--package", "toolgate", "--release"]),
        Build::Tests => build.args([
            "--workspace",
            "--bin",
            "toolgate-c-bindings",
            "--bin",
            "toolgate-component",
            "--tests",
        ]),
    };
    run(&mut build)?;
    let messages = output(build.args(["--message-format", "json", "--quiet"]))?;
    let executable = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let target = message.get("target")?;
        (target.get("name")? == "toolgate" && target.get("kind")?.get(0)? == "bin").then_some(())?;
        (!message.get("profile")?.get("test")?.as_bool()?).then_some(())?;
        message.get("executable")?.as_str().map(PathBuf::from)
    });
    executable.ok_or_else(|| "cargo built no program".to_owned())
}

/// Folder of a program.
pub(crate) fn folder_of(program: &Path) -> Outcome<&Path> {
    program.parent().ok_or_else(|| format!("{} is in no folder", program.display()))
}

/// Formats a command for display.
pub(crate) fn show(command: &Command) -> String {
    let program =
        Path::new(command.get_program()).file_name().unwrap_or(command.get_program()).to_string_lossy();
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}
