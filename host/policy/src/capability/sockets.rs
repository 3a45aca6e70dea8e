//! `sockets`: outbound TCP and UDP. The word exists, and an empty grant meets the need of a plugin whose toolchain
//! imports the interface without using it; granting a destination is not built yet and is refused as such.

use super::Effects;
use crate::Invalid;

/// No destinations: the interface is linked and refuses every use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant(());

impl Grant {
    /// Checks what an operator wrote: how many destinations.
    ///
    /// # Errors
    /// Any destination at all, for now.
    pub fn new(destinations: usize) -> Result<Self, Vec<Invalid>> {
        if destinations == 0 {
            return Ok(Self(()));
        }
        let why = "sockets cannot be granted yet; `sockets = []` lets a plugin load that imports them and refuses every use";
        Err(vec![Invalid::new(why)])
    }

    /// What it amounts to.
    pub fn effects(&self) -> Effects {
        Effects::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_empty_grant_exists() {
        assert_eq!(Grant::new(0), Ok(Grant::default()));
        assert!(Grant::new(1).is_err());
    }
}
