//! `clock`: the precision of the time a plugin sees.

use crate::InvalidValueError;

/// Precision of the clocks. Without a grant: coarse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Grant {
    /// Not at all: the first use ends the call.
    None,
    /// Both clocks cut to a millisecond, timers rounded up to it: too coarse to time other guests' caches with.
    #[default]
    Coarse,
    /// The machine's full resolution.
    Precise,
    /// Both clocks stay at [`EARLIEST_NS`]. For the query made of a plugin while it loads; never configured.
    Still,
    /// Both clocks stay at 0, as in the former release, for comparison with what was approved there. To be removed with
    /// the release after this one.
    StillAtZero,
}

/// Earliest time any clock shows, in nanoseconds: one second. The monotonic clock shows it when a call begins. Runtimes
/// may take a clock at 0 for broken (Go's exits). It is a multiple of every resolution, so all times are.
pub const EARLIEST_NS: u64 = 1_000_000_000;

/// Proof that the guest may read a clock, now.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    resolution_ns: u64,
    earliest_ns: u64,
}

/// The grant says `none`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(r#"the plugin looked at a clock and its grant says clock = "none""#)]
pub struct ClockDeniedError;

impl Grant {
    /// Reads `none`, `coarse` or `precise`. Refuses any other text.
    pub fn parse(text: &str) -> Result<Self, InvalidValueError> {
        match text {
            "none" => Ok(Self::None),
            "coarse" => Ok(Self::Coarse),
            "precise" => Ok(Self::Precise),
            other => Err(InvalidValueError::new(format!(
                r#"`{other}` is not a clock; write "none", "coarse" or "precise""#
            ))),
        }
    }

    /// Its word in the configuration. [`Self::Still`] and [`Self::StillAtZero`] have none of their own and give `none`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None | Self::Still | Self::StillAtZero => "none",
            Self::Coarse => "coarse",
            Self::Precise => "precise",
        }
    }

    /// Checks that a guest may read a clock. Refused when the grant says `none`.
    pub fn allow(self) -> Result<Pass, ClockDeniedError> {
        match self {
            Self::None => Err(ClockDeniedError),
            Self::Coarse => Ok(Pass { resolution_ns: 1_000_000, earliest_ns: EARLIEST_NS }),
            Self::Precise => Ok(Pass { resolution_ns: 1, earliest_ns: EARLIEST_NS }),
            Self::Still => Ok(Pass { resolution_ns: u64::MAX, earliest_ns: EARLIEST_NS }),
            Self::StillAtZero => Ok(Pass { resolution_ns: u64::MAX, earliest_ns: 0 }),
        }
    }
}

impl Pass {
    /// Resolution of the clock, in nanoseconds.
    pub fn resolution_ns(self) -> u64 {
        self.resolution_ns
    }

    /// `ns` rounded down to the resolution.
    fn cut(self, ns: u64) -> u64 {
        ns - ns % self.resolution_ns
    }

    /// Monotonic clock `elapsed_ns` after the call began. Never 0 in a call.
    pub fn monotonic_ns(self, elapsed_ns: u64) -> u64 {
        self.cut(elapsed_ns).saturating_add(self.earliest_ns)
    }

    /// Wall clock `since_1970_ns` after the beginning of 1970. Never 0 in a call.
    pub fn wall_ns(self, since_1970_ns: u64) -> u64 {
        self.cut(since_1970_ns).max(self.earliest_ns)
    }

    /// Nanoseconds from `elapsed_ns` after the call's begin until the monotonic clock shows `when_ns`; 0 for the past.
    pub fn until_ns(self, when_ns: u64, elapsed_ns: u64) -> u64 {
        self.round_up(when_ns.saturating_sub(self.earliest_ns)).saturating_sub(elapsed_ns)
    }

    /// `ns` rounded up to the resolution: a timer never fires early.
    pub fn round_up(self, ns: u64) -> u64 {
        ns.checked_next_multiple_of(self.resolution_ns).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_denies_coarse_cuts_and_precise_does_not() {
        assert_eq!(Grant::None.allow(), Err(ClockDeniedError));
        let coarse = Grant::default().allow().unwrap();
        assert_eq!((coarse.cut(1_999_999), coarse.round_up(1)), (1_000_000, 1_000_000));
        assert_eq!(coarse.round_up(u64::MAX), u64::MAX);
        assert_eq!(Grant::Precise.allow().unwrap().cut(1_999_999), 1_999_999);
        for grant in [Grant::None, Grant::Coarse, Grant::Precise] {
            assert_eq!(Grant::parse(grant.word()), Ok(grant));
        }
        assert!(Grant::parse("fine").is_err() && Grant::parse("still").is_err());
    }

    #[test]
    fn no_clock_ever_shows_0_and_all_times_are_multiples_of_its_step() {
        for grant in [Grant::Coarse, Grant::Precise, Grant::Still] {
            let pass = grant.allow().unwrap();
            for ns in [0, 1, 999_999, 1_000_000, EARLIEST_NS, u64::MAX - 1, u64::MAX] {
                assert!(pass.monotonic_ns(ns) >= EARLIEST_NS, "{grant:?} {ns}");
                assert!(pass.wall_ns(ns) >= EARLIEST_NS, "{grant:?} {ns}");
            }
        }
        let coarse = Grant::Coarse.allow().unwrap();
        assert_eq!(
            (coarse.monotonic_ns(0), coarse.monotonic_ns(1_999_999)),
            (EARLIEST_NS, EARLIEST_NS + 1_000_000)
        );
        assert!(EARLIEST_NS.is_multiple_of(coarse.resolution_ns()));
        let still = Grant::Still.allow().unwrap();
        assert_eq!(
            (still.monotonic_ns(u64::MAX - 1), still.wall_ns(u64::MAX - 1)),
            (EARLIEST_NS, EARLIEST_NS)
        );
    }

    #[test]
    fn what_a_clock_has_shown_is_over_and_what_it_has_not_is_waited_for() {
        for grant in [Grant::Coarse, Grant::Precise, Grant::Still] {
            let pass = grant.allow().unwrap();
            for elapsed in [0, 1, 999_999, 1_000_001, 5_000_000_000] {
                let shown = pass.monotonic_ns(elapsed);
                assert_eq!(pass.until_ns(shown, elapsed), 0, "{grant:?} {elapsed}");
                assert_eq!(pass.until_ns(0, elapsed), 0, "{grant:?} {elapsed}");
                let wait = pass.until_ns(shown + 1, elapsed);
                assert!(wait > 0, "{grant:?} {elapsed}");
                if grant != Grant::Still {
                    assert!(pass.monotonic_ns(elapsed + wait) > shown, "{grant:?} {elapsed}");
                }
            }
        }
        let coarse = Grant::Coarse.allow().unwrap();
        assert_eq!(coarse.until_ns(EARLIEST_NS + 1, 999_999), 1);
        assert!(coarse.until_ns(u64::MAX, 0) > u64::MAX / 2);
    }
}
