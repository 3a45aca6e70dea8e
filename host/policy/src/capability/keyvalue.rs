//! `keyvalue`: a store that outlives the call. The word exists, and an empty grant meets the need of a plugin that imports
//! the interface; granting room is not built yet and is refused as such.

use super::Effects;
use crate::Invalid;

/// No room: the interface is linked and refuses every use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant(());

impl Grant {
    /// Checks what an operator wrote: how many keys stand in the table.
    ///
    /// # Errors
    /// Any key at all, for now.
    pub fn new(keys: usize) -> Result<Self, Vec<Invalid>> {
        if keys == 0 {
            return Ok(Self(()));
        }
        let why = "keyvalue cannot be granted yet; `keyvalue = {}` lets a plugin load that imports it and refuses every use";
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
