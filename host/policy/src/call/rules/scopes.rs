//! Denied calls that more scopes would permit.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{DeniedError, Moment, Part, Principal, Rules, Slice, Target};

impl Rules {
    /// The scopes with which it would be permitted, and by which rules: all that the issuer can grant are added, then
    /// those that are not needed are dropped, one by one.
    pub(super) fn with_more_scopes(
        &self,
        principal: &Principal,
        target: &Target,
        moment: &Moment,
        part: Part<'_>,
    ) -> Option<DeniedError> {
        let identity = principal.identity()?;
        let obtainable = self.set.obtainable.get(&identity.issuer)?;
        let named = self.named_scopes(part);
        let missing = obtainable.iter().filter(|scope| named.contains(scope.as_str()));
        let missing = missing.filter(|scope| !identity.scopes.contains(*scope));
        let mut needed: BTreeSet<String> = missing.cloned().collect();
        if needed.is_empty() {
            return None;
        }
        let decide = |scopes: &BTreeSet<String>| {
            let principal = principal.with_scopes(scopes);
            // It does not exist, so it is not remembered.
            let caller = self.set.cedar.as_ref().map(|cedar| cedar.caller(&principal).map(Arc::new));
            self.evaluate(&principal, caller.flatten(), target, moment, part).ok()
        };
        let mut by = decide(&needed)?;
        for scope in needed.clone() {
            needed.remove(&scope);
            match decide(&needed) {
                Some(rules) => by = rules,
                None => drop(needed.insert(scope)),
            }
        }
        Some(DeniedError::Scope { needed: needed.into_iter().collect(), by })
    }

    /// Scopes that rules about a target name: no other makes a difference.
    fn named_scopes<'a>(&'a self, part: Part<'a>) -> BTreeSet<&'a str> {
        let rows = self.set.rows.iter().enumerate();
        let rows = rows.filter(|(index, _)| part.rows.is_none_or(|own| own.contains(index)));
        let of_rows = rows.flat_map(|(_, row)| row.scopes());
        let of_policies = part.slice.into_iter().flat_map(Slice::scopes);
        of_rows.chain(of_policies).map(String::as_str).collect()
    }
}
