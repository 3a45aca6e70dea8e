//! Toolchains of interpreted languages, whose runtimes import a capability in every component they build. The bytes do
//! not show whether the plugin's code uses it.

use std::fmt;

use crate::Capability;

/// A toolchain whose runtime imports more than every plugin uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// Python: its C library opens sockets.
    ComponentizePy,
    /// JavaScript on StarlingMonkey: `fetch` is part of the runtime.
    ComponentizeJs,
}

impl Toolchain {
    /// Capability that its runtime imports, which its plugins therefore need.
    pub const fn imports(self) -> Capability {
        match self {
            Self::ComponentizePy => Capability::Sockets,
            Self::ComponentizeJs => Capability::Http,
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ComponentizePy => "componentize-py",
            Self::ComponentizeJs => "componentize-js",
        })
    }
}
