//! Capabilities a plugin requests, derived from its imports: each known interface is powerless or a capability.
//! Untrusted text in, a typed request or a refusal out.

use std::collections::BTreeSet;

use super::toolchain::Toolchain;
use crate::Capability;
use crate::capability::{Import, Wasi};
use crate::redact::printable;

/// Capabilities a plugin requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestedCapabilities {
    needs: BTreeSet<Capability>,
    may_use: BTreeSet<Capability>,
    /// Toolchain that built it, if the imports of that toolchain may be unused.
    toolchain: Option<Toolchain>,
}

/// Imports that Toolgate does not provide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it imports what Toolgate does not provide: {}", .0.join(", "))]
pub struct UnknownImportsError(pub Vec<String>);

/// WASI interfaces without power: they read and change nothing outside the call.
const POWERLESS: [&str; 9] = [
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
];

/// Powerless interfaces of one generation only.
const fn powerless_of(wasi: Wasi) -> &'static [&'static str] {
    match wasi {
        Wasi::P2 => &["wasi:io/error", "wasi:io/poll", "wasi:io/streams"],
        Wasi::P3 => &["wasi:cli/types", "wasi:clocks/types"],
    }
}

impl RequestedCapabilities {
    /// The request of these imports, by their names in the component, such as `wasi:io/poll@0.2.6`. WASI 0.3 is known
    /// only if `asynchronous` says that there is an engine for it. Names all that are unknown.
    pub fn from_imports<'a>(
        imports: impl IntoIterator<Item = &'a str>,
        asynchronous: bool,
    ) -> Result<Self, UnknownImportsError> {
        let mut asked = Self::default();
        let mut unknown = Vec::new();
        for import in imports {
            match meaning(import) {
                Some(_) if generation(import) == Some(Wasi::P3) && !asynchronous => {
                    let import = printable(import, 100);
                    unknown.push(format!("{import} (WASI 0.3; give the plugin engine = \"async\")"));
                }
                Some(Meaning::Powerless) => {}
                Some(Meaning::Capability(capability)) => match capability.import() {
                    Import::Needs => drop(asked.needs.insert(capability)),
                    Import::MayUse => drop(asked.may_use.insert(capability)),
                },
                None => unknown.push(printable(import, 100)),
            }
        }
        if unknown.is_empty() { Ok(asked) } else { Err(UnknownImportsError(unknown)) }
    }

    /// The same with these capabilities as needs, as the plugin's manifest requires. Refuses those whose interfaces it
    /// does not import: a grant would have no effect.
    pub fn require(mut self, words: &BTreeSet<Capability>) -> Result<Self, Vec<Capability>> {
        let idle: Vec<Capability> = words.iter().copied().filter(|word| !self.covers(*word)).collect();
        if !idle.is_empty() {
            return Err(idle);
        }
        self.may_use.retain(|word| !words.contains(word));
        self.needs.extend(words);
        Ok(self)
    }

    /// The same with the toolchain that built the component, as far as its bytes show.
    #[must_use]
    pub fn built_by(mut self, toolchain: Option<Toolchain>) -> Self {
        self.toolchain = toolchain;
        self
    }

    /// The toolchain that imports this capability whether the plugin's code uses it or not.
    pub fn toolchain_of(&self, capability: Capability) -> Option<Toolchain> {
        let is_needed = self.needs.contains(&capability);
        self.toolchain.filter(|toolchain| is_needed && toolchain.imports() == capability)
    }

    /// The remedy for a missing grant. Each line in it can be pasted under `[plugin.grant]`.
    pub fn remedy(&self, capability: Capability) -> String {
        let grants = capability.suggestion();
        match self.toolchain_of(capability) {
            None => grants.to_owned(),
            Some(toolchain) => {
                let nothing = capability.nothing();
                format!(
                    "{nothing} (which refuses every use: {toolchain} imports it whether the code uses it or not), or, \
                     if its code uses it, {grants}"
                )
            }
        }
    }

    /// Capabilities it does not load without.
    pub fn needs(&self) -> &BTreeSet<Capability> {
        &self.needs
    }

    /// Capabilities it can use if they are granted.
    pub fn may_use(&self) -> &BTreeSet<Capability> {
        &self.may_use
    }

    /// All requests as text, such as `needs http`, in a fixed order.
    pub fn written(&self) -> Vec<String> {
        let needs = self.needs.iter().map(|word| format!("needs {word}"));
        needs.chain(self.may_use.iter().map(|word| format!("may use {word}"))).collect()
    }

    /// Whether it requests this capability.
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
    if OURS.contains(&name) {
        return OUR_VERSIONS.contains(&version).then_some(Meaning::Powerless);
    }
    let drafts: [(Capability, &[&str]); 2] =
        [(Capability::Config, &CONFIG_VERSIONS), (Capability::Keyvalue, &KEYVALUE_VERSIONS)];
    for (word, versions) in drafts {
        if word.interfaces(Wasi::P2).contains(&name) {
            return versions.contains(&version).then_some(Meaning::Capability(word));
        }
    }
    let wasi = generation(import)?;
    if POWERLESS.contains(&name) || powerless_of(wasi).contains(&name) {
        return Some(Meaning::Powerless);
    }
    let word = Capability::ALL.into_iter().find(|word| word.interfaces(wasi).contains(&name))?;
    Some(Meaning::Capability(word))
}

/// Toolgate's own interfaces: they reach only the operator's log and the caller.
const OURS: [&str; 4] = [
    "toolgate:plugin/content",
    "toolgate:plugin/log",
    "toolgate:plugin/progress",
    "toolgate:plugin/cancelled",
];

/// Their supported versions.
const OUR_VERSIONS: [&str; 1] = ["0.1.0"];

/// wasi:config has no release yet; this is the draft that toolchains use.
const CONFIG_VERSIONS: [&str; 1] = ["0.2.0-rc.1"];
/// The same for wasi:keyvalue.
const KEYVALUE_VERSIONS: [&str; 1] = ["0.2.0-draft"];

/// WASI generation of an interface, if its version is a release. Releases of a generation only add, so a host of the
/// newest serves all.
fn generation(import: &str) -> Option<Wasi> {
    let (_, version) = import.split_once('@')?;
    let (wasi, patch) = match version.strip_prefix("0.2.") {
        Some(patch) => (Wasi::P2, patch),
        None => (Wasi::P3, version.strip_prefix("0.3.")?),
    };
    ((1..=4).contains(&patch.len()) && patch.bytes().all(|b| b.is_ascii_digit())).then_some(wasi)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_toolchain_imports_asks_for_nothing_it_must_have() {
        let imports = [
            "wasi:cli/environment@0.2.6",
            "wasi:cli/exit@0.2.0",
            "wasi:io/streams@0.2.3",
            "wasi:clocks/wall-clock@0.2.10",
            "wasi:random/random@0.2.0",
            "wasi:filesystem/types@0.2.6",
            "toolgate:plugin/progress@0.1.0",
        ];
        let asked = RequestedCapabilities::from_imports(imports, false).unwrap();
        assert!(asked.needs().is_empty());
        let words: Vec<&str> = asked.may_use().iter().map(|c| c.word()).collect();
        assert_eq!(words, ["files", "environment", "clock", "random"]);
    }

    #[test]
    fn every_interface_of_a_capability_asks_for_it() {
        for capability in Capability::ALL {
            for (wasi, release) in [(Wasi::P2, "0.2.6"), (Wasi::P3, "0.3.0")] {
                for interface in capability.interfaces(wasi) {
                    let version = match capability {
                        Capability::Config => "0.2.0-rc.1",
                        Capability::Keyvalue => "0.2.0-draft",
                        _ => release,
                    };
                    let import = format!("{interface}@{version}");
                    let asked = RequestedCapabilities::from_imports([import.as_str()], true).unwrap();
                    let is_needed = capability.import() == Import::Needs;
                    let found = (asked.covers(capability), asked.needs().contains(&capability));
                    assert_eq!(found, (true, is_needed), "{interface}");
                }
            }
        }
    }

    #[test]
    fn what_a_manifest_requires_is_needed_if_it_is_imported() {
        let asked = || RequestedCapabilities::from_imports(["wasi:filesystem/types@0.2.6"], false).unwrap();
        let files = BTreeSet::from([Capability::Files]);
        let required = asked().require(&files).unwrap();
        assert_eq!((required.needs(), required.may_use().len()), (&files, 0));
        assert_eq!(asked().require(&BTreeSet::from([Capability::Http])), Err(vec![Capability::Http]));
    }

    #[test]
    fn everything_else_is_unknown_and_all_of_it_is_named() {
        let odd = [
            "wasi:cli/run@0.2.0",
            "wasi:cli/run@0.3.0",
            "wasi:io/streams@0.3.0",
            "wasi:cli/types@0.2.0",
            "wasi:clocks/wall-clock@0.3.0",
            "wasi:http/outgoing-handler@0.3.0",
            "wasi:http/client@0.2.0",
            "wasi:random/random@0.3.0-rc-2026-03-15",
            "wasi:random/random@0.4.0",
            "wasi:io/streams@0.2.",
            "wasi:io/streams@0.2.0-rc.1",
            "wasi:io/streams",
            "wasi:http/incoming-handler@0.2.0",
            "acme:db/query@1.0.0",
            "toolgate:plugin/log@9.0.0",
            "log",
            "\u{1b}[2J@1",
        ];
        let UnknownImportsError(unknown) = RequestedCapabilities::from_imports(odd, true).unwrap_err();
        assert_eq!(unknown.len(), odd.len());
        assert!(!unknown.concat().contains('\u{1b}'));
    }

    #[test]
    fn wasi_0_3_is_for_the_asynchronous_engine_and_the_refusal_says_so() {
        let imports = ["wasi:random/random@0.3.0", "wasi:random/random@0.2.6"];
        assert!(RequestedCapabilities::from_imports(imports, true).unwrap().covers(Capability::Random));
        let UnknownImportsError(unknown) = RequestedCapabilities::from_imports(imports, false).unwrap_err();
        let [told] = unknown.as_slice() else { panic!("{unknown:?}") };
        assert!(
            told.starts_with("wasi:random/random@0.3.0") && told.contains("engine = \"async\""),
            "{told}"
        );
    }
}
