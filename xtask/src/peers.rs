//! Other people's programs that tests talk to: official MCP clients, and what makes and checks signatures. Pinned here,
//! installed by `packages`.

use std::process::Command;

use crate::packages;
use crate::shell::Outcome;

/// Tells the tests where they are; nothing where they could not be installed.
pub(crate) fn tell(tests: &mut Command) -> Outcome<()> {
    if let Some(folder) = packages::python("python", &["mcp==2.3.0"])? {
        tests.env("TOOLGATE_PYTHON", folder.join("bin/python"));
    }
    // The first speaks the revisions up to 2025-11-25, the second those and 2026-07-28.
    const TYPESCRIPT: [&str; 2] = ["@modelcontextprotocol/sdk@1.32.2", "@modelcontextprotocol/client@2.4.0"];
    if let Some(folder) = packages::node("typescript", &TYPESCRIPT)? {
        tests.env("TOOLGATE_TYPESCRIPT", folder);
    }
    if let Some(folder) = packages::node("inspector", &["@modelcontextprotocol/inspector@2.12.0"])? {
        tests.env("TOOLGATE_INSPECTOR", folder);
    }
    if packages::debian("ssh-keygen", &["openssh-client"], &["/usr/bin/ssh-keygen"])?.is_some() {
        tests.env("TOOLGATE_SSH_KEYGEN", "/usr/bin/ssh-keygen");
    }
    if packages::debian("minisign", &["minisign"], &["/usr/bin/minisign"])?.is_some() {
        tests.env("TOOLGATE_MINISIGN", "/usr/bin/minisign");
    }
    Ok(())
}
