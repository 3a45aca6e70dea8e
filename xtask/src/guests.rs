//! Builds the example plugins and test guests as components. The target comes from rustup, else from Debian's packages;
//! otherwise an error says what to install.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::packages;
use crate::shell::{self, Build, Outcome};

const TARGET: &str = "wasm32-wasip2";

/// Toolchain for guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The host's toolchain with the target added.
    Rustup,
    /// Debian's compiler, which builds the standard library from source.
    Debian,
}

const PACKAGES: [&str; 6] =
    ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-22", "wasi-libc"];
/// Files that only these packages install.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCE: &str = "/usr/share/cargo/registry";

/// Builds all guests.
pub(crate) fn run() -> Outcome {
    let built = build(toolchain()?, &shell::build_toolgate(Build::Program)?)?;
    Ok(format!("{} guests built into {}", built.len(), folder()?.display()))
}

/// The first toolchain that works here, trying rustup's first.
pub(crate) fn toolchain() -> Outcome<Toolchain> {
    if has_target() || add_target() {
        return Ok(Toolchain::Rustup);
    }
    eprintln!("rustup has no {TARGET} and did not answer; trying Debian's packages");
    if !has_debian() {
        drop(packages::apt(&PACKAGES));
    }
    if has_debian() {
        return Ok(Toolchain::Debian);
    }
    Err(format!(
        "there is no compiler for {TARGET}. Run `rustup target add {TARGET}`, or on Debian `apt-get install {}`",
        PACKAGES.join(" ")
    ))
}

/// Whether Debian's toolchain is installed.
pub(crate) fn has_debian() -> bool {
    Path::new(DEBIAN_RUSTC).exists()
        && (Path::new("/usr/src").exists() || Path::new(DEBIAN_SOURCE).exists())
        && has_web_source()
}

/// Whether the sysroot source is that of `rustc-web`, which building the standard library requires.
fn has_web_source() -> bool {
    let sysroot = Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]).output();
    let sysroot =
        sysroot.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    Path::new(&sysroot).join("lib/rustlib/src/rust/library/std/Cargo.toml").exists()
        && Path::new("/usr/lib/wasm32-wasi").exists()
}

fn has_target() -> bool {
    let directory = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    directory.is_ok_and(|output| {
        let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success() && Path::new(&path).exists()
    })
}

fn add_target() -> bool {
    eprintln!("$ rustup target add {TARGET}");
    shell::succeeds_within(Command::new("rustup").args(["target", "add", TARGET]), Duration::from_secs(60))
}

/// Folder of built guests: plugins by name, test guests under `tests/`.
pub(crate) fn folder() -> Outcome<PathBuf> {
    Ok(shell::target()?.join("guests"))
}

/// Builds all guests with one toolchain and returns their paths.
pub(crate) fn build(toolchain: Toolchain, toolgate: &Path) -> Outcome<Vec<PathBuf>> {
    let mut built = Vec::new();
    for plugin in plugins()? {
        built.push(build_plugin(toolchain, toolgate, &plugin, &folder()?)?);
    }
    built.extend(build_tests(toolchain)?);
    Ok(built)
}

/// Builds one example plugin into a folder and packs its manifest section.
pub(crate) fn build_plugin(
    toolchain: Toolchain,
    toolgate: &Path,
    plugin: &Path,
    into: &Path,
) -> Outcome<PathBuf> {
    let name = plugin.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let release = compile(toolchain, plugin, &["--lib"])?;
    let out = into.join(format!("{name}.wasm"));
    let packed = release.join(format!("{name}.packed.wasm"));
    let mut pack = Command::new(toolgate);
    pack.arg("pack").arg(release.join(format!("{}.wasm", name.replace('-', "_"))));
    pack.arg("--manifest").arg(plugin.join("plugin.toml")).arg("--wit").arg(plugin.join("wit"));
    shell::output(pack.arg("--out").arg(&packed))?;
    copy(&packed, &out)?;
    Ok(out)
}

/// The example plugins.
pub(crate) fn plugins() -> Outcome<Vec<PathBuf>> {
    folders(&shell::root().join("plugins"))
}

fn build_tests(toolchain: Toolchain) -> Outcome<Vec<PathBuf>> {
    let source = shell::root().join("tests/guests");
    if !source.join("Cargo.toml").exists() {
        return Ok(Vec::new());
    }
    compile(toolchain, &shell::root().join("sdk-guest"), &["--examples"])?;
    let release = compile(toolchain, &source, &["--examples"])?;
    let into = folder()?.join("tests");
    let mut built = Vec::new();
    for entry in read(&source)? {
        if entry.extension().is_some_and(|ending| ending == "rs") {
            let name = entry.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let out = into.join(format!("{name}.wasm"));
            copy(&release.join("examples").join(format!("{}.wasm", name.replace('-', "_"))), &out)?;
            built.push(out);
        }
    }
    Ok(built)
}

/// Compiles the guests of a folder; returns the output folder.
fn compile(toolchain: Toolchain, source: &Path, what: &[&str]) -> Outcome<PathBuf> {
    let (mut cargo, name) = match toolchain {
        Toolchain::Rustup => (shell::cargo(), "rustup"),
        Toolchain::Debian => {
            let mut cargo = Command::new("/usr/bin/cargo");
            let path = std::env::var("PATH").unwrap_or_default();
            let tools = "/usr/lib/llvm-22/bin:/usr/lib/rustlib/x86_64-unknown-linux-gnu/bin";
            cargo.env("PATH", format!("{path}:{tools}"));
            cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
            cargo.env("RUSTFLAGS", "-L native=/usr/lib/wasm32-wasi");
            cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
            (cargo, "debian")
        }
    };
    let target = shell::target()?.join("guest-builds").join(name);
    cargo
        .current_dir(source)
        .args(["build", "--release", "--locked", "--quiet", "--target", TARGET])
        .args(what);
    if toolchain == Toolchain::Debian {
        cargo.arg("-Zbuild-std=std,panic_abort");
    }
    shell::run(cargo.env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join(TARGET).join("release"))
}

/// Copies a file if it changed, so that its dependents are not rebuilt.
pub(crate) fn copy(from: &Path, to: &Path) -> Outcome<()> {
    let failed = |error: std::io::Error| format!("{} to {}: {error}", from.display(), to.display());
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let fresh = std::fs::read(from).map_err(failed)?;
    if std::fs::read(to).is_ok_and(|old| old == fresh) {
        return Ok(());
    }
    std::fs::write(to, fresh).map_err(failed)
}

fn folders(of: &Path) -> Outcome<Vec<PathBuf>> {
    Ok(read(of)?.into_iter().filter(|path| path.join("Cargo.toml").exists()).collect())
}

fn read(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}
