//! Other people's programs that tests talk to: official MCP clients. Pinned here, installed by `packages`.

use std::process::Command;

use crate::packages;
use crate::shell::Outcome;

/// Tells the tests where they are; nothing where they could not be installed.
pub(crate) fn tell(tests: &mut Command) -> Outcome<()> {
    if let Some(folder) = packages::python("python", &["mcp==2.3.0"])? {
        tests.env("TOOLGATE_PYTHON", folder.join("bin/python"));
    }
    Ok(())
}
