//! Scopes (RFC 6749 §3.3): their characters, and which of them imply others.

use std::collections::{BTreeMap, BTreeSet};

use toolgate_policy::InvalidValueError;
use toolgate_policy::limits::auth::CLAIM_CHARS_MAX;
use toolgate_policy::redact::printable;

/// Scopes that imply others, directly or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScopeHierarchy(BTreeMap<String, BTreeSet<String>>);

impl ScopeHierarchy {
    /// The hierarchy of `[auth] implies`.
    ///
    /// # Errors
    /// [`InvalidValueError`] for a text that is not a scope.
    pub fn new(implies: BTreeMap<String, BTreeSet<String>>) -> Result<Self, InvalidValueError> {
        implies
            .iter()
            .flat_map(|(scope, others)| [scope].into_iter().chain(others))
            .try_for_each(|scope| check(scope))?;
        Ok(Self(implies))
    }

    /// These scopes and all that they imply.
    pub fn close(&self, scopes: BTreeSet<String>) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut left: Vec<String> = scopes.into_iter().collect();
        while let Some(scope) = left.pop() {
            left.extend(
                self.0.get(&scope).into_iter().flatten().filter(|other| !all.contains(*other)).cloned(),
            );
            all.insert(scope);
        }
        all
    }
}

/// Whether a text is a scope: visible ASCII without quotes and backslashes, so that it can stand in a challenge.
pub fn is_scope(text: &str) -> bool {
    let fits = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !text.is_empty() && text.len() <= CLAIM_CHARS_MAX && text.bytes().all(fits)
}

/// Checks a scope of the configuration.
///
/// # Errors
/// [`InvalidValueError`] for a text that is not a scope.
pub fn check(scope: &str) -> Result<(), InvalidValueError> {
    if is_scope(scope) {
        return Ok(());
    }
    Err(InvalidValueError::new(format!(
        "`{}` is not a scope: visible ASCII without spaces, quotes and backslashes (RFC 6749 §3.3)",
        printable(scope, 60)
    )))
}

/// Checks scopes that clients are asked for.
///
/// # Errors
/// [`InvalidValueError`] for a text that is not a scope, and for `offline_access`, which is between client and issuer.
pub fn check_advertised(scopes: &[String]) -> Result<(), InvalidValueError> {
    for scope in scopes {
        check(scope)?;
        if scope == "offline_access" {
            return Err(InvalidValueError::new(
                "`offline_access` is not asked for by a server; leave it out, clients add it themselves",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_scope_implies_others_over_several_steps_and_in_circles() {
        let implies = [("a", set(&["b"])), ("b", set(&["c", "a"])), ("d", set(&["e"]))];
        let hierarchy = ScopeHierarchy::new(implies.map(|(a, b)| (a.to_owned(), b)).into()).unwrap();
        assert_eq!(hierarchy.close(set(&["a"])), set(&["a", "b", "c"]));
        assert_eq!(hierarchy.close(set(&["c", "x"])), set(&["c", "x"]));
        assert_eq!(hierarchy.close(set(&[])), set(&[]));
    }

    #[test]
    fn what_could_break_out_of_a_challenge_is_no_scope() {
        for scope in ["tools:read", "!", "api://x/.default", "a~"] {
            assert!(check(scope).is_ok(), "{scope}");
        }
        for scope in ["", "a b", "a\"b", "a\\b", "a\r\nb", "é", "a\0", "\u{7f}", &"a".repeat(257)] {
            assert!(check(scope).is_err(), "{scope:?}");
            assert!(ScopeHierarchy::new(BTreeMap::from([("a".to_owned(), set(&[scope]))])).is_err());
        }
        assert!(check_advertised(&["offline_access".to_owned()]).is_err());
    }
}
