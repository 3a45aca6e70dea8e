//! `random`: the source of a plugin's random numbers.

use crate::InvalidValueError;

/// Source of random numbers. Without a grant: the system's generator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Grant {
    /// No source: the first use ends the call.
    None,
    /// The system's generator.
    #[default]
    Secure,
    /// The same bytes in each call, from this seed.
    Seeded(u64),
}

/// Proof that the guest may have random bytes from this source, now.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    seed: Option<u64>,
}

/// The grant says `none`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(r#"the plugin asked for random numbers and its grant says random = "none""#)]
pub struct RandomDeniedError;

impl Grant {
    /// Reads `none`, `secure` or `seeded:N`. Refuses any other text.
    pub fn parse(text: &str) -> Result<Self, InvalidValueError> {
        let unknown = || {
            InvalidValueError::new(format!(
                r#"`{text}` is not a source; write "none", "secure" or "seeded:1""#
            ))
        };
        match text {
            "none" => Ok(Self::None),
            "secure" => Ok(Self::Secure),
            other => {
                let seed = other.strip_prefix("seeded:").ok_or_else(unknown)?;
                seed.parse().map(Self::Seeded).map_err(|_| unknown())
            }
        }
    }

    /// Its word in the configuration.
    pub fn word(self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Secure => "secure".to_owned(),
            Self::Seeded(seed) => format!("seeded:{seed}"),
        }
    }

    /// Checks that a guest may have random numbers. Refused when the grant says `none`.
    pub fn allow(self) -> Result<Pass, RandomDeniedError> {
        match self {
            Self::None => Err(RandomDeniedError),
            Self::Secure => Ok(Pass { seed: None }),
            Self::Seeded(seed) => Ok(Pass { seed: Some(seed) }),
        }
    }
}

impl Pass {
    /// The seed; `None` means the system's generator.
    pub fn seed(self) -> Option<u64> {
        self.seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_sources_read_and_nothing_else_does() {
        assert_eq!(Grant::parse("none").map(Grant::allow), Ok(Err(RandomDeniedError)));
        assert_eq!(Grant::parse("seeded:7").map(Grant::allow), Ok(Ok(Pass { seed: Some(7) })));
        assert_eq!(Grant::parse("secure"), Ok(Grant::default()));
        for grant in [Grant::None, Grant::Secure, Grant::Seeded(u64::MAX)] {
            assert_eq!(Grant::parse(&grant.word()), Ok(grant));
        }
        for text in ["", "seeded", "seeded:", "seeded:-1", "seeded:x", "Secure"] {
            assert!(Grant::parse(text).is_err(), "{text}");
        }
    }
}
