//! Other people's packages, pinned and installed once, into folders of their own below the target folder; a stamp there says
//! which. Only Debian's go elsewhere, and only where `shell::may_install`. What cannot be installed is skipped, told in one line.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Outcome};

/// Packages for Python, in a virtual environment; where that is.
pub(crate) fn python(name: &str, packages: &[&str]) -> Outcome<Option<PathBuf>> {
    if !shell::exists("python3") {
        return skip(&format!("{name}: python3 is not here. Install python3 and python3-venv"));
    }
    once(name, packages, |folder| {
        shell::run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        shell::run(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages))
    })
}

/// Packages for Node; the folder whose `node_modules` they are in. No script of theirs is run.
pub(crate) fn node(name: &str, packages: &[&str]) -> Outcome<Option<PathBuf>> {
    if !shell::exists("node") || !shell::exists("npm") {
        return skip(&format!("{name}: node and npm are not here. Install Node 20 or newer"));
    }
    once(name, packages, |folder| {
        let mut npm = Command::new("npm");
        npm.args([
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            "--save-exact",
        ]);
        shell::run(npm.arg("--prefix").arg(folder).args(packages))
    })
}

/// A program written in Rust, such as `name@1.0.0`, with some of its features; the folder whose `bin` it is in. What
/// optimising it takes is more than what it saves.
pub(crate) fn cargo(name: &str, package: &str, features: &str) -> Outcome<Option<PathBuf>> {
    once(name, &[package, features], |folder| {
        let mut cargo = shell::cargo();
        cargo.args([
            "install",
            "--quiet",
            "--locked",
            "--debug",
            "--no-default-features",
            "--features",
            features,
        ]);
        cargo.arg("--root").arg(folder).arg("--target-dir").arg(folder.join("build")).arg(package);
        shell::run(&mut cargo)?;
        drop(std::fs::remove_dir_all(folder.join("build")));
        Ok(())
    })
}

/// Debian's packages, where each of these files is one that they bring.
pub(crate) fn debian(name: &str, packages: &[&str], files: &[&str]) -> Outcome<Option<()>> {
    let here = || files.iter().all(|file| Path::new(file).exists());
    if !here() && shell::may_install() && Path::new("/usr/bin/apt-get").exists() {
        let mut install = Command::new("apt-get");
        install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
        let updated = shell::run(Command::new("apt-get").args(["update", "-qq"]));
        drop(updated.and_then(|()| shell::run(&mut install)));
    }
    if here() {
        return Ok(Some(()));
    }
    skip(&format!("{name}: run `apt-get install {}`", packages.join(" ")))
}

/// In CI nothing is skipped.
pub(crate) fn skip<T>(why: &str) -> Outcome<Option<T>> {
    if shell::is_ci() {
        return Err(why.to_owned());
    }
    eprintln!("skipping: {why}");
    Ok(None)
}

fn once(
    name: &str,
    packages: &[&str],
    install: impl FnOnce(&Path) -> Outcome<()>,
) -> Outcome<Option<PathBuf>> {
    let folder = shell::target()?.join("peers").join(name);
    let stamp = folder.join("packages");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(Some(folder));
    }
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    // What another list of packages, or an end half-way, left.
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).map_err(failed)?;
    if let Err(why) = install(&folder) {
        return skip(&format!("{name}: {} could not be installed: {why}", packages.join(" ")));
    }
    std::fs::write(&stamp, wanted).map_err(failed)?;
    Ok(Some(folder))
}
