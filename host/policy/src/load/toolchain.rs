//! Toolchains of interpreted languages. Their runtime imports a capability in every component that they build, whether the code
//! that it runs uses it or not. The bytes do not show whether that code does.

use std::fmt;

use crate::Capability;

/// A toolchain whose runtime imports more than every plugin uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// Python's: its C library opens sockets.
    ComponentizePy,
    /// JavaScript's on StarlingMonkey: `fetch` is built into the runtime.
    ComponentizeJs,
}

impl Toolchain {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ComponentizePy, Self::ComponentizeJs];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ComponentizePy => "componentize-py",
            Self::ComponentizeJs => "componentize-js",
        }
    }

    /// What its runtime imports, and a plugin needs by that.
    pub const fn imports(self) -> Capability {
        match self {
            Self::ComponentizePy => Capability::Sockets,
            Self::ComponentizeJs => Capability::Http,
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
