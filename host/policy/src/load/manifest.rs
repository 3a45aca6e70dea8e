//! What a plugin asks. For now that is what its imports mean: the list of interfaces that Toolgate knows, each either
//! powerless or a capability. Untrusted text in, a typed ask or a refusal out.

use std::collections::BTreeSet;

use crate::Capability;
use crate::capability::Import;
use crate::redact::printable;

/// What a plugin asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    needs: BTreeSet<Capability>,
    may_use: BTreeSet<Capability>,
}

/// Imports that Toolgate does not provide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it imports what Toolgate does not provide: {}", .0.join(", "))]
pub struct UnknownImports(pub Vec<String>);

/// WASI 0.2 interfaces without power: they see and change nothing outside the call.
const POWERLESS: [&str; 12] = [
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
];

impl Asked {
    /// What these imports ask for, by the names the component gives them, such as `wasi:io/poll@0.2.6`.
    ///
    /// # Errors
    /// [`UnknownImports`], all of them.
    pub fn from_imports<'a>(imports: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownImports> {
        let mut asked = Self::default();
        let mut unknown = Vec::new();
        for import in imports {
            match meaning(import) {
                Some(Meaning::Powerless) => {}
                Some(Meaning::Capability(capability)) => match capability.import() {
                    Import::Needs => {
                        asked.needs.insert(capability);
                    }
                    Import::MayUse => {
                        asked.may_use.insert(capability);
                    }
                },
                None => unknown.push(printable(import, 100)),
            }
        }
        if unknown.is_empty() { Ok(asked) } else { Err(UnknownImports(unknown)) }
    }

    /// The same, and these words as needs: what its manifest requires.
    ///
    /// # Errors
    /// The words whose interfaces it does not import, so that granting them would give it nothing.
    pub fn require(mut self, words: &BTreeSet<Capability>) -> Result<Self, Vec<Capability>> {
        let idle: Vec<Capability> = words.iter().copied().filter(|word| !self.covers(*word)).collect();
        if !idle.is_empty() {
            return Err(idle);
        }
        self.may_use.retain(|word| !words.contains(word));
        self.needs.extend(words);
        Ok(self)
    }

    /// What it does not load without.
    pub fn needs(&self) -> &BTreeSet<Capability> {
        &self.needs
    }

    /// What it is able to use when granted.
    pub fn may_use(&self) -> &BTreeSet<Capability> {
        &self.may_use
    }

    /// Whether it asks for this at all.
    pub fn covers(&self, capability: Capability) -> bool {
        self.needs.contains(&capability) || self.may_use.contains(&capability)
    }
}

enum Meaning {
    Powerless,
    Capability(Capability),
}

fn meaning(import: &str) -> Option<Meaning> {
    let (name, version) = import.split_once('@')?;
    let capability = Capability::ALL.into_iter().find(|capability| capability.interfaces().contains(&name));
    match capability {
        Some(Capability::Config) => {
            (version == CONFIG_VERSION).then_some(Meaning::Capability(Capability::Config))
        }
        Some(Capability::Keyvalue) => {
            KEYVALUE_VERSIONS.contains(&version).then_some(Meaning::Capability(Capability::Keyvalue))
        }
        Some(capability) => is_0_2(version).then_some(Meaning::Capability(capability)),
        None if OURS.contains(&name) => (OUR_VERSIONS.contains(&version)).then_some(Meaning::Powerless),
        None => (POWERLESS.contains(&name) && is_0_2(version)).then_some(Meaning::Powerless),
    }
}

/// What Toolgate itself provides: it reaches nobody but the operator's log and the caller of the call.
const OURS: [&str; 4] = [
    "toolgate:plugin/content",
    "toolgate:plugin/log",
    "toolgate:plugin/progress",
    "toolgate:plugin/cancelled",
];

/// The versions of it that are served.
const OUR_VERSIONS: [&str; 1] = ["0.1.0"];

/// wasi:config has no release yet; this is the draft that toolchains carry.
const CONFIG_VERSION: &str = "0.2.0-rc.1";
/// The same for wasi:keyvalue.
const KEYVALUE_VERSIONS: [&str; 1] = ["0.2.0-draft"];

/// Whether this is a release of WASI 0.2. Its releases only add, so that a host of the newest serves all.
fn is_0_2(version: &str) -> bool {
    version
        .strip_prefix("0.2.")
        .is_some_and(|patch| (1..=4).contains(&patch.len()) && patch.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_toolchain_imports_asks_for_nothing_it_must_have() {
        let asked = Asked::from_imports([
            "wasi:cli/environment@0.2.6",
            "wasi:cli/exit@0.2.0",
            "wasi:io/streams@0.2.3",
            "wasi:clocks/wall-clock@0.2.10",
            "wasi:random/random@0.2.0",
            "wasi:filesystem/types@0.2.6",
            "toolgate:plugin/progress@0.1.0",
        ])
        .unwrap();
        assert!(asked.needs().is_empty());
        let words: Vec<&str> = asked.may_use().iter().map(|c| c.word()).collect();
        assert_eq!(words, ["files", "environment", "clock", "random"]);
    }

    #[test]
    fn every_interface_of_a_capability_asks_for_it() {
        for capability in Capability::ALL {
            for interface in capability.interfaces() {
                let version = match capability {
                    Capability::Config => CONFIG_VERSION,
                    Capability::Keyvalue => "0.2.0-draft",
                    _ => "0.2.6",
                };
                let asked = Asked::from_imports([format!("{interface}@{version}").as_str()]).unwrap();
                assert!(asked.covers(capability), "{interface}");
                assert_eq!(
                    asked.needs().contains(&capability),
                    capability.import() == Import::Needs,
                    "{interface}"
                );
            }
        }
    }

    #[test]
    fn what_a_manifest_requires_is_needed_if_it_is_imported() {
        let asked = || Asked::from_imports(["wasi:filesystem/types@0.2.6"]).unwrap();
        let files = BTreeSet::from([Capability::Files]);
        let required = asked().require(&files).unwrap();
        assert_eq!((required.needs(), required.may_use().len()), (&files, 0));
        assert_eq!(asked().require(&BTreeSet::from([Capability::Http])), Err(vec![Capability::Http]));
    }

    #[test]
    fn everything_else_is_unknown_and_all_of_it_is_named() {
        let odd = [
            "wasi:cli/run@0.2.0",
            "wasi:io/streams@0.3.0",
            "wasi:io/streams@0.2.",
            "wasi:io/streams@0.2.0-rc.1",
            "wasi:io/streams",
            "wasi:http/incoming-handler@0.2.0",
            "acme:db/query@1.0.0",
            "toolgate:plugin/log@9.0.0",
            "log",
            "\u{1b}[2J@1",
        ];
        let UnknownImports(unknown) = Asked::from_imports(odd).unwrap_err();
        assert_eq!(unknown.len(), odd.len());
        assert!(!unknown.concat().contains('\u{1b}'));
    }
}
