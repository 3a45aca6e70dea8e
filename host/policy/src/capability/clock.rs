//! `clock`: how well a plugin can tell the time.

use super::Effects;
use crate::Invalid;

/// How well. Without a grant: coarse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Grant {
    /// Not at all: the first use ends the call.
    None,
    /// Both clocks cut to a millisecond, timers rounded up to it: too coarse to time other guests' caches with.
    #[default]
    Coarse,
    /// As the machine can.
    Precise,
    /// It stands at zero. Not for configurations: for what a plugin is asked while it is loaded.
    Still,
}

/// The guest may look at a clock, now.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    resolution_ns: u64,
}

/// The grant says `none`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(r#"the plugin looked at a clock and its grant says clock = "none""#)]
pub struct Denied;

impl Grant {
    /// Reads `none`, `coarse` or `precise`.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "none" => Ok(Self::None),
            "coarse" => Ok(Self::Coarse),
            "precise" => Ok(Self::Precise),
            other => {
                Err(Invalid::new(format!(r#"`{other}` is no clock; write "none", "coarse" or "precise""#)))
            }
        }
    }

    /// Its word in the configuration. A clock that stands still has none, and is no clock.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None | Self::Still => "none",
            Self::Coarse => "coarse",
            Self::Precise => "precise",
        }
    }

    /// What it amounts to: the time is no effect.
    pub fn effects(self) -> Effects {
        Effects::default()
    }

    /// Whether a guest may look.
    ///
    /// # Errors
    /// [`Denied`] when the grant says `none`.
    pub fn allow(self) -> Result<Pass, Denied> {
        match self {
            Self::None => Err(Denied),
            Self::Coarse => Ok(Pass { resolution_ns: 1_000_000 }),
            Self::Precise => Ok(Pass { resolution_ns: 1 }),
            Self::Still => Ok(Pass { resolution_ns: u64::MAX }),
        }
    }
}

impl Pass {
    /// The step of the clock, in nanoseconds.
    pub fn resolution_ns(self) -> u64 {
        self.resolution_ns
    }

    /// `ns` cut to the clock's step.
    pub fn cut(self, ns: u64) -> u64 {
        ns - ns % self.resolution_ns
    }

    /// `ns` rounded up to the clock's step: a timer never fires early.
    pub fn round_up(self, ns: u64) -> u64 {
        ns.checked_next_multiple_of(self.resolution_ns).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_denies_coarse_cuts_and_precise_does_not() {
        assert_eq!(Grant::None.allow(), Err(Denied));
        let coarse = Grant::default().allow().unwrap();
        assert_eq!((coarse.cut(1_999_999), coarse.round_up(1)), (1_000_000, 1_000_000));
        assert_eq!(coarse.round_up(u64::MAX), u64::MAX);
        assert_eq!(Grant::Precise.allow().unwrap().cut(1_999_999), 1_999_999);
        assert_eq!(Grant::Still.allow().unwrap().cut(u64::MAX - 1), 0);
        for grant in [Grant::None, Grant::Coarse, Grant::Precise] {
            assert_eq!(Grant::parse(grant.word()), Ok(grant));
        }
        assert!(Grant::parse("fine").is_err() && Grant::parse("still").is_err());
    }
}
