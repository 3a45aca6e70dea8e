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

/// One key of the grants.
struct Granted {
    word: Capability,
    /// Its value, as an operator would write it.
    value: String,
    /// Whether it refuses every use.
    is_idle: bool,
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
        self.granted().any(|granted| granted.word == capability)
    }

    /// Capabilities that a plugin needs and whose grant refuses every use. Those only a toolchain imports are left out.
    pub fn idle(&self, asked: &RequestedCapabilities) -> Vec<Capability> {
        let is_needed = |word| asked.needs().contains(&word) && asked.toolchain_of(word).is_none();
        let idle = self.granted().filter(|granted| granted.is_idle && is_needed(granted.word));
        idle.map(|granted| granted.word).collect()
    }

    /// The lines under `[plugin.grant]`, as an operator would write them.
    pub fn written(&self) -> Vec<String> {
        self.granted().map(|Granted { word, value, .. }| format!("{word} = {value}")).collect()
    }

    /// The keys that are there, in the order of [`Capability::ALL`].
    fn granted(&self) -> impl Iterator<Item = Granted> {
        let Self { files, http, sockets, environment, config, keyvalue, clock, random } = self;
        let of = |word, value, is_idle| Granted { word, value, is_idle };
        let all = [
            files
                .as_ref()
                .map(|it| of(Capability::Files, files::written(it.mounts()), it.mounts().is_empty())),
            http.as_ref().map(|it| of(Capability::Http, it.written(), it.rules().is_empty())),
            sockets.as_ref().map(|it| of(Capability::Sockets, it.written(), it.rules().is_empty())),
            environment
                .as_ref()
                .map(|it| of(Capability::Environment, it.written(), it.allow().variables().is_empty())),
            config.as_ref().map(|it| of(Capability::Config, it.written(), it.allow().values().is_empty())),
            keyvalue.as_ref().map(|it| of(Capability::Keyvalue, it.written(), it.room().is_none())),
            clock.map(|it| of(Capability::Clock, quoted(it.word()), it.allow().is_err())),
            random.map(|it| of(Capability::Random, quoted(&it.word()), it.allow().is_err())),
        ];
        all.into_iter().flatten()
    }

    /// The requested part of these grants. Names every capability whose request and grant do not match.
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

    fn asked<const N: usize>(imports: [&str; N]) -> RequestedCapabilities {
        RequestedCapabilities::from_imports(imports, false).unwrap()
    }

    #[test]
    fn a_need_without_a_grant_and_a_grant_without_an_ask_are_both_refused_and_all_are_named() {
        let asked =
            asked(["wasi:http/types@0.2.6", "wasi:config/store@0.2.0-rc.1", "wasi:clocks/wall-clock@0.2.6"]);
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
        let asked = asked(["wasi:http/types@0.2.6", "wasi:sockets/tcp@0.2.6"]);
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
        let asked = asked([
            "wasi:sockets/tcp@0.2.6",
            "wasi:keyvalue/store@0.2.0-draft",
            "wasi:filesystem/types@0.2.6",
        ]);
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
        let asked = asked(["wasi:clocks/wall-clock@0.2.6", "wasi:random/random@0.2.6"]);
        let effective = Grants::default().meet(&asked).unwrap();
        assert_eq!((effective.clock, effective.random), (clock::Grant::Coarse, random::Grant::Secure));
        assert!(effective.files.mounts().is_empty());
    }
}
