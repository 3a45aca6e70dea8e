//! Other people's programs that tests talk to, installed into the target folder and pinned: official MCP clients.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Outcome};

/// What the tests are told: where the Python with the official client is, or why it is not there.
pub(crate) fn python() -> Outcome<Option<PathBuf>> {
    const PACKAGES: [&str; 1] = ["mcp==2.3.0"];
    let folder = shell::target()?.join("peers/python");
    let python = folder.join("bin/python");
    let stamp = folder.join("packages");
    let wanted = PACKAGES.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(Some(python));
    }
    if !shell::exists("python3") {
        return skip(
            "python3 is not here; tests with the official Python client are skipped. Install python3 and python3-venv",
        );
    }
    let made = shell::run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    let installed = made.and_then(|()| shell::run(pip(&folder).args(["install", "--quiet"]).args(PACKAGES)));
    if installed.is_err() {
        return skip("the official Python client could not be installed; its tests are skipped");
    }
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(Some(python))
}

fn pip(folder: &Path) -> Command {
    Command::new(folder.join("bin/pip"))
}

/// In CI nothing is skipped.
fn skip<T>(why: &str) -> Outcome<Option<T>> {
    if shell::is_ci() {
        return Err(why.to_owned());
    }
    eprintln!("skipping: {why}");
    Ok(None)
}
