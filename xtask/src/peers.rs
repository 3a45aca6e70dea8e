//! Other people's programs that tests talk to: official MCP clients, what makes and checks signatures, a registry and what
//! copies from one to another. Pinned here, installed by `packages`.

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
    // The newest of each that run on Node 20.
    const SIGSTORE: [&str; 4] =
        ["@sigstore/verify@3.1.1", "@sigstore/bundle@4.0.0", "@sigstore/sign@4.1.1", "@sigstore/mock@0.12.1"];
    if let Some(folder) = packages::node("sigstore", &SIGSTORE)? {
        tests.env("TOOLGATE_SIGSTORE", folder);
    }
    if let Some(folder) = packages::python("securesystemslib", &["securesystemslib[crypto]==1.6.0"])? {
        tests.env("TOOLGATE_SECURESYSTEMSLIB", folder.join("bin/python"));
    }
    if packages::debian("ssh-keygen", &["openssh-client"], &["/usr/bin/ssh-keygen"])?.is_some() {
        tests.env("TOOLGATE_SSH_KEYGEN", "/usr/bin/ssh-keygen");
    }
    if packages::debian("minisign", &["minisign"], &["/usr/bin/minisign"])?.is_some() {
        tests.env("TOOLGATE_MINISIGN", "/usr/bin/minisign");
    }
    const REGISTRY: [&str; 2] = ["/usr/bin/docker-registry", "/usr/bin/skopeo"];
    if packages::debian("registry", &["docker-registry", "skopeo"], &REGISTRY)?.is_some() {
        let [registry, skopeo] = REGISTRY;
        tests.env("TOOLGATE_REGISTRY", registry).env("TOOLGATE_SKOPEO", skopeo);
    }
    Ok(())
}
