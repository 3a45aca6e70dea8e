//! External programs for interoperability tests: official MCP clients, signing tools, a registry and registry tools.
//! Pinned here, installed by `packages`.

use std::process::Command;

use crate::packages::Packages;
use crate::shell::Outcome;

struct Peer {
    name: &'static str,
    packages: Packages,
    /// Environment variables for tests, with paths below the packages' folder.
    variables: &'static [(&'static str, &'static str)],
}

const PEERS: [Peer; 9] = [
    Peer {
        name: "python",
        packages: Packages::Python(&["mcp==2.3.0"]),
        variables: &[("TOOLGATE_PYTHON", "bin/python")],
    },
    Peer {
        name: "typescript",
        // The first supports revisions up to 2025-11-25, the second also 2026-07-28.
        packages: Packages::Node(&["@modelcontextprotocol/sdk@1.32.2", "@modelcontextprotocol/client@2.4.0"]),
        variables: &[("TOOLGATE_TYPESCRIPT", "")],
    },
    Peer {
        name: "inspector",
        packages: Packages::Node(&["@modelcontextprotocol/inspector@2.12.0"]),
        variables: &[("TOOLGATE_INSPECTOR", "")],
    },
    Peer {
        name: "idp",
        packages: Packages::Node(&["oidc-provider@9.13.3"]),
        variables: &[("TOOLGATE_IDP", "")],
    },
    Peer {
        name: "sigstore",
        // The newest versions that run on Node 20.
        packages: Packages::Node(&[
            "@sigstore/verify@3.1.1",
            "@sigstore/bundle@4.0.0",
            "@sigstore/sign@4.1.1",
            "@sigstore/mock@0.12.1",
        ]),
        variables: &[("TOOLGATE_SIGSTORE", "")],
    },
    Peer {
        name: "securesystemslib",
        packages: Packages::Python(&["securesystemslib[crypto]==1.6.0"]),
        variables: &[("TOOLGATE_SECURESYSTEMSLIB", "bin/python")],
    },
    Peer {
        name: "ssh-keygen",
        packages: Packages::Debian { names: &["openssh-client"], files: &["/usr/bin/ssh-keygen"] },
        variables: &[("TOOLGATE_SSH_KEYGEN", "usr/bin/ssh-keygen")],
    },
    Peer {
        name: "minisign",
        packages: Packages::Debian { names: &["minisign"], files: &["/usr/bin/minisign"] },
        variables: &[("TOOLGATE_MINISIGN", "usr/bin/minisign")],
    },
    Peer {
        name: "registry",
        packages: Packages::Debian {
            names: &["docker-registry", "skopeo"],
            files: &["/usr/bin/docker-registry", "/usr/bin/skopeo"],
        },
        variables: &[("TOOLGATE_REGISTRY", "usr/bin/docker-registry"), ("TOOLGATE_SKOPEO", "usr/bin/skopeo")],
    },
];

/// Packages of all programs.
pub(crate) fn packages() -> impl Iterator<Item = (&'static str, Packages)> {
    PEERS.iter().map(|peer| (peer.name, peer.packages))
}

/// Installs missing programs and sets the variables for tests, except for those that cannot be installed.
pub(crate) fn tell(tests: &mut Command) -> Outcome<()> {
    for peer in &PEERS {
        if let Some(folder) = peer.packages.install(peer.name)? {
            tests.envs(peer.variables.iter().map(|(name, place)| (name, folder.join(place))));
        }
    }
    Ok(())
}
