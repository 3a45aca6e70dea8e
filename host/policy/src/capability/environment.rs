//! `environment`: the variables a plugin sees. Never the host's own: each is written in the configuration.

use std::collections::BTreeMap;

use crate::InvalidValueError;
use crate::redact::inline_table;

/// The variables. Empty: the guest sees none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant(BTreeMap<String, String>);

/// Proof that the guest may see these variables, now.
#[must_use]
#[derive(Debug)]
pub struct Pass<'a>(&'a BTreeMap<String, String>);

impl Grant {
    /// Checks what an operator wrote. Refuses names that no environment can hold (POSIX.1-2017, 8.1), and values with a
    /// NUL.
    pub fn new(variables: BTreeMap<String, String>) -> Result<Self, Vec<InvalidValueError>> {
        let mut problems = Vec::new();
        for (name, value) in &variables {
            if name.is_empty() || name.contains(['=', '\0']) {
                problems.push(InvalidValueError::at(
                    name.clone(),
                    "a variable's name is not empty and has no `=` or NUL",
                ));
            }
            if value.contains('\0') {
                problems.push(InvalidValueError::at(name.clone(), "a variable's value has no NUL"));
            }
        }
        if problems.is_empty() { Ok(Self(variables)) } else { Err(problems) }
    }

    /// The table that grants it, as an operator would write it.
    pub fn written(&self) -> String {
        inline_table(&self.0)
    }

    /// Allows a guest to see every granted variable.
    pub fn allow(&self) -> Pass<'_> {
        Pass(&self.0)
    }
}

impl Pass<'_> {
    /// The variables, by name.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_environment_can_hold_are_refused() {
        let one = |name: &str, value: &str| Grant::new(BTreeMap::from([(name.to_owned(), value.to_owned())]));
        assert!(one("TZ", "UTC").is_ok());
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "\0")] {
            assert!(one(name, value).is_err(), "{name:?}={value:?}");
        }
    }
}
