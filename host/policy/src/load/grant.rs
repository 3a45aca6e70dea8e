//! The operator's grants, and the part of them that a plugin requested. A capability needs both.

use super::manifest::RequestedCapabilities;
use crate::Capability;
use crate::capability::{Effects, clock, config, environment, files, http, keyvalue, random, sockets};
use crate::redact::quoted;

/// Grants under `[plugin.grant]`. A missing key is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Folders.
    pub files: Option<files::Grant>,
    /// Outbound HTTP.
    pub http: Option<http::Grant>,
    /// Outbound TCP and UDP.
    pub sockets: Option<sockets::Grant>,
    /// Environment variables.
    pub environment: Option<environment::Grant>,
    /// Configuration values.
    pub config: Option<config::Grant>,
    /// A store.
    pub keyvalue: Option<keyvalue::Grant>,
    /// The time.
    pub clock: Option<clock::Grant>,
    /// Random numbers.
    pub random: Option<random::Grant>,
}

/// Capabilities of a plugin: requested and granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effective {
    /// Folders.
    pub files: files::Grant,
    /// Outbound HTTP.
    pub http: http::Grant,
    /// Outbound TCP and UDP.
    pub sockets: sockets::Grant,
    /// Environment variables.
    pub environment: environment::Grant,
    /// Configuration values.
    pub config: config::Grant,
    /// A store.
    pub keyvalue: keyvalue::Grant,
    /// The time.
    pub clock: clock::Grant,
    /// Random numbers.
    pub random: random::Grant,
}

/// A capability whose request and grant do not match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnmetGrantError {
    /// Needed but not granted.
    #[error("it needs `{0}`; add to its [plugin.grant]: {1}")]
    Missing(Capability, String),
    /// Granted but not requested.
    #[error("`{0}` is granted and the plugin cannot use it; remove that line from its [plugin.grant]")]
    NotAsked(Capability),
}

impl Grants {
    /// Whether the grant has this key.
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Files => self.files.is_some(),
            Capability::Http => self.http.is_some(),
            Capability::Sockets => self.sockets.is_some(),
            Capability::Environment => self.environment.is_some(),
            Capability::Config => self.config.is_some(),
            Capability::Keyvalue => self.keyvalue.is_some(),
            Capability::Clock => self.clock.is_some(),
            Capability::Random => self.random.is_some(),
        }
    }

    /// Capabilities that a plugin needs and whose grant refuses every use. Those only a toolchain imports are left out.
    pub fn idle(&self, asked: &RequestedCapabilities) -> Vec<Capability> {
        let is_idle = |word: &Capability| match word {
            Capability::Files => self.files.as_ref().is_some_and(|grant| grant.mounts().is_empty()),
            Capability::Http => self.http.as_ref().is_some_and(|grant| grant.rules().is_empty()),
            Capability::Sockets => self.sockets.as_ref().is_some_and(|grant| grant.rules().is_empty()),
            Capability::Environment => {
                self.environment.as_ref().is_some_and(|grant| grant.allow().variables().is_empty())
            }
            Capability::Config => self.config.as_ref().is_some_and(|grant| grant.allow().values().is_empty()),
            Capability::Keyvalue => self.keyvalue.as_ref().is_some_and(|grant| grant.room().is_none()),
            Capability::Clock => self.clock.is_some_and(|grant| grant.allow().is_err()),
            Capability::Random => self.random.is_some_and(|grant| grant.allow().is_err()),
        };
        let needed = asked.needs().iter().copied().filter(|word| asked.toolchain_of(*word).is_none());
        needed.filter(is_idle).collect()
    }

    /// The lines under `[plugin.grant]`, as an operator would write them.
    pub fn written(&self) -> Vec<String> {
        let Self { files, http, sockets, environment, config, keyvalue, clock, random } = self;
        let lines = [
            files.as_ref().map(|grant| format!("files = {}", files::written(grant.mounts()))),
            http.as_ref().map(|grant| format!("http = {}", grant.written())),
            sockets.as_ref().map(|grant| format!("sockets = {}", grant.written())),
            environment.as_ref().map(|grant| format!("environment = {}", grant.written())),
            config.as_ref().map(|grant| format!("config = {}", grant.written())),
            keyvalue.as_ref().map(|grant| format!("keyvalue = {}", grant.written())),
            clock.map(|grant| format!("clock = {}", quoted(grant.word()))),
            random.map(|grant| format!("random = {}", quoted(&grant.word()))),
        ];
        lines.into_iter().flatten().collect()
    }

    /// The requested part of these grants.
    ///
    /// # Errors
    /// Every capability whose request and grant do not match.
    pub fn meet(&self, asked: &RequestedCapabilities) -> Result<Effective, Vec<UnmetGrantError>> {
        let unmet: Vec<UnmetGrantError> = Capability::ALL
            .into_iter()
            .filter_map(|word| match (self.has(word), asked.covers(word), asked.needs().contains(&word)) {
                (true, false, _) => Some(UnmetGrantError::NotAsked(word)),
                (false, _, true) => Some(UnmetGrantError::Missing(word, asked.remedy(word))),
                (true, true, _) | (false, _, false) => None,
            })
            .collect();
        if !unmet.is_empty() {
            return Err(unmet);
        }
        Ok(Effective {
            files: self.files.clone().unwrap_or_default(),
            http: self.http.clone().unwrap_or_default(),
            sockets: self.sockets.clone().unwrap_or_default(),
            environment: self.environment.clone().unwrap_or_default(),
            config: self.config.clone().unwrap_or_default(),
            keyvalue: self.keyvalue.clone().unwrap_or_default(),
            clock: self.clock.unwrap_or_default(),
            random: self.random.unwrap_or_default(),
        })
    }
}

impl Effective {
    /// No capability: the clock never moves, random numbers are constant, nothing else.
    pub fn nothing() -> Self {
        Self { clock: clock::Grant::Still, random: random::Grant::Seeded(0), ..Self::default() }
    }

    /// The same as in the former release, with clocks at 0.
    pub fn nothing_as_before() -> Self {
        Self { clock: clock::Grant::StillAtZero, ..Self::nothing() }
    }

    /// Combined effects. Values that the operator wrote for the plugin, clocks and random numbers have none.
    pub fn effects(&self) -> Effects {
        let Self { files, http, sockets, environment: _, config: _, keyvalue, clock: _, random: _ } = self;
        let effects = [files.effects(), http.effects(), sockets.effects(), keyvalue.effects()];
        effects.into_iter().fold(Effects::default(), Effects::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_without_a_grant_and_a_grant_without_an_ask_are_both_refused_and_all_are_named() {
        let asked = RequestedCapabilities::from_imports(
            ["wasi:http/types@0.2.6", "wasi:config/store@0.2.0-rc.1", "wasi:clocks/wall-clock@0.2.6"],
            false,
        )
        .unwrap();
        let grants = Grants { files: Some(files::Grant::default()), ..Grants::default() };
        assert_eq!(
            grants.meet(&asked),
            Err(vec![
                UnmetGrantError::NotAsked(Capability::Files),
                UnmetGrantError::Missing(Capability::Http, Capability::Http.suggestion().to_owned()),
                UnmetGrantError::Missing(Capability::Config, Capability::Config.suggestion().to_owned())
            ])
        );
    }

    #[test]
    fn an_empty_grant_meets_a_need_and_gives_nothing() {
        let asked =
            RequestedCapabilities::from_imports(["wasi:http/types@0.2.6", "wasi:sockets/tcp@0.2.6"], false)
                .unwrap();
        let grants = Grants {
            http: Some(http::Grant::default()),
            sockets: Some(sockets::Grant::default()),
            ..Grants::default()
        };
        assert_eq!(grants.meet(&asked).unwrap().effects(), Effects::default());
    }

    #[test]
    fn a_grant_that_refuses_all_that_is_needed_is_named_but_for_what_a_toolchain_imports() {
        use crate::load::toolchain::Toolchain;
        let asked = RequestedCapabilities::from_imports(
            ["wasi:sockets/tcp@0.2.6", "wasi:keyvalue/store@0.2.0-draft", "wasi:filesystem/types@0.2.6"],
            false,
        )
        .unwrap();
        let grants = Grants {
            files: Some(files::Grant::default()),
            sockets: Some(sockets::Grant::default()),
            keyvalue: Some(keyvalue::Grant::default()),
            ..Grants::default()
        };
        assert_eq!(grants.idle(&asked), [Capability::Sockets, Capability::Keyvalue]);
        let of_python = asked.clone().built_by(Some(Toolchain::ComponentizePy));
        assert_eq!(grants.idle(&of_python), [Capability::Keyvalue]);
        assert!(of_python.remedy(Capability::Sockets).starts_with("sockets = [] (which refuses every use"));
        assert_eq!(asked.remedy(Capability::Sockets), Capability::Sockets.suggestion());
        let of_js = asked.built_by(Some(Toolchain::ComponentizeJs));
        assert_eq!(of_js.toolchain_of(Capability::Http), None, "it does not import that");
        assert!(Grants::default().idle(&of_js).is_empty(), "what is not granted at all is refused");
    }

    #[test]
    fn what_may_be_used_and_is_not_granted_has_its_default() {
        let asked = RequestedCapabilities::from_imports(
            ["wasi:clocks/wall-clock@0.2.6", "wasi:random/random@0.2.6"],
            false,
        )
        .unwrap();
        let effective = Grants::default().meet(&asked).unwrap();
        assert_eq!((effective.clock, effective.random), (clock::Grant::Coarse, random::Grant::Secure));
        assert!(effective.files.mounts().is_empty());
    }
}
