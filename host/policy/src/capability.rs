//! Decisions about what a guest may do now: the capabilities, the WIT interfaces of each, and their effects. The
//! request, grant and pass of a capability are in the file of its name; nothing here performs what it allows.

use std::fmt;

use crate::InvalidValueError;

pub mod attempt;
pub mod clock;
pub mod config;
pub mod environment;
pub mod files;
pub mod http;
pub mod keyvalue;
pub mod random;
pub mod room;
pub mod sockets;

/// Something outside the sandbox that an operator can grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Folders of the host.
    Files,
    /// Outbound HTTP.
    Http,
    /// Outbound TCP and UDP.
    Sockets,
    /// Environment variables.
    Environment,
    /// Configuration values.
    Config,
    /// A store that outlives the call.
    Keyvalue,
    /// The time.
    Clock,
    /// Random numbers.
    Random,
}

/// A generation of WASI. Two generations may name the same interface differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wasi {
    /// 0.2, which every engine has.
    P2,
    /// 0.3, which only the asynchronous engine has.
    P3,
}

impl Wasi {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::P2, Self::P3];
}

/// The meaning of an import when its capability is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Import {
    /// Without a grant the plugin does not load.
    Needs,
    /// Every toolchain imports it; without a grant it is linked and has no power.
    MayUse,
}

/// Effects of a set of grants, for people and for tool annotations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effects {
    /// Sees something outside the call.
    pub reads: bool,
    /// Changes something outside the call.
    pub writes: bool,
    /// Talks to other machines, or to other programs on this one.
    pub reaches_out: bool,
}

impl Effects {
    /// The words for what is there: `reads`, `writes`, `reaches-out`.
    pub fn words(self) -> Vec<&'static str> {
        let words = [(self.reads, "reads"), (self.writes, "writes"), (self.reaches_out, "reaches-out")];
        words.into_iter().filter_map(|(is_there, word)| is_there.then_some(word)).collect()
    }
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Files,
        Self::Http,
        Self::Sockets,
        Self::Environment,
        Self::Config,
        Self::Keyvalue,
        Self::Clock,
        Self::Random,
    ];

    /// The word for it in configuration, commands, documents and file names.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Http => "http",
            Self::Sockets => "sockets",
            Self::Environment => "environment",
            Self::Config => "config",
            Self::Keyvalue => "keyvalue",
            Self::Clock => "clock",
            Self::Random => "random",
        }
    }

    /// The capability that `word` means.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.word() == word)
    }

    /// The meaning of importing its interfaces.
    pub const fn import(self) -> Import {
        match self {
            Self::Http | Self::Sockets | Self::Config | Self::Keyvalue => Import::Needs,
            Self::Files | Self::Environment | Self::Clock | Self::Random => Import::MayUse,
        }
    }

    /// Its interfaces in a WASI release, as `namespace:package/interface` without the version. Interfaces outside
    /// WASI's releases are included.
    pub const fn interfaces(self, wasi: Wasi) -> &'static [&'static str] {
        match (self, wasi) {
            (Self::Files, _) => &["wasi:filesystem/types", "wasi:filesystem/preopens"],
            (Self::Http, Wasi::P2) => &["wasi:http/types", "wasi:http/outgoing-handler"],
            (Self::Http, Wasi::P3) => &["wasi:http/types", "wasi:http/client"],
            (Self::Sockets, Wasi::P2) => &[
                "wasi:sockets/network",
                "wasi:sockets/instance-network",
                "wasi:sockets/ip-name-lookup",
                "wasi:sockets/tcp",
                "wasi:sockets/tcp-create-socket",
                "wasi:sockets/udp",
                "wasi:sockets/udp-create-socket",
            ],
            (Self::Sockets, Wasi::P3) => &["wasi:sockets/types", "wasi:sockets/ip-name-lookup"],
            (Self::Environment, _) => &["wasi:cli/environment"],
            (Self::Config, _) => &["wasi:config/store"],
            (Self::Keyvalue, _) => &["wasi:keyvalue/store", "wasi:keyvalue/atomics", "wasi:keyvalue/batch"],
            (Self::Clock, Wasi::P2) => &["wasi:clocks/wall-clock", "wasi:clocks/monotonic-clock"],
            (Self::Clock, Wasi::P3) => &["wasi:clocks/system-clock", "wasi:clocks/monotonic-clock"],
            (Self::Random, _) => &["wasi:random/random", "wasi:random/insecure", "wasi:random/insecure-seed"],
        }
    }

    /// A small, usable first grant for an operator to edit. Paths and hosts are examples.
    pub const fn suggestion(self) -> &'static str {
        match self {
            Self::Files => r#"files = [{ host = "data", guest = "/data", access = "read" }]"#,
            Self::Http => r#"http = [{ host = "api.example.com", methods = ["GET"], paths = ["/*"] }]"#,
            Self::Sockets => r#"sockets = [{ host = "db.example.com", port = 5432 }]"#,
            Self::Environment => r#"environment = { NAME = "value" }"#,
            Self::Config => r#"config = { key = "value" }"#,
            Self::Keyvalue => "keyvalue = { bytes_max = 1048576 }",
            Self::Clock => r#"clock = "coarse""#,
            Self::Random => r#"random = "secure""#,
        }
    }

    /// A grant that satisfies the import and refuses every use.
    pub fn nothing(self) -> String {
        let value = match self {
            Self::Files | Self::Http | Self::Sockets => "[]",
            Self::Environment | Self::Config | Self::Keyvalue => "{}",
            Self::Clock | Self::Random => r#""none""#,
        };
        format!("{self} = {value}")
    }
}

impl Effects {
    /// The union of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            reads: self.reads || other.reads,
            writes: self.writes || other.writes,
            reaches_out: self.reaches_out || other.reaches_out,
        }
    }
}

/// A TOML array of values that are TOML already.
fn list(written: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", written.into_iter().collect::<Vec<_>>().join(", "))
}

/// Checks each rule of a list. Names everything that is wrong, each with its place.
fn each<T, R>(
    rules: Vec<T>,
    check: impl Fn(T) -> Result<R, Vec<InvalidValueError>>,
) -> Result<Vec<R>, Vec<InvalidValueError>> {
    let (mut checked, mut problems) = (Vec::new(), Vec::new());
    for (index, rule) in rules.into_iter().enumerate() {
        match check(rule) {
            Ok(rule) => checked.push(rule),
            Err(found) => problems.extend(found.into_iter().map(|p| p.under(&format!("[{index}]")))),
        }
    }
    if problems.is_empty() { Ok(checked) } else { Err(problems) }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_means_one_capability_and_each_interface_belongs_to_one() {
        for wasi in Wasi::ALL {
            let mut seen = std::collections::BTreeSet::new();
            for capability in Capability::ALL {
                assert_eq!(Capability::from_word(capability.word()), Some(capability));
                assert!(capability.suggestion().starts_with(&format!("{capability} = ")));
                assert!(capability.nothing().starts_with(&format!("{capability} = ")));
                for interface in capability.interfaces(wasi) {
                    assert!(seen.insert(interface), "{interface} appears twice");
                }
            }
        }
        assert_eq!(Capability::from_word("file"), None);
    }
}
